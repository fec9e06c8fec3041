//! A drawing surface: marks are kept as data, with inks instead of colours, and drawn last, by plotters, as SVG.

mod svg;

use super::drawing::{Drawing, escape};
use super::palette::{self, Ink, Shape};
use super::text;

impl Drawing {
    /// The line and the marker of a curve alone, for tables.
    pub(crate) fn swatch(curve: usize) -> Drawing {
        let mut canvas = Canvas::default();
        canvas.path(vec![(0.0, 6.0), (30.0, 6.0)], Ink::Line(curve), 1.7);
        canvas.marker((15.0, 6.0), curve, 3.6);
        canvas.finish(30.0, 12.0, "")
    }
}

/// Where a text hangs on its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Size and ink of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) ink: Ink,
    pub(crate) bold: bool,
}

impl Type {
    pub(crate) const fn new(size: f64, ink: Ink) -> Type {
        Type {
            size,
            ink,
            bold: false,
        }
    }

    pub(crate) const fn bold(size: f64, ink: Ink) -> Type {
        Type {
            size,
            ink,
            bold: true,
        }
    }
}

/// What marks belong to: the page's script finds them by it. Written as attributes of the group around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// What kind of part it is (`key` of a legend, `dot`, `cell`); empty for what is drawn of a curve.
    pub(crate) kind: &'static str,
    /// The curve, by its index in the run.
    pub(crate) curve: Option<usize>,
    /// Which column or panel of the figure.
    pub(crate) at: Option<String>,
}

impl Part {
    /// What is drawn of a curve.
    pub(crate) fn curve(curve: usize) -> Part {
        Part::of("", curve)
    }

    /// A part of a kind, of a curve.
    pub(crate) fn of(kind: &'static str, curve: usize) -> Part {
        Part {
            kind,
            curve: Some(curve),
            at: None,
        }
    }

    fn attributes(&self) -> String {
        let mut out = String::new();
        if !self.kind.is_empty() {
            out.push_str(&format!(" class=\"{}\"", self.kind));
        }
        if let Some(curve) = self.curve {
            out.push_str(&format!(" data-c=\"{curve}\""));
        }
        if let Some(at) = &self.at {
            out.push_str(&format!(" data-at=\"{}\"", escape(at)));
        }
        out
    }
}

/// An area with a text that a pointer brings up.
#[derive(Debug)]
struct Tip {
    corner: (f64, f64),
    size: (f64, f64),
    text: String,
}

/// Collects the marks of one figure.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    marks: Vec<(Part, Mark)>,
    tips: Vec<(Part, Tip)>,
    part: Part,
}

/// One mark. Kept as data until [`Canvas::finish`], so that the size may be decided last.
#[derive(Debug)]
enum Mark {
    Path {
        points: Vec<(f64, f64)>,
        ink: Ink,
        width: f64,
        alpha: f64,
    },
    Area {
        points: Vec<(f64, f64)>,
        ink: Ink,
        alpha: f64,
    },
    Rect {
        corner: (f64, f64),
        size: (f64, f64),
        ink: Ink,
    },
    Disc {
        at: (f64, f64),
        radius: f64,
        ink: Ink,
    },
    Ring {
        at: (f64, f64),
        radius: f64,
        ink: Ink,
        width: f64,
    },
    Text {
        at: (f64, f64),
        text: String,
        font: Type,
        anchor: Anchor,
        upright: bool,
    },
}

impl Canvas {
    /// Marks and tips from here on belong to `part`; [`Canvas::common`] ends it.
    pub(crate) fn part(&mut self, part: Part) {
        self.part = part;
    }

    /// Marks from here on belong to the figure as a whole.
    pub(crate) fn common(&mut self) {
        self.part = Part::default();
    }

    fn mark(&mut self, mark: Mark) {
        self.marks.push((self.part.clone(), mark));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.path(vec![from, to], ink, width);
    }

    pub(crate) fn path(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64) {
        self.faint(points, ink, width, 1.0);
    }

    pub(crate) fn faint(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64, alpha: f64) {
        // What has no length on the page cannot be stroked.
        let length = |pair: &[(f64, f64)]| {
            let (from, to) = (pair[0], pair[1]);
            (to.0 - from.0).abs() + (to.1 - from.1).abs()
        };
        if points.windows(2).any(|pair| length(pair) >= 0.1) {
            self.mark(Mark::Path {
                points,
                ink,
                width,
                alpha,
            });
        }
    }

    pub(crate) fn area(&mut self, points: Vec<(f64, f64)>, ink: Ink, alpha: f64) {
        self.mark(Mark::Area { points, ink, alpha });
    }

    pub(crate) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), ink: Ink) {
        self.mark(Mark::Rect { corner, size, ink });
    }

    /// Text on a baseline at `y`.
    pub(crate) fn text(&mut self, at: (f64, f64), words: &str, font: Type, anchor: Anchor) {
        self.mark(Mark::Text {
            at,
            text: text::clean(words),
            font,
            anchor,
            upright: true,
        });
    }

    /// Text that reads from bottom to top, centred on the point.
    pub(crate) fn sideways(&mut self, at: (f64, f64), words: &str, font: Type) {
        self.mark(Mark::Text {
            at,
            text: text::clean(words),
            font,
            anchor: Anchor::Middle,
            upright: false,
        });
    }

    /// What a pointer over the area is told: `name, place: value`, as the page's script reads it.
    pub(crate) fn tip(&mut self, corner: (f64, f64), size: (f64, f64), text: &str) {
        let text = text.to_owned();
        let tip = Tip { corner, size, text };
        self.tips.push((self.part.clone(), tip));
    }

    /// The marker of a curve, `radius` about half its width.
    pub(crate) fn marker(&mut self, (x, y): (f64, f64), curve: usize, radius: f64) {
        let (shape, hollow) = palette::marker(curve);
        self.shape((x, y), shape, hollow, Ink::Curve(curve), radius);
    }

    /// A marker of a given shape.
    pub(crate) fn shape(
        &mut self,
        (x, y): (f64, f64),
        shape: Shape,
        hollow: bool,
        ink: Ink,
        radius: f64,
    ) {
        let polygon = |corners: usize, turn: f64, r: f64| -> Vec<(f64, f64)> {
            let angle = |i: usize| turn + std::f64::consts::TAU * i as f64 / corners as f64;
            (0..corners)
                .map(|i| (x + r * angle(i).sin(), y - r * angle(i).cos()))
                .collect()
        };
        let half = std::f64::consts::PI;
        let outline = match shape {
            Shape::Circle if hollow => {
                self.mark(Mark::Disc {
                    at: (x, y),
                    radius: radius + 0.4,
                    ink: Ink::Paper,
                });
                self.mark(Mark::Ring {
                    at: (x, y),
                    radius: radius * 0.92,
                    ink,
                    width: 1.3,
                });
                return;
            }
            Shape::Circle => {
                let at = (x, y);
                self.mark(Mark::Disc { at, radius, ink });
                return;
            }
            Shape::Cross | Shape::Plus => {
                let arm = radius * if shape == Shape::Cross { 0.85 } else { 1.15 };
                let (dx, dy) = if shape == Shape::Cross {
                    (arm, arm)
                } else {
                    (arm, 0.0)
                };
                let width = if hollow { 1.1 } else { 1.9 };
                self.line((x - dx, y - dy), (x + dx, y + dy), ink, width);
                self.line((x - dy, y + dx), (x + dy, y - dx), ink, width);
                return;
            }
            Shape::Square => polygon(4, half / 4.0, radius * 1.25),
            Shape::Diamond => polygon(4, 0.0, radius * 1.3),
            Shape::Up => polygon(3, 0.0, radius * 1.35),
            Shape::Down => polygon(3, half, radius * 1.35),
            Shape::Pentagon => polygon(5, 0.0, radius * 1.2),
        };
        if hollow {
            let mut edge = outline.clone();
            edge.push(outline[0]);
            edge.push(outline[1]);
            self.area(outline, Ink::Paper, 1.0);
            self.path(edge, ink, 1.3);
        } else {
            self.area(outline, ink, 1.0);
        }
    }

    /// Writes the SVG. `label` describes the figure to those who cannot see it.
    pub(crate) fn finish(self, width: f64, height: f64, label: &str) -> Drawing {
        let mut body = String::new();
        svg::write_marks(&mut body, &self.marks);
        if !self.tips.is_empty() {
            body.push_str("<g class=\"tips\" fill=\"none\" pointer-events=\"all\">\n");
            svg::write_tips(&mut body, &self.tips);
            body.push_str("</g>\n");
        }
        Drawing {
            width: width.round() as u32,
            height: height.round() as u32,
            label: label.to_owned(),
            body,
            across: false,
        }
    }
}

#[cfg(test)]
mod tests;
