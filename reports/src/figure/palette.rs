//! Colours, marker shapes and dash patterns.
//!
//! The hues are those of Okabe and Ito (2008, "Color Universal Design"), which people with any of the common colour
//! vision deficiencies can tell apart. Some of them are too pale for lines on white (yellow has a contrast of 1.3) and
//! some too dark for a dark page, so each theme keeps the hue and moves the lightness until the contrast with the page
//! is at least 3 (WCAG 2.2, 1.4.11). Colour never carries a meaning alone: every curve has a marker and a dash too.

use plotters::style::RGBColor;

/// What a figure is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Dark ink on white: for paper.
    Light,
    /// Light ink on near-black: for slides and dark pages.
    Dark,
}

/// Colours of a theme; the page's style sheet defines the same names as variables.
const ROLES: [(&str, &str, &str); 7] = [
    ("f-paper", "#FFFFFF", "#15181D"),
    ("f-text", "#1F2328", "#E6E8EB"),
    ("f-muted", "#59616B", "#A3ABB6"),
    ("f-axis", "#8A8F98", "#717985"),
    ("f-grid", "#E4E6E9", "#2A2F37"),
    ("f-mark", "#59616B", "#A3ABB6"),
    ("f-tint", "#F3F4F6", "#1D2127"),
];

/// Curve colours in the order in which curves take them: light theme, dark theme.
const CURVES: [(&str, &str); COLOURS] = [
    ("#0072B2", "#4C9FE0"),
    ("#D55E00", "#F0803C"),
    ("#009E73", "#2BB88A"),
    ("#B5588C", "#DB94BC"),
    ("#C17F00", "#E9AA2B"),
    ("#318DC7", "#7CCBF2"),
    ("#1F2328", "#E6E8EB"),
    ("#857A00", "#F0E442"),
];

/// Number of colours; past it the colours repeat with hollow markers and other dashes.
pub(crate) const COLOURS: usize = 8;

/// Dash patterns in tenths of a unit; empty is solid. Eleven, so that with eight colours a pair repeats after 88 curves.
const DASHES: [&str; 11] = [
    "",
    "70 25",
    "20 20",
    "90 25 20 25",
    "45 20",
    "120 30",
    "60 20 20 20 20 20",
    "30 30",
    "110 25 45 25",
    "15 35",
    "70 20 20 20",
];

/// What a line or area is drawn with. A drawing holds inks, not colours, so one drawing serves both themes and the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// The background.
    Paper,
    /// Titles and values.
    Text,
    /// Secondary text.
    Muted,
    /// Axis lines and ticks.
    Axis,
    /// Grid lines.
    Grid,
    /// The line at the trained length.
    Mark,
    /// Areas behind the data.
    Tint,
    /// The colour of a curve: markers, error bars, bands.
    Curve(usize),
    /// The colour and the dash pattern of a curve: its line.
    Line(usize),
    /// The same colour in every theme (cells of a heat map).
    Fixed(u8, u8, u8),
}

/// Inks travel through the drawing back end as colours that nothing else uses: red 0xF1, then kind and index.
const TAG: u8 = 0xF1;

impl Ink {
    /// The stand-in colour of this ink.
    pub(crate) fn tag(self) -> RGBColor {
        let curve = |i: usize| (i % 255) as u8;
        match self {
            Ink::Paper => RGBColor(TAG, 0, 0),
            Ink::Text => RGBColor(TAG, 0, 1),
            Ink::Muted => RGBColor(TAG, 0, 2),
            Ink::Axis => RGBColor(TAG, 0, 3),
            Ink::Grid => RGBColor(TAG, 0, 4),
            Ink::Mark => RGBColor(TAG, 0, 5),
            Ink::Tint => RGBColor(TAG, 0, 6),
            Ink::Curve(i) => RGBColor(TAG, 1, curve(i)),
            Ink::Line(i) => RGBColor(TAG, 2, curve(i)),
            Ink::Fixed(r, g, b) => RGBColor(r, g, b),
        }
    }
}

/// Replaces every stand-in colour of an SVG by the theme's colour, or by the page's variable where `theme` is `None`.
pub(crate) fn paint(svg: &str, theme: Option<Theme>) -> String {
    let tag = format!("\"#{TAG:02X}");
    let mut out = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some(at) = rest.find(&tag) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let number = |range| {
            found
                .get(range)
                .and_then(|hex| usize::from_str_radix(hex, 16).ok())
        };
        match (number(4..6), number(6..8), found.as_bytes().get(8)) {
            (Some(kind @ 0..=2), Some(index), Some(b'"')) => {
                out.push_str(&attribute(kind, index, theme));
                rest = &found[9..];
            }
            _ => {
                out.push_str(&tag);
                rest = &found[tag.len()..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The attribute value (with quotes, and the dash attribute of lines) for a stand-in.
fn attribute(kind: usize, index: usize, theme: Option<Theme>) -> String {
    let (name, light, dark) = match kind {
        0 => {
            let (name, light, dark) = ROLES[index.min(ROLES.len() - 1)];
            (name.to_owned(), light, dark)
        }
        _ => {
            let (light, dark) = CURVES[index % COLOURS];
            (format!("c{}", index % COLOURS), light, dark)
        }
    };
    let colour = match theme {
        Some(Theme::Light) => light.to_owned(),
        Some(Theme::Dark) => dark.to_owned(),
        None => format!("var(--{name})"),
    };
    let dash = DASHES[index % DASHES.len()];
    match kind == 2 && !dash.is_empty() {
        true => format!("\"{colour}\" stroke-dasharray=\"{dash}\""),
        false => format!("\"{colour}\""),
    }
}

/// Declarations of all figure colours for one theme, for the page's style sheet.
pub(crate) fn variables(theme: Theme) -> String {
    let pick = |light: &str, dark: &str| {
        if theme == Theme::Light {
            light.to_owned()
        } else {
            dark.to_owned()
        }
    };
    let roles = ROLES
        .iter()
        .map(|(name, light, dark)| format!("--{name}:{};", pick(light, dark)));
    let curves = CURVES
        .iter()
        .enumerate()
        .map(|(i, (light, dark))| format!("--c{i}:{};", pick(light, dark)));
    roles.chain(curves).collect()
}

/// A marker's outline; with its fill it names a curve even without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Up,
    Diamond,
    Down,
    Cross,
    Plus,
    Pentagon,
}

/// The marker of a curve and whether it is hollow.
pub(crate) fn marker(curve: usize) -> (Shape, bool) {
    use Shape::{Circle, Cross, Diamond, Down, Pentagon, Plus, Square, Up};
    let shapes = [Circle, Square, Up, Diamond, Down, Pentagon, Cross, Plus];
    let round = curve / COLOURS;
    // After each round the shapes move on by one, so that colour and shape do not stay married.
    (shapes[(curve + round) % shapes.len()], round % 2 == 1)
}

/// Anchors of a scale that grows evenly in lightness for all kinds of colour vision: blue, grey, yellow, as in cividis
/// (Nuñez, Anderton and Renslow 2018).
const SEQUENTIAL: [(f64, f64, f64); 6] = [
    (0.0, 34.0, 78.0),
    (53.0, 69.0, 108.0),
    (102.0, 105.0, 112.0),
    (148.0, 142.0, 119.0),
    (200.0, 184.0, 102.0),
    (253.0, 231.0, 55.0),
];

/// The colour for `share` in 0 to 1 (clamped), and the ink that is legible on it.
pub(crate) fn sequential(share: f64) -> (Ink, Ink) {
    let x = share.clamp(0.0, 1.0) * (SEQUENTIAL.len() - 1) as f64;
    let at = (x.floor() as usize).min(SEQUENTIAL.len() - 2);
    let part = x - at as f64;
    let (a, b) = (SEQUENTIAL[at], SEQUENTIAL[at + 1]);
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    let rgb = (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2));
    let dark_text =
        contrast(luminance(rgb), luminance((16, 20, 26))) > contrast(luminance(rgb), 1.0);
    let text = if dark_text {
        Ink::Fixed(16, 20, 26)
    } else {
        Ink::Fixed(255, 255, 255)
    };
    (Ink::Fixed(rgb.0, rgb.1, rgb.2), text)
}

/// Relative luminance (WCAG 2.2).
fn luminance((r, g, b): (u8, u8, u8)) -> f64 {
    let linear = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.040_45 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// Contrast ratio of two luminances (WCAG 2.2).
fn contrast(a: f64, b: f64) -> f64 {
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(hex: &str) -> (u8, u8, u8) {
        let part = |at: usize| {
            u8::from_str_radix(&hex[at..at + 2], 16).expect("palette entries are hexadecimal")
        };
        (part(1), part(3), part(5))
    }

    fn ratio(a: &str, b: &str) -> f64 {
        contrast(luminance(rgb(a)), luminance(rgb(b)))
    }

    #[test]
    fn contrast_matches_the_standard_at_its_ends() {
        assert!((ratio("#000000", "#FFFFFF") - 21.0).abs() < 1e-9);
        assert!(
            (ratio("#777777", "#FFFFFF") - 4.48).abs() < 0.01,
            "the standard's well-known border case"
        );
    }

    #[test]
    fn curves_stand_out_on_paper_and_on_tint() {
        for (light, dark) in CURVES {
            for (ground, curve) in [
                (ROLES[0].1, light),
                (ROLES[6].1, light),
                (ROLES[0].2, dark),
                (ROLES[6].2, dark),
            ] {
                assert!(
                    ratio(ground, curve) >= 3.0,
                    "{curve} on {ground}: {:.2}",
                    ratio(ground, curve)
                );
            }
        }
    }

    #[test]
    fn text_is_readable() {
        for role in [1, 2, 5] {
            assert!(ratio(ROLES[0].1, ROLES[role].1) >= 4.5, "{}", ROLES[role].0);
            assert!(ratio(ROLES[0].2, ROLES[role].2) >= 4.5, "{}", ROLES[role].0);
        }
        for step in 0..=100 {
            let (Ink::Fixed(r, g, b), Ink::Fixed(tr, tg, tb)) = sequential(f64::from(step) / 100.0)
            else {
                panic!("cells have fixed colours");
            };
            let found = contrast(luminance((r, g, b)), luminance((tr, tg, tb)));
            assert!(found >= 4.2, "cell text at {step} %: contrast {found:.2}");
        }
    }

    #[test]
    fn sequential_scale_grows_in_lightness() {
        let light = |share| match sequential(share).0 {
            Ink::Fixed(r, g, b) => luminance((r, g, b)),
            other => panic!("cells have fixed colours, found {other:?}"),
        };
        for step in 0..20 {
            assert!(light(f64::from(step + 1) / 20.0) > light(f64::from(step) / 20.0));
        }
    }

    #[test]
    fn forty_curves_differ_in_colour_marker_or_dash() {
        let look = |i: usize| {
            (
                CURVES[i % COLOURS],
                marker(i).0 as u8,
                marker(i).1,
                DASHES[i % DASHES.len()],
            )
        };
        for i in 0..40 {
            for j in 0..i {
                assert_ne!(look(i), look(j), "{i} and {j}");
            }
        }
        let first: Vec<_> = (0..COLOURS)
            .zip(DASHES)
            .map(|(i, dash)| (marker(i), dash))
            .collect();
        for (i, a) in first.iter().enumerate() {
            for b in &first[..i] {
                assert!(a.0 != b.0 && a.1 != b.1, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn paint_leaves_text_alone() {
        let svg = "<rect fill=\"#F10000\"/><text>\"#F1 and &quot;#F10000&quot;</text><line stroke=\"#F10201\"/>";
        let painted = paint(svg, Some(Theme::Light));
        assert!(painted.contains("fill=\"#FFFFFF\""), "{painted}");
        assert!(painted.contains("&quot;#F10000&quot;"), "{painted}");
        assert!(
            painted.contains("stroke=\"#D55E00\" stroke-dasharray=\"70 25\""),
            "{painted}"
        );
        assert!(paint(svg, None).contains("fill=\"var(--f-paper)\""));
    }
}
