//! Heat maps as small multiples: length × a factor per scheme, the value written in every cell.

use super::canvas::{Anchor, Canvas, Part, Type};
use super::chart::{LABEL, SMALL, WIDTH};
use super::drawing::Drawing;
use super::palette::{self, Ink, Shape};
use super::text;

/// Below this many trials a cell is hatched: its 95% interval is wider than ±0.2 around a half.
pub(crate) const FEW_TRIALS: usize = 20;
const ROW: f64 = 14.0;
const GUTTER: f64 = 16.0;
/// A cell is at least this wide, so that its number can be read, and a panel this, for its name.
const CELL: f64 = 29.0;
const NAME: f64 = 104.0;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// In 0 to 1: its colour. What is not finite was not measured.
    pub(crate) shade: f64,
    pub(crate) words: String,
    /// Whether it rests on few trials.
    pub(crate) few: bool,
    pub(crate) tip: String,
}

/// The grid of one scheme: `cells[row][length]`; `None` where nothing was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) style: usize,
    pub(crate) cells: Vec<Vec<Option<Cell>>>,
}

/// All panels over the same lengths (columns) and values of a factor (rows).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeatMap {
    pub(crate) label: String,
    pub(crate) lengths: Vec<usize>,
    pub(crate) rows: Vec<String>,
    /// What the rows are.
    pub(crate) y_title: String,
    /// What the lightest and the darkest colour stand for, the second with the name of the value.
    pub(crate) ends: (String, String),
    pub(crate) trained: usize,
    pub(crate) panels: Vec<Panel>,
}

/// Where cells lie.
#[derive(Clone, Copy)]
struct Grid {
    /// Room for the labels of the rows.
    axis: f64,
    per_row: usize,
    cell: f64,
    panel: f64,
}

impl HeatMap {
    /// Draws all panels.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let grid = self.grid();
        let top = self.key(&mut canvas);
        let panel_height = 20.0 + ROW * self.rows.len() as f64 + 34.0;
        for (i, panel) in self.panels.iter().enumerate() {
            let column = i % grid.per_row;
            let x = grid.axis + column as f64 * (grid.panel + GUTTER);
            let y = top + (i / grid.per_row) as f64 * panel_height;
            self.panel(&mut canvas, panel, (x, y), grid, column == 0);
        }
        let rows = self.panels.len().div_ceil(grid.per_row).max(1) as f64;
        canvas.finish(WIDTH, top + rows * panel_height + 2.0, &self.label)
    }

    /// As many panels beside each other as leave room for the text of a cell.
    fn grid(&self) -> Grid {
        let labels = self.rows.iter().map(|r| text::width(r, SMALL, false));
        let axis = labels.fold(0.0, f64::max).min(80.0) + 12.0;
        let columns = self.lengths.len().max(1) as f64;
        let room = |n: usize| ((WIDTH - axis - 6.0) - GUTTER * (n as f64 - 1.0)) / n as f64;
        let fits = |n: &usize| room(*n) / columns >= CELL && room(*n) >= NAME;
        let per_row = (1..=4).rev().find(fits).unwrap_or(1);
        let per_row = per_row.min(self.panels.len().max(1));
        let cell = (room(per_row) / columns).min(42.0);
        Grid {
            axis,
            per_row,
            cell,
            panel: (cell * columns).max(NAME),
        }
    }

    /// What the colours, marks and rows stand for.
    fn key(&self, canvas: &mut Canvas) -> f64 {
        let (y, width, height) = (8.0, 96.0, 9.0);
        let small = Type::new(SMALL, Ink::Muted);
        let left = 8.0 + text::width(&self.ends.0, SMALL, false) + 5.0;
        canvas.text((8.0, y + 8.5), &self.ends.0, small, Anchor::Start);
        let steps = 24;
        for step in 0..steps {
            let share = f64::from(step) / f64::from(steps - 1);
            let x = left + width * f64::from(step) / f64::from(steps);
            let size = (width / f64::from(steps) + 0.2, height);
            canvas.rect((x, y), size, palette::sequential(share).0);
        }
        let x = left + width + 5.0;
        let words = text::fit(&self.ends.1, SMALL, WIDTH - x - 6.0);
        canvas.text((x, y + 8.5), &words, small, Anchor::Start);
        let y = y + 17.0;
        canvas.line((12.0, y - 1.0), (12.0, y + height + 1.0), Ink::Text, 2.0);
        let words = "end of the trained length";
        canvas.text((18.0, y + 8.5), words, small, Anchor::Start);
        let x = 34.0 + text::width(words, SMALL, false);
        let cells = || self.panels.iter().flat_map(|p| p.cells.iter().flatten());
        if cells().flatten().any(|c| c.few) {
            canvas.rect((x, y - 1.0), (18.0, height + 2.0), Ink::Tint);
            hatch(canvas, (x, y - 1.0), (18.0, height + 2.0), Ink::Text);
            let words = format!("fewer than {FEW_TRIALS} trials");
            canvas.text((x + 23.0, y + 8.5), &words, small, Anchor::Start);
        } else if cells().any(Option::is_none) {
            canvas.shape((x + 4.0, y + 4.5), Shape::Cross, false, Ink::Muted, 3.0);
            canvas.text((x + 13.0, y + 8.5), "not measured", small, Anchor::Start);
        }
        let y = y + 17.0;
        let words = text::fit(&format!("rows: {}", self.y_title), SMALL, WIDTH - 16.0);
        canvas.text((8.0, y + 8.5), &words, small, Anchor::Start);
        y + height + 12.0
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        (x, y): (f64, f64),
        grid: Grid,
        named: bool,
    ) {
        let cell = grid.cell;
        canvas.part(Part::curve(panel.style));
        canvas.marker((x + 4.0, y + 9.0), panel.style, 3.4);
        let size = LABEL - 0.5;
        // The bold cut is a little wider than what `fit` measures.
        let title = text::fit(&panel.title, size * 1.04, grid.panel + GUTTER - 20.0);
        canvas.text(
            (x + 13.0, y + 13.0),
            &title,
            Type::bold(size, Ink::Text),
            Anchor::Start,
        );
        let top = y + 20.0;
        for (row, cells) in panel.cells.iter().enumerate() {
            let cell_top = top + ROW * row as f64;
            for (column, found) in cells.iter().enumerate() {
                let corner = (x + cell * column as f64, cell_top);
                draw_cell(canvas, found.as_ref(), corner, cell);
            }
            if named {
                let at = (x - 5.0, cell_top + ROW / 2.0 + 3.8);
                let words = text::fit(&self.rows[row], SMALL, grid.axis - 6.0);
                canvas.text(at, &words, Type::new(SMALL, Ink::Muted), Anchor::End);
            }
        }
        let bottom = top + ROW * panel.cells.len() as f64;
        canvas.common();
        self.columns(canvas, (x, bottom), cell);
        self.border(canvas, (x, top), (cell, bottom - top));
    }

    fn columns(&self, canvas: &mut Canvas, (x, bottom): (f64, f64), cell: f64) {
        // Every label if the longest fits its column, else every other one, counted from the end.
        let longest = self
            .lengths
            .iter()
            .map(|l| text::width(&l.to_string(), SMALL, false))
            .fold(0.0, f64::max);
        let every = ((longest + 3.0) / cell).ceil().max(1.0) as usize;
        for (column, length) in self.lengths.iter().enumerate() {
            if (self.lengths.len() - 1 - column).is_multiple_of(every) {
                let at = (x + cell * (column as f64 + 0.5), bottom + 12.0);
                let font = if *length == self.trained {
                    Type::bold
                } else {
                    Type::new
                };
                canvas.text(
                    at,
                    &length.to_string(),
                    font(SMALL, Ink::Text),
                    Anchor::Middle,
                );
            }
        }
        let middle = (x + cell * self.lengths.len() as f64 / 2.0, bottom + 25.0);
        canvas.text(
            middle,
            "length (tokens)",
            Type::new(SMALL, Ink::Text),
            Anchor::Middle,
        );
    }

    /// A heavy line after the last column that is not longer than the trained length.
    fn border(&self, canvas: &mut Canvas, (x, top): (f64, f64), (cell, height): (f64, f64)) {
        let inside = self.lengths.iter().filter(|&&l| l <= self.trained).count();
        let at = x + cell * inside as f64;
        canvas.line((at, top - 3.0), (at, top + height + 3.0), Ink::Paper, 4.0);
        canvas.line((at, top - 3.0), (at, top + height + 3.0), Ink::Text, 2.0);
    }
}

fn draw_cell(canvas: &mut Canvas, cell: Option<&Cell>, (x, y): (f64, f64), width: f64) {
    let (inner, corner) = ((width - 0.6, ROW - 0.6), (x + 0.3, y + 0.3));
    let middle = (x + width / 2.0, y + ROW / 2.0);
    let Some(cell) = cell.filter(|c| c.shade.is_finite()) else {
        canvas.rect(corner, inner, Ink::Tint);
        canvas.shape(middle, Shape::Cross, false, Ink::Muted, 3.0);
        let words = cell.map_or("not measured", |c| c.tip.as_str());
        canvas.tip((x, y), (width, ROW), words);
        return;
    };
    let (fill, ink) = palette::sequential(cell.shade);
    canvas.rect(corner, inner, fill);
    if cell.few {
        hatch(canvas, corner, inner, ink);
    }
    // What does not fit is in the tip and in the table.
    if text::width(&cell.words, SMALL, false) <= width - 2.0 {
        let place = (middle.0, middle.1 + SMALL * 0.36);
        canvas.text(place, &cell.words, Type::new(SMALL, ink), Anchor::Middle);
    }
    canvas.tip((x, y), (width, ROW), &cell.tip);
}

/// Thin diagonals, clipped to the rectangle.
fn hatch(canvas: &mut Canvas, (x, y): (f64, f64), (w, h): (f64, f64), ink: Ink) {
    let mut offset = 4.0;
    while offset < w + h {
        let from = (x + (offset - h).max(0.0), y + offset.min(h));
        let to = (x + offset.min(w), y + (offset - w).max(0.0));
        canvas.faint(vec![from, to], ink, 0.5, 0.45);
        offset += 5.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::palette::Theme;
    use super::*;

    fn map(trials: usize) -> HeatMap {
        let cell = |value: f64| {
            Some(Cell {
                shade: value,
                words: format!("{value:.2}"),
                few: trials < FEW_TRIALS,
                tip: format!("{value} <of> {trials}"),
            })
        };
        HeatMap {
            label: "test".into(),
            lengths: vec![64, 128, 256],
            rows: ["0", "0.5", "1"].map(String::from).to_vec(),
            y_title: "depth".into(),
            ends: ("0".into(), "1  found".into()),
            trained: 64,
            panels: vec![Panel {
                title: "rope".into(),
                style: 0,
                cells: vec![
                    vec![cell(1.0), cell(0.0), None],
                    vec![cell(1.0), cell(0.25), cell(0.0)],
                    vec![cell(0.95), cell(0.5), cell(0.0)],
                ],
            }],
        }
    }

    #[test]
    fn cells_show_value_and_tooltip() {
        let svg = map(64).draw().file(Theme::Light);
        for words in [
            ">0.95<",
            ">0.25<",
            "<title>0.25 &lt;of&gt; 64</title>",
            "<title>not measured</title>",
        ] {
            assert!(svg.contains(words), "{words}");
        }
    }

    #[test]
    fn few_trials_are_hatched() {
        let lines = |trials| {
            map(trials)
                .draw()
                .file(Theme::Light)
                .matches("opacity=\"0.45\"")
                .count()
        };
        assert_eq!(lines(20), 0);
        assert!(lines(19) > 8);
        assert!(
            map(19)
                .draw()
                .file(Theme::Light)
                .contains("fewer than 20 trials")
        );
    }

    #[test]
    fn hatching_stays_inside() {
        let mut canvas = Canvas::default();
        hatch(&mut canvas, (10.0, 10.0), (8.0, 14.0), Ink::Text);
        let svg = canvas.finish(40.0, 40.0, "").file(Theme::Light);
        for points in svg.split("points=\"").skip(1) {
            let points = points.split('"').next().unwrap_or_default();
            for pair in points.split_whitespace() {
                let (x, y) = pair.split_once(',').expect("a pair of coordinates");
                let (x, y): (f64, f64) =
                    (x.parse().expect("a number"), y.parse().expect("a number"));
                assert!(
                    (100.0..=180.0).contains(&x) && (100.0..=240.0).contains(&y),
                    "{pair}"
                );
            }
        }
    }
}
