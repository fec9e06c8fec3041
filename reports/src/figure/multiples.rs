//! Small multiples of curves: one little plot per scheme over shared axes.

use super::canvas::{Anchor, Canvas, Type};
use super::chart::{LABEL, Point, WIDTH};
use super::drawing::Drawing;
use super::marks::legend;
use super::palette::Ink;
use super::scale::{self, Scale};
use super::text;

const LEFT: f64 = 46.0;
const GUTTER: f64 = 20.0;
const HEIGHT: f64 = 96.0;
const SMALL: f64 = 9.5;

/// One little plot: for each entry of the legend the points it has here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) style: usize,
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
    /// Names of the lines; a line's place here is its palette index.
    pub(crate) names: Vec<String>,
    pub(crate) panels: Vec<Panel>,
}

impl Multiples {
    /// Draws all panels, up to three beside each other.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let names: Vec<(&str, usize)> = self
            .names
            .iter()
            .enumerate()
            .map(|(i, n)| (n.as_str(), i))
            .collect();
        let top = legend(&mut canvas, &names, 4.0, true) + 6.0;
        let columns = self.panels.len().clamp(1, 3);
        let room = WIDTH - LEFT - 12.0 - GUTTER * (columns as f64 - 1.0);
        let width = (room / columns as f64).min(220.0);
        let block = 20.0 + HEIGHT + 36.0;
        for (i, panel) in self.panels.iter().enumerate() {
            let (column, row) = (i % columns, i / columns);
            let x = LEFT + column as f64 * (width + GUTTER);
            let y = top + row as f64 * block + 20.0;
            self.panel(&mut canvas, panel, (x, y), width, column == 0);
        }
        let rows = self.panels.len().div_ceil(columns).max(1) as f64;
        canvas.finish(WIDTH, top + rows * block + 2.0, &self.label)
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        (x, y): (f64, f64),
        width: f64,
        first: bool,
    ) {
        canvas.marker((x + 4.0, y - 10.0), panel.style, 3.4);
        let title = text::fit(&panel.title, LABEL, width - 14.0);
        canvas.text(
            (x + 13.0, y - 6.0),
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
        for (style, line) in panel.lines.iter().enumerate() {
            for run in line.split(|p| !p.y.is_finite()) {
                canvas.path(run.iter().map(place).collect(), Ink::Line(style), 1.5);
            }
        }
        for (style, line) in panel.lines.iter().enumerate() {
            for point in line.iter().filter(|p| p.y.is_finite()) {
                let at = place(point);
                canvas.marker(at, style, 2.5);
                canvas.tip((at.0 - 4.0, at.1 - 4.0), (8.0, 8.0), &point.tip);
            }
        }
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
        let middle = (x + width / 2.0, bottom + 25.5);
        canvas.text(
            middle,
            &self.x_title,
            Type::new(SMALL, Ink::Text),
            Anchor::Middle,
        );
        if first {
            let at = (12.0, y + HEIGHT / 2.0);
            canvas.sideways(at, &self.y_title, Type::new(SMALL + 0.5, Ink::Text));
        }
    }
}
