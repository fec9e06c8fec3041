//! A drawing surface over plotters' SVG back end: fractional coordinates, inks instead of colours, tooltips.

use plotters::prelude::{DrawingBackend, SVGBackend, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, TextStyle};

use super::drawing::{Drawing, escape};
use super::palette::{self, Ink, Shape};
use super::text;

/// The back end draws on whole numbers only; a tenth of a unit is finer than the eye.
const FINE: f64 = 10.0;

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

/// An area with a text that a pointer brings up.
#[derive(Debug)]
struct Tip {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    text: String,
}

/// Collects the marks of one figure.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    marks: Vec<Mark>,
    tips: Vec<Tip>,
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
    Disc {
        x: f64,
        y: f64,
        radius: f64,
        ink: Ink,
    },
    Ring {
        x: f64,
        y: f64,
        radius: f64,
        ink: Ink,
        width: f64,
    },
    Text {
        x: f64,
        y: f64,
        text: String,
        font: Type,
        anchor: Anchor,
        upright: bool,
    },
}

impl Canvas {
    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.path(vec![from, to], ink, width);
    }

    pub(crate) fn path(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64) {
        self.faint(points, ink, width, 1.0);
    }

    pub(crate) fn faint(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64, alpha: f64) {
        if points.len() > 1 {
            self.marks.push(Mark::Path {
                points,
                ink,
                width,
                alpha,
            });
        }
    }

    pub(crate) fn area(&mut self, points: Vec<(f64, f64)>, ink: Ink, alpha: f64) {
        self.marks.push(Mark::Area { points, ink, alpha });
    }

    pub(crate) fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), ink: Ink) {
        self.area(
            vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)],
            ink,
            1.0,
        );
    }

    /// Text on a baseline at `y`.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), words: &str, font: Type, anchor: Anchor) {
        self.marks.push(Mark::Text {
            x,
            y,
            text: text::clean(words),
            font,
            anchor,
            upright: true,
        });
    }

    /// Text that reads from bottom to top, centred on the point.
    pub(crate) fn sideways(&mut self, (x, y): (f64, f64), words: &str, font: Type) {
        let text = text::clean(words);
        self.marks.push(Mark::Text {
            x,
            y,
            text,
            font,
            anchor: Anchor::Middle,
            upright: false,
        });
    }

    pub(crate) fn tip(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), text: &str) {
        self.tips.push(Tip {
            x,
            y,
            width,
            height,
            text: text.to_owned(),
        });
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
                self.marks.push(Mark::Disc {
                    x,
                    y,
                    radius: radius + 0.4,
                    ink: Ink::Paper,
                });
                self.marks.push(Mark::Ring {
                    x,
                    y,
                    radius: radius * 0.92,
                    ink,
                    width: 1.3,
                });
                return;
            }
            Shape::Circle => {
                self.marks.push(Mark::Disc { x, y, radius, ink });
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
        let mut raw = String::new();
        {
            let size = ((width * FINE) as u32, (height * FINE) as u32);
            let mut backend = SVGBackend::with_string(&mut raw, size);
            for mark in &self.marks {
                draw(&mut backend, mark);
            }
        }
        let mut body = String::from("<g transform=\"scale(0.1)\" stroke-linejoin=\"round\">\n");
        body.push_str(&tidy(&raw));
        for tip in &self.tips {
            let [x, y, w, h] = [tip.x, tip.y, tip.width, tip.height].map(fine);
            body.push_str(&format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"none\" pointer-events=\"all\">\
                 <title>{}</title></rect>\n",
                escape(&tip.text)
            ));
        }
        body.push_str("</g>\n");
        Drawing {
            width: width.round() as u32,
            height: height.round() as u32,
            label: label.to_owned(),
            body,
        }
    }
}

fn fine(value: f64) -> i32 {
    (value * FINE).round() as i32
}

fn place((x, y): (f64, f64)) -> (i32, i32) {
    (fine(x), fine(y))
}

/// Draws into the string buffer, which cannot fail.
fn draw(backend: &mut SVGBackend<'_>, mark: &Mark) {
    let style = |ink: Ink, alpha: f64, width: f64| ShapeStyle {
        color: ink.tag().mix(alpha),
        filled: true,
        stroke_width: (width * FINE).round() as u32,
    };
    let drawn = match mark {
        Mark::Path {
            points,
            ink,
            width,
            alpha,
        } => backend.draw_path(
            points.iter().copied().map(place),
            &style(*ink, *alpha, *width),
        ),
        Mark::Area { points, ink, alpha } => {
            backend.fill_polygon(points.iter().copied().map(place), &style(*ink, *alpha, 0.0))
        }
        Mark::Disc { x, y, radius, ink } => backend.draw_circle(
            place((*x, *y)),
            fine(*radius) as u32,
            &style(*ink, 1.0, 0.0),
            true,
        ),
        Mark::Ring {
            x,
            y,
            radius,
            ink,
            width,
        } => backend.draw_circle(
            place((*x, *y)),
            fine(*radius) as u32,
            &style(*ink, 1.0, *width),
            false,
        ),
        Mark::Text {
            x,
            y,
            text,
            font,
            anchor,
            upright,
        } => {
            let h_pos = match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            // The back end divides sizes by 1.24.
            let mut family = ("Inter", font.size * FINE * 1.24).into_font();
            if font.bold {
                family = family.style(FontStyle::Bold);
            }
            if !upright {
                family = family.transform(FontTransform::Rotate270);
            }
            let colour = font.ink.tag();
            let style = TextStyle::from(family)
                .color(&colour)
                .pos(Pos::new(h_pos, VPos::Bottom));
            backend.draw_text(text, &style, place((*x, *y)))
        }
    };
    debug_assert!(drawn.is_ok(), "drawing into a string has no failing step");
}

/// Drops the back end's root element and what repeats its defaults; a baseline is where we said, not half an x-height up.
fn tidy(raw: &str) -> String {
    let inside = raw.split_once(">\n").map_or("", |(_, rest)| rest);
    let inside = inside.strip_suffix("</svg>\n").unwrap_or(inside);
    let mut out = String::with_capacity(inside.len());
    for line in inside.lines() {
        // Only the back end's own tags begin with `<`: text is escaped.
        if !line.starts_with('<') {
            out.push_str(line);
            continue;
        }
        let mut line = line
            .replace(" dy=\"-0.5ex\"", "")
            .replace(" opacity=\"1\"", "")
            .replace(" font-family=\"Inter\"", "")
            .replace(" text-anchor=\"start\"", "")
            .replace(" stroke=\"none\" stroke-width=\"0\"", "")
            .replace(" \"/>", "\"/>");
        if let Some((before, rest)) = line.clone().split_once("font-size=\"")
            && let Some((size, after)) = rest.split_once('"')
        {
            let size = size.parse::<f64>().unwrap_or(0.0).round();
            line = format!("{before}font-size=\"{size}\"{after}");
        }
        out.push_str(&line);
        if !line.starts_with("<text") {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests;
