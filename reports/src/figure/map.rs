//! Maps of many curves: one row each, grouped by family, over the same columns.

use super::canvas::{Anchor, Canvas, Part, Type};
use super::chart::{LABEL, SMALL, WIDE, WIDTH};
use super::drawing::Drawing;
use super::palette::{Ink, Shape};
use super::text;

const ROW: f64 = 15.0;
const NAMES: f64 = 130.0;
/// Cells with words in them are at most so wide.
const CELL: f64 = 58.0;
const GUTTER: f64 = 24.0;
/// From so many lines on the map stands in two columns over the width of the page.
const TALL: usize = 26;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) fill: Ink,
    pub(crate) ink: Ink,
    /// Written in it; may be empty.
    pub(crate) words: String,
    pub(crate) tip: String,
}

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) curve: usize,
    /// One for each column; `None` where there is no value.
    pub(crate) cells: Vec<Option<Cell>>,
}

/// Curves of a family.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// A head over neighbouring columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) words: String,
    pub(crate) columns: usize,
    /// Whether it is not longer than the trained length.
    pub(crate) within: bool,
}

/// The whole map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Map {
    pub(crate) label: String,
    pub(crate) heads: Vec<Head>,
    pub(crate) x_title: String,
    /// Colours and what they stand for.
    pub(crate) key: Vec<(Ink, String)>,
    pub(crate) groups: Vec<Group>,
}

/// What stands on a line of the map.
enum Line<'a> {
    Title(String),
    Row(&'a Row),
}

impl Map {
    /// Draws the map.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let lines = self.lines();
        let blocks = if lines.len() >= TALL { 2 } else { 1 };
        let width = if blocks == 2 { WIDE } else { WIDTH };
        let top = self.key(&mut canvas, width) + 10.0;
        let room = (width - 6.0 - GUTTER * (blocks as f64 - 1.0)) / blocks as f64;
        let mut bottom = top;
        for (i, block) in self.columns(lines, blocks).iter().enumerate() {
            let x = 4.0 + i as f64 * (room + GUTTER);
            bottom = f64::max(bottom, self.block(&mut canvas, block, (x, top), room));
        }
        canvas.finish(width, bottom + 6.0, &self.label)
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let of = |group: &'_ Group| Line::Title(group.title.clone());
        let mut lines = Vec::new();
        for group in &self.groups {
            lines.push(of(group));
            lines.extend(group.rows.iter().map(Line::Row));
        }
        lines
    }

    /// The lines in so many columns, about equally long; no title stands alone at an end, and one that is left in the
    /// middle of its rows is told again.
    fn columns<'a>(&'a self, lines: Vec<Line<'a>>, blocks: usize) -> Vec<Vec<Line<'a>>> {
        let most = (lines.len() + blocks - 1).div_ceil(blocks);
        let mut all: Vec<Vec<Line<'a>>> = vec![Vec::new()];
        let mut title = String::new();
        for line in lines {
            if let Line::Title(words) = &line {
                title.clone_from(words);
            }
            let here = all.last().map_or(0, Vec::len);
            let ends = matches!(line, Line::Title(_)) && here + 1 >= most;
            if (here >= most || ends) && all.len() < blocks {
                let begins = matches!(line, Line::Title(_));
                let again = (!begins).then(|| Line::Title(format!("{title}, continued")));
                all.push(again.into_iter().collect());
            }
            if let Some(block) = all.last_mut() {
                block.push(line);
            }
        }
        all
    }

    fn key(&self, canvas: &mut Canvas, width: f64) -> f64 {
        let (mut x, mut y) = (8.0, 4.0);
        for (ink, words) in &self.key {
            let wide = 20.0 + text::width(words, SMALL, false);
            if x > 8.0 && x + wide > width - 6.0 {
                (x, y) = (8.0, y + 16.0);
            }
            canvas.rect((x, y), (14.0, 11.0), *ink);
            if *ink == Ink::Tint {
                canvas.shape((x + 7.0, y + 5.5), Shape::Cross, false, Ink::Muted, 3.0);
            }
            let font = Type::new(SMALL, Ink::Text);
            canvas.text((x + 18.0, y + 9.5), words, font, Anchor::Start);
            x += wide + 12.0;
        }
        y + 11.0
    }

    /// Returns where it ends.
    fn block(
        &self,
        canvas: &mut Canvas,
        lines: &[Line<'_>],
        (x, top): (f64, f64),
        room: f64,
    ) -> f64 {
        let columns: usize = self.heads.iter().map(|h| h.columns).sum();
        let cell = ((room - NAMES) / columns.max(1) as f64).min(CELL);
        let left = x + NAMES;
        let mut from = 0;
        for head in &self.heads {
            let middle = left + cell * (from as f64 + head.columns as f64 / 2.0);
            let font = match head.within {
                true => Type::bold(SMALL, Ink::Text),
                false => Type::new(SMALL, Ink::Text),
            };
            canvas.text((middle, top + 24.0), &head.words, font, Anchor::Middle);
            from += head.columns;
        }
        let middle = left + cell * columns as f64 / 2.0;
        let font = Type::new(SMALL, Ink::Muted);
        canvas.text((middle, top + 9.0), &self.x_title, font, Anchor::Middle);
        let first = top + 30.0;
        for (i, line) in lines.iter().enumerate() {
            let y = first + ROW * i as f64;
            match line {
                Line::Title(words) => {
                    let words = text::fit(words, SMALL * 1.04, room);
                    let font = Type::bold(SMALL, Ink::Muted);
                    canvas.text((x, y + ROW - 3.5), &words, font, Anchor::Start);
                }
                Line::Row(row) => self.row(canvas, row, (x, y), cell),
            }
        }
        let bottom = first + ROW * lines.len() as f64;
        self.borders(canvas, (left, first), cell, bottom);
        bottom
    }

    fn row(&self, canvas: &mut Canvas, row: &Row, (x, y): (f64, f64), cell: f64) {
        canvas.part(Part::of("name", row.curve));
        let name = text::fit(&row.name, LABEL, NAMES - 14.0);
        let font = Type::new(LABEL, Ink::Text);
        canvas.text((x + 8.0, y + ROW - 3.5), &name, font, Anchor::Start);
        let mut column = 0;
        for head in &self.heads {
            canvas.part(Part {
                at: Some(head.words.clone()),
                ..Part::of("cell", row.curve)
            });
            for _ in 0..head.columns {
                let left = x + NAMES + cell * column as f64;
                let found = row.cells.get(column).and_then(Option::as_ref);
                draw_cell(canvas, found, (left, y), cell);
                column += 1;
            }
        }
        canvas.common();
    }

    /// Lines between the heads; a heavy one after the last that is not longer than the trained length.
    fn borders(&self, canvas: &mut Canvas, (left, top): (f64, f64), cell: f64, bottom: f64) {
        let within = self.heads.iter().filter(|h| h.within).count();
        let mut at = left;
        for (i, head) in self.heads.iter().enumerate() {
            at += cell * head.columns as f64;
            let several = self.heads.iter().any(|h| h.columns > 1);
            if i + 1 == within {
                canvas.line((at, top), (at, bottom), Ink::Paper, 4.0);
                canvas.line((at, top), (at, bottom), Ink::Text, 1.8);
            } else if several && i + 1 < self.heads.len() {
                canvas.line((at, top), (at, bottom), Ink::Paper, 3.0);
            }
        }
    }
}

fn draw_cell(canvas: &mut Canvas, cell: Option<&Cell>, (x, y): (f64, f64), width: f64) {
    let gap = if width > 12.0 { 0.6 } else { 0.0 };
    let (corner, inner) = ((x, y + 0.3), (width - gap, ROW - 0.6));
    let Some(cell) = cell else {
        canvas.rect(corner, inner, Ink::Tint);
        if width > 12.0 {
            let middle = (x + width / 2.0, y + ROW / 2.0);
            canvas.shape(middle, Shape::Cross, false, Ink::Muted, 3.0);
        }
        return;
    };
    canvas.rect(corner, inner, cell.fill);
    if !cell.words.is_empty() {
        let place = (x + width / 2.0, y + ROW - 3.7);
        let font = Type::new(SMALL, cell.ink);
        canvas.text(place, &cell.words, font, Anchor::Middle);
    }
    canvas.tip((x, y), (width, ROW), &cell.tip);
}

#[cfg(test)]
mod tests {
    use super::super::palette::Theme;
    use super::*;

    fn map(families: &[usize]) -> Map {
        let cell = |words: &str| {
            Some(Cell {
                fill: Ink::Diverging(1),
                ink: Ink::OnDiverging(1),
                words: words.into(),
                tip: "a, 128 tokens: +0.10".into(),
            })
        };
        let row = |i: usize| Row {
            name: format!("scheme-{i}"),
            curve: i,
            cells: vec![cell("+0.10"), None],
        };
        let head = |words: &str, within| Head {
            words: words.into(),
            columns: 1,
            within,
        };
        Map {
            label: "test".into(),
            heads: vec![head("128", true), head("256", false)],
            x_title: "length (tokens)".into(),
            key: vec![(Ink::Diverging(1), "worse".into())],
            groups: families
                .iter()
                .enumerate()
                .map(|(i, &rows)| Group {
                    title: format!("family {i}"),
                    rows: (0..rows).map(row).collect(),
                })
                .collect(),
        }
    }

    #[test]
    fn a_long_map_stands_in_two_columns_over_the_page() {
        let (short, long) = (map(&[3, 3]).draw(), map(&[30, 40, 14]).draw());
        assert_eq!((short.width(), long.width()), (400, 848));
        assert!(long.height() < 42 * 15 + 120, "{}", long.height());
        let svg = long.file(Theme::Light);
        assert!(svg.contains(">family 1, continued<") && svg.matches(">+0.10<").count() == 84);
    }

    #[test]
    fn no_title_ends_a_column() {
        let map = map(&[41, 41]);
        let columns = map.columns(map.lines(), 2);
        for column in &columns {
            assert!(matches!(column.last(), Some(Line::Row(_))));
            assert!(matches!(column.first(), Some(Line::Title(_))));
        }
    }
}
