//! Dots with intervals, one row per scheme: effective lengths, forest plots of differences, cost.

use super::canvas::{Anchor, Canvas, Type};
use super::chart::{LABEL, TICK, WIDTH};
use super::drawing::Drawing;
use super::marks::dashes;
use super::palette::{Ink, Shape};
use super::scale::{self, Scale};
use super::text;

const ROW: f64 = 18.0;
const GUTTER: f64 = 18.0;

/// One estimate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dot {
    /// `None` where nothing can be stated; `note` says why.
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
    /// The value is a lower bound: an arrow to the right.
    pub(crate) more: bool,
    /// The value is an upper bound: an arrow to the left.
    pub(crate) less: bool,
    /// Drawn hollow: not distinguishable from the reference.
    pub(crate) hollow: bool,
    /// Words at the right end of the row, or in place of the missing dot.
    pub(crate) note: String,
    pub(crate) tip: String,
}

/// One column of dots; `dots[row]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) scale: Scale,
    /// Tick places and words; empty means round values.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) axis: String,
    /// A vertical line that everything is compared with.
    pub(crate) reference: Option<f64>,
    pub(crate) dots: Vec<Option<Dot>>,
}

/// All panels share the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dots {
    pub(crate) label: String,
    /// Name and palette index.
    pub(crate) rows: Vec<(String, usize)>,
    pub(crate) panels: Vec<Panel>,
    /// Most panels beside each other.
    pub(crate) per_row: usize,
    /// Room for the notes at the right of each panel.
    pub(crate) notes: f64,
}

impl Dots {
    /// Draws all panels.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let widest = self
            .rows
            .iter()
            .map(|(n, _)| text::width(n, LABEL, false))
            .fold(0.0, f64::max);
        let left = 29.0 + widest.min(150.0);
        let columns = self.per_row.clamp(1, self.panels.len().max(1));
        let room = (WIDTH - left - 12.0 + GUTTER) / columns as f64 - GUTTER - self.notes;
        let titled = self.panels.iter().any(|p| !p.title.is_empty());
        let head = if titled { 22.0 } else { 6.0 };
        let block = head + ROW * self.rows.len() as f64 + 46.0;
        let blocks = self.panels.len().div_ceil(columns).max(1);
        for line in 0..blocks {
            self.names(&mut canvas, left, line as f64 * block + head);
        }
        for (i, panel) in self.panels.iter().enumerate() {
            let x = left + (i % columns) as f64 * (room + GUTTER + self.notes);
            let y = (i / columns) as f64 * block + head;
            self.panel(&mut canvas, panel, (x, y), room);
        }
        canvas.finish(WIDTH, block * blocks as f64 + 2.0, &self.label)
    }

    fn names(&self, canvas: &mut Canvas, left: f64, top: f64) {
        for (row, (name, style)) in self.rows.iter().enumerate() {
            let y = top + ROW * (row as f64 + 0.5);
            canvas.marker((9.0, y), *style, 3.4);
            let name = text::fit(name, LABEL, left - 26.0);
            canvas.text(
                (19.0, y + 4.0),
                &name,
                Type::new(LABEL, Ink::Text),
                Anchor::Start,
            );
        }
    }

    fn panel(&self, canvas: &mut Canvas, panel: &Panel, (x, top): (f64, f64), width: f64) {
        let bottom = top + ROW * self.rows.len() as f64;
        let at = |value: f64| x + panel.scale.at(value) * width;
        if !panel.title.is_empty() {
            let place = (x + width / 2.0, top - 8.0);
            canvas.text(
                place,
                &panel.title,
                Type::bold(LABEL, Ink::Text),
                Anchor::Middle,
            );
        }
        for row in 0..self.rows.len() {
            if row % 2 == 0 {
                canvas.rect((x, top + ROW * row as f64), (width, ROW), Ink::Tint);
            }
        }
        self.axis(canvas, panel, (x, bottom), width, top);
        if let Some(value) = panel.reference.filter(|&v| panel.scale.holds(v)) {
            dashes(
                canvas,
                (at(value), top),
                (at(value), bottom),
                Ink::Mark,
                1.1,
            );
        }
        for (row, dot) in panel.dots.iter().enumerate() {
            let Some(dot) = dot else { continue };
            let y = top + ROW * (row as f64 + 0.5);
            let style = self.rows[row].1;
            let ground = if row % 2 == 0 { Ink::Tint } else { Ink::Paper };
            draw_dot(
                canvas,
                dot,
                (Ink::Curve(style), ground),
                panel.scale,
                (x, y),
                width,
            );
            if self.notes > 0.0 && dot.value.is_some() {
                let words = text::fit(&dot.note, 10.0, self.notes + 4.0);
                canvas.text(
                    (x + width + 6.0, y + 3.6),
                    &words,
                    Type::new(10.0, Ink::Muted),
                    Anchor::Start,
                );
            }
            canvas.tip((x, y - ROW / 2.0), (width + self.notes, ROW), &dot.tip);
        }
    }

    fn axis(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        (x, bottom): (f64, f64),
        width: f64,
        top: f64,
    ) {
        let at = |value: f64| x + panel.scale.at(value) * width;
        canvas.line((x, bottom), (x + width, bottom), Ink::Axis, 1.0);
        let wanted = (width / 34.0).max(4.0) as usize;
        let round = || {
            panel
                .scale
                .ticks(wanted)
                .into_iter()
                .map(|t| (t, scale::label(t)))
                .collect()
        };
        let ticks: Vec<(f64, String)> = if panel.ticks.is_empty() {
            round()
        } else {
            panel.ticks.clone()
        };
        let mut end = f64::NEG_INFINITY;
        for (value, words) in ticks.iter().filter(|(v, _)| panel.scale.holds(*v)) {
            let tick = at(*value);
            canvas.line((tick, top), (tick, bottom), Ink::Grid, 0.8);
            canvas.line((tick, bottom), (tick, bottom + 4.0), Ink::Axis, 1.0);
            let half = text::width(words, TICK - 1.0, false) / 2.0;
            if tick - half > end + 5.0 {
                let font = Type::new(TICK - 1.0, Ink::Muted);
                canvas.text((tick, bottom + 15.5), words, font, Anchor::Middle);
                end = tick + half;
            }
        }
        let place = (x + width / 2.0, bottom + 31.0);
        canvas.text(
            place,
            &panel.axis,
            Type::new(LABEL - 1.0, Ink::Text),
            Anchor::Middle,
        );
    }
}

fn draw_dot(
    canvas: &mut Canvas,
    dot: &Dot,
    (ink, ground): (Ink, Ink),
    scale: Scale,
    (x, y): (f64, f64),
    width: f64,
) {
    let at = |value: f64| x + scale.at(value) * width;
    let Some(value) = dot.value else {
        let words = text::fit(&dot.note, 10.0, width - 8.0);
        // The words stand in the row alone, not on grid lines.
        let room = (text::width(&words, 10.0, false) + 4.0, ROW - 3.0);
        canvas.rect((x + 2.0, y - ROW / 2.0 + 1.5), room, ground);
        canvas.text(
            (x + 4.0, y + 3.6),
            &words,
            Type::new(10.0, Ink::Muted),
            Anchor::Start,
        );
        return;
    };
    if let Some((low, high)) = dot.interval {
        // An interval of no width is a dot.
        if at(high) - at(low) > 0.1 {
            canvas.line((at(low), y), (at(high), y), ink, 1.6);
        }
        for (end, cut) in [(low, low < scale.range().0), (high, high > scale.range().1)] {
            if cut {
                let direction = if end == low { -1.0 } else { 1.0 };
                arrow(canvas, (at(end), y), direction, ink);
            } else {
                canvas.line((at(end), y - 3.0), (at(end), y + 3.0), ink, 1.3);
            }
        }
    }
    if dot.more {
        canvas.line((at(value), y), (at(value) + 13.0, y), ink, 1.6);
        arrow(canvas, (at(value) + 15.0, y), 1.0, ink);
    }
    if dot.less {
        canvas.line((at(value), y), (at(value) - 13.0, y), ink, 1.6);
        arrow(canvas, (at(value) - 15.0, y), -1.0, ink);
    }
    if dot.hollow {
        canvas.shape((at(value), y), Shape::Circle, true, ink, 3.8);
    } else {
        canvas.shape((at(value), y), Shape::Circle, false, ink, 4.0);
    }
}

fn arrow(canvas: &mut Canvas, (x, y): (f64, f64), direction: f64, ink: Ink) {
    let back = x - 5.0 * direction;
    canvas.area(vec![(x, y), (back, y - 3.2), (back, y + 3.2)], ink, 1.0);
}

#[cfg(test)]
mod tests {
    use super::super::palette::Theme;
    use super::*;

    #[test]
    fn missing_values_say_why() {
        let panel = Panel {
            title: "512".into(),
            scale: Scale::linear([-1.0, 1.0], 0.1),
            ticks: vec![],
            axis: "difference".into(),
            reference: Some(0.0),
            dots: vec![
                Some(Dot {
                    note: "diverged".into(),
                    ..Dot::default()
                }),
                Some(Dot {
                    value: Some(0.5),
                    interval: Some((0.2, 3.0)),
                    note: "0.5".into(),
                    ..Dot::default()
                }),
                None,
            ],
        };
        let rows = ["a", "b", "c"]
            .iter()
            .enumerate()
            .map(|(i, n)| ((*n).to_owned(), i))
            .collect();
        let dots = Dots {
            label: "test".into(),
            rows,
            panels: vec![panel],
            per_row: 2,
            notes: 40.0,
        };
        let svg = dots.draw().file(Theme::Light);
        assert!(
            svg.contains(">diverged<") && svg.contains(">0.5<") && !svg.contains("NaN"),
            "{svg}"
        );
    }
}
