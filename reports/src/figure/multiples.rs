//! Small multiples of curves: one little plot per scheme over shared axes.

use super::canvas::{Anchor, Canvas, Part, Type};
use super::chart::{LABEL, Point, SMALL, WIDE, WIDTH};
use super::drawing::Drawing;
use super::marks::{Key, Sample, keys};
use super::palette::{self, Ink};
use super::scale::{self, Scale};
use super::text;

const LEFT: f64 = 46.0;
const GUTTER: f64 = 20.0;
const HEIGHT: f64 = 96.0;
/// More panels than this want the width of the page.
pub(crate) const FEW: usize = 6;

/// One little plot: for each entry of the legend the points it has here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// The curve that it is of, if it is of one.
    pub(crate) style: Option<usize>,
    pub(crate) lines: Vec<Vec<Point>>,
}

/// All plots.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Multiples {
    pub(crate) label: String,
    pub(crate) x_title: String,
    pub(crate) y_title: String,
    pub(crate) x: Scale,
    pub(crate) x_ticks: Vec<f64>,
    pub(crate) y: Scale,
    /// Lengths that the lines are of, shortest first, in words.
    pub(crate) names: Vec<String>,
    pub(crate) panels: Vec<Panel>,
}

impl Multiples {
    /// Draws all panels, up to three beside each other.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let wide = self.panels.len() > FEW;
        let (full, most) = if wide { (WIDE, 5) } else { (WIDTH, 2) };
        let key = |(i, words): (usize, &String)| Key {
            words: words.clone(),
            curve: None,
            sample: Sample::Line {
                ink: Ink::length(i, self.names.len()),
                marker: i,
            },
        };
        let names: Vec<Key> = self.names.iter().enumerate().map(key).collect();
        let top = keys(&mut canvas, &names, (8.0, full - 6.0), 4.0) + 6.0;
        let columns = self.panels.len().clamp(1, most);
        let room = full - LEFT - 12.0 - GUTTER * (columns as f64 - 1.0);
        let width = (room / columns as f64).min(220.0);
        let block = 20.0 + HEIGHT + 36.0;
        for (i, panel) in self.panels.iter().enumerate() {
            let (column, row) = (i % columns, i / columns);
            let x = LEFT + column as f64 * (width + GUTTER);
            let y = top + row as f64 * block + 20.0;
            self.panel(&mut canvas, panel, (x, y), width, column == 0);
        }
        let rows = self.panels.len().div_ceil(columns).max(1) as f64;
        canvas.finish(full, top + rows * block + 2.0, &self.label)
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        (x, y): (f64, f64),
        width: f64,
        first: bool,
    ) {
        let mut left = x;
        if let Some(style) = panel.style {
            canvas.part(Part::curve(style));
            canvas.marker((x + 4.0, y - 10.0), style, 3.4);
            left += 13.0;
        }
        let title = text::fit(&panel.title, LABEL, width - 14.0);
        canvas.text(
            (left, y - 6.0),
            &title,
            Type::bold(LABEL, Ink::Text),
            Anchor::Start,
        );
        self.axes(canvas, (x, y), width, first);
        let place = |p: &Point| {
            (
                x + self.x.at(p.x) * width,
                y + HEIGHT * (1.0 - self.y.at(p.y)),
            )
        };
        let lines = || panel.lines.iter().enumerate();
        for (i, line) in lines() {
            let ink = Ink::length(i, self.names.len());
            for run in line.split(|p| !p.y.is_finite()) {
                canvas.path(run.iter().map(place).collect(), ink, 1.5);
            }
        }
        for (i, line) in lines() {
            let (shape, hollow) = palette::marker(i);
            let ink = Ink::length(i, self.names.len());
            for point in line.iter().filter(|p| p.y.is_finite()) {
                let at = place(point);
                canvas.shape(at, shape, hollow, ink, 2.5);
                canvas.tip((at.0 - 4.0, at.1 - 4.0), (8.0, 8.0), &point.tip);
            }
        }
        canvas.common();
    }

    fn axes(&self, canvas: &mut Canvas, (x, y): (f64, f64), width: f64, first: bool) {
        let bottom = y + HEIGHT;
        for tick in self.y.ticks(3) {
            let at = bottom - HEIGHT * self.y.at(tick);
            canvas.line((x, at), (x + width, at), Ink::Grid, 0.8);
            if first {
                let words = scale::label(tick);
                canvas.text(
                    (x - 6.0, at + 3.4),
                    &words,
                    Type::new(SMALL, Ink::Muted),
                    Anchor::End,
                );
            }
        }
        canvas.line((x, bottom), (x + width, bottom), Ink::Axis, 1.0);
        let mut end = f64::NEG_INFINITY;
        for &tick in self.x_ticks.iter().filter(|&&t| self.x.holds(t)) {
            let at = x + self.x.at(tick) * width;
            canvas.line((at, bottom), (at, bottom + 3.0), Ink::Axis, 1.0);
            let words = scale::label(tick);
            let half = text::width(&words, SMALL, false) / 2.0;
            if at - half > end + 4.0 {
                let font = Type::new(SMALL, Ink::Muted);
                canvas.text((at, bottom + 13.0), &words, font, Anchor::Middle);
                end = at + half;
            }
        }
        let middle = (x + width / 2.0, bottom + 26.0);
        canvas.text(
            middle,
            &self.x_title,
            Type::new(SMALL, Ink::Text),
            Anchor::Middle,
        );
        if first {
            let at = (12.0, y + HEIGHT / 2.0);
            canvas.sideways(at, &self.y_title, Type::new(SMALL, Ink::Text));
        }
    }
}
