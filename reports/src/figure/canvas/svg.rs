//! Marks, parts and tips as SVG.

use super::super::drawing::escape;
use super::{Anchor, Mark, Part, Tip};
use std::fmt::Write;

/// Neighbours that belong to one part stand in a group that says so.
pub(super) fn grouped<T>(out: &mut String, all: &[(Part, T)], write: fn(&mut String, &T)) {
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

/// A coordinate: a tenth of a unit is finer than the eye.
fn fine(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    // No −0.
    format!("{}", tenths + 0.0)
}

fn outline(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        out.push(if i == 0 { 'M' } else { 'L' });
        out.push_str(&format!("{} {}", fine(*x), fine(*y)));
    }
    out
}

/// Writing to a string cannot fail.
pub(super) fn write_mark(out: &mut String, mark: &Mark) {
    let opacity = |alpha: f64| match alpha < 1.0 {
        true => format!(" opacity=\"{alpha}\""),
        false => String::new(),
    };
    let _ = match mark {
        Mark::Path {
            points,
            ink,
            width,
            alpha,
        } => writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke={} stroke-width=\"{width}\"{}/>",
            outline(points),
            ink.tag(),
            opacity(*alpha)
        ),
        Mark::Area { points, ink, alpha } => writeln!(
            out,
            "<path d=\"{}Z\" fill={}{}/>",
            outline(points),
            ink.tag(),
            opacity(*alpha)
        ),
        Mark::Rect { corner, size, ink } => {
            writeln!(out, "<rect {} fill={}/>", frame(*corner, *size), ink.tag())
        }
        Mark::Disc { at, radius, ink } => {
            let [x, y, r] = [at.0, at.1, *radius].map(fine);
            let ink = ink.tag();
            writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill={ink}/>")
        }
        Mark::Ring {
            at,
            radius,
            ink,
            width,
        } => {
            let [x, y, r] = [at.0, at.1, *radius].map(fine);
            let ink = ink.tag();
            writeln!(
                out,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"none\" stroke={ink} stroke-width=\"{width}\"/>"
            )
        }
        Mark::Text {
            at,
            text,
            font,
            anchor,
            upright,
        } => {
            let [x, y] = [at.0, at.1].map(fine);
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let weight = if font.bold {
                " font-weight=\"bold\""
            } else {
                ""
            };
            let turn = match upright {
                true => String::new(),
                false => format!(" transform=\"rotate(-90 {x} {y})\""),
            };
            let (size, ink, words) = (font.size, font.ink.tag(), escape(text));
            writeln!(
                out,
                "<text x=\"{x}\" y=\"{y}\"{anchor} font-size=\"{size}\"{weight} fill={ink}{turn}>{words}</text>"
            )
        }
    };
}

pub(super) fn write_tip(out: &mut String, tip: &Tip) {
    let (frame, words) = (frame(tip.corner, tip.size), escape(&tip.text));
    let _ = writeln!(out, "<rect {frame}><title>{words}</title></rect>");
}

fn frame((x, y): (f64, f64), (w, h): (f64, f64)) -> String {
    let [x, y, w, h] = [x, y, w, h].map(fine);
    format!("x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"")
}
