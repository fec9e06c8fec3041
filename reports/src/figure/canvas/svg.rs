//! A back end of plotters that writes what its own cannot: parts as groups, tenths of a unit, and rectangles with words.

use super::super::drawing::escape;
use super::super::palette::Ink;
use super::{Anchor, Mark, Part, Tip};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle, FontTransform,
};
use std::convert::Infallible;
use std::fmt::Write;

/// Back ends draw on whole numbers only; a tenth of a unit is finer than the eye.
const FINE: f64 = 10.0;

/// Neighbours that belong to one part stand in a group that says so.
fn grouped<T>(out: &mut String, all: &[(Part, T)], write: fn(&mut String, &T)) {
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let part = same[0].0.attributes();
        if !part.is_empty() {
            out.push_str(&format!("<g{part}>\n"));
        }
        for (_, one) in same {
            write(out, one);
        }
        if !part.is_empty() {
            out.push_str("</g>\n");
        }
    }
}

/// All marks.
pub(super) fn write_marks(out: &mut String, marks: &[(Part, Mark)]) {
    grouped(out, marks, |out, mark| {
        let drawn = draw(&mut Svg { out }, mark);
        debug_assert!(drawn.is_ok(), "drawing into a string has no failing step");
    });
}

/// All areas with words, which take the pointer.
pub(super) fn write_tips(out: &mut String, tips: &[(Part, Tip)]) {
    grouped(out, tips, |out, tip| {
        let [x, y, w, h] =
            [tip.corner.0, tip.corner.1, tip.size.0, tip.size.1].map(|v| shown(fine(v)));
        let words = escape(&tip.text);
        out.push_str(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"><title>{words}</title></rect>\n"
        ));
    });
}

fn fine(value: f64) -> i32 {
    (value * FINE).round() as i32
}

fn place((x, y): (f64, f64)) -> BackendCoord {
    (fine(x), fine(y))
}

/// A number of tenths as it is written.
fn shown(tenths: impl Into<f64>) -> String {
    format!("{}", tenths.into() / FINE)
}

fn rgb(ink: Ink) -> RGBColor {
    let (red, green, blue) = ink.tag();
    RGBColor(red, green, blue)
}

fn draw(svg: &mut Svg<'_>, mark: &Mark) -> Drawn {
    let style = |ink: Ink, alpha: f64, width: f64| ShapeStyle {
        color: rgb(ink).mix(alpha),
        filled: true,
        stroke_width: fine(width).unsigned_abs(),
    };
    match mark {
        Mark::Path {
            points,
            ink,
            width,
            alpha,
        } => svg.draw_path(
            points.iter().copied().map(place),
            &style(*ink, *alpha, *width),
        ),
        Mark::Area { points, ink, alpha } => {
            svg.fill_polygon(points.iter().copied().map(place), &style(*ink, *alpha, 0.0))
        }
        Mark::Rect { corner, size, ink } => {
            let far = (corner.0 + size.0, corner.1 + size.1);
            svg.draw_rect(place(*corner), place(far), &style(*ink, 1.0, 0.0), true)
        }
        Mark::Disc { at, radius, ink } => svg.draw_circle(
            place(*at),
            fine(*radius).unsigned_abs(),
            &style(*ink, 1.0, 0.0),
            true,
        ),
        Mark::Ring {
            at,
            radius,
            ink,
            width,
        } => svg.draw_circle(
            place(*at),
            fine(*radius).unsigned_abs(),
            &style(*ink, 1.0, *width),
            false,
        ),
        Mark::Text {
            at,
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
            let mut family = ("Inter", font.size * FINE).into_font();
            if font.bold {
                family = family.style(FontStyle::Bold);
            }
            if !upright {
                family = family.transform(FontTransform::Rotate270);
            }
            let colour = rgb(font.ink);
            let style = TextStyle::from(family)
                .color(&colour)
                .pos(Pos::new(h_pos, VPos::Bottom));
            svg.draw_text(text, &style, place(*at))
        }
    }
}

/// Writes elements behind each other; who uses them writes the root.
struct Svg<'a> {
    out: &'a mut String,
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl Svg<'_> {
    /// Writing to a string cannot fail.
    fn element(&mut self, element: std::fmt::Arguments<'_>) -> Drawn {
        let _ = writeln!(self.out, "{element}");
        Ok(())
    }
}

fn outline(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut out = String::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        out.push(if i == 0 { 'M' } else { 'L' });
        out.push_str(&format!("{} {}", shown(x), shown(y)));
    }
    out
}

fn colour(colour: BackendColor) -> String {
    let (r, g, b) = colour.rgb;
    format!("\"#{r:02X}{g:02X}{b:02X}\"")
}

fn opacity(colour: BackendColor) -> String {
    match colour.alpha < 1.0 {
        true => format!(" opacity=\"{}\"", colour.alpha),
        false => String::new(),
    }
}

impl DrawingBackend for Svg<'_> {
    type ErrorType = Infallible;

    /// Elements have no bounds of their own.
    fn get_size(&self) -> (u32, u32) {
        (u32::MAX, u32::MAX)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let [x, y, w, h] = [from.0, from.1, to.0 - from.0, to.1 - from.1].map(shown);
        self.element(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{}{}/>",
            paint(style, fill),
            opacity(style.color())
        ))
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.element(format_args!(
            "<path d=\"{}\"{}{}/>",
            outline(path),
            paint(style, false),
            opacity(style.color())
        ))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        self.element(format_args!(
            "<path d=\"{}Z\"{}{}/>",
            outline(corners),
            paint(style, true),
            opacity(style.color())
        ))
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.element(format_args!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{}/>",
            shown(x),
            shown(y),
            shown(radius),
            paint(style, fill)
        ))
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let (x, y) = (shown(x), shown(y));
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Center => " text-anchor=\"middle\"",
            HPos::Right => " text-anchor=\"end\"",
        };
        let weight = match style.style() {
            FontStyle::Bold => " font-weight=\"bold\"",
            _ => "",
        };
        let turn = match style.transform() {
            FontTransform::None => String::new(),
            FontTransform::Rotate90 => format!(" transform=\"rotate(90 {x} {y})\""),
            FontTransform::Rotate180 => format!(" transform=\"rotate(180 {x} {y})\""),
            FontTransform::Rotate270 => format!(" transform=\"rotate(-90 {x} {y})\""),
        };
        let size = shown(style.size().round());
        self.element(format_args!(
            "<text x=\"{x}\" y=\"{y}\"{anchor} font-size=\"{size}\"{weight} fill={}{turn}>{}</text>",
            colour(style.color()),
            escape(text)
        ))
    }
}

/// How an outline is shown.
fn paint<S: BackendStyle>(style: &S, fill: bool) -> String {
    let colour = colour(style.color());
    match fill {
        true => format!(" fill={colour}"),
        false => {
            let width = shown(style.stroke_width());
            format!(" fill=\"none\" stroke={colour} stroke-width=\"{width}\"")
        }
    }
}
