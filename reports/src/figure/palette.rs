//! Colours, marker shapes and dash patterns.
//!
//! The hues are those of Okabe and Ito (2008, "Color Universal Design"), which people with any of the common colour
//! vision deficiencies can tell apart. Some of them are too pale for lines on white (yellow has a contrast of 1.3) and
//! some too dark for a dark page, so each theme keeps the hue and moves the lightness until the contrast with the page
//! is at least 3 (WCAG 2.2, 1.4.11). Colour never carries a meaning alone: every curve has a marker and a dash too.

/// What a figure is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Dark ink on white: for paper.
    Light,
    /// Light ink on near-black: for slides and dark pages.
    Dark,
}

/// Colours of a theme; the page's style sheet defines the same names as variables.
const ROLES: [(&str, &str, &str); 8] = [
    ("f-paper", "#FFFFFF", "#15181D"),
    ("f-text", "#1F2328", "#E6E8EB"),
    ("f-muted", "#59616B", "#A3ABB6"),
    ("f-axis", "#8A8F98", "#717985"),
    ("f-grid", "#E4E6E9", "#2A2F37"),
    ("f-mark", "#59616B", "#A3ABB6"),
    ("f-tint", "#F3F4F6", "#1D2127"),
    ("f-crowd", "#B4B9C0", "#555D68"),
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

/// Lengths, shortest first: one hue of its own, growing away from the ground, so that no length looks like a curve.
const LENGTHS: [(&str, &str); 6] = [
    ("#9C77C2", "#7D63B0"),
    ("#7F5BB0", "#9078C4"),
    ("#623F98", "#A892D6"),
    ("#482A7C", "#C0AEE6"),
    ("#31185C", "#D9CCF2"),
    ("#1C0A3C", "#F1EAFB"),
];

/// Cells of a map of differences, from much better over no difference to much worse: blue and orange, which common kinds of
/// colour vision tell apart.
const DIVERGING: [(&str, &str); 2 * STRONG + 1] = [
    ("#08519C", "#9CCBF5"),
    ("#2F79B5", "#5E9FD8"),
    ("#8FC1E3", "#356FA3"),
    ("#CFE3F2", "#20405E"),
    ("#F3F4F6", "#1D2127"),
    ("#FBE3CF", "#47301A"),
    ("#F5B780", "#85501A"),
    ("#DD7A2C", "#D98532"),
    ("#944400", "#FBC48A"),
];

/// The strongest step of [`Ink::Diverging`].
pub(crate) const STRONG: usize = 4;

/// Dash patterns; empty is solid. Eleven, so that with eight colours a pair repeats after 88 curves.
const DASHES: [&str; 11] = [
    "",
    "7 2.5",
    "2 2",
    "9 2.5 2 2.5",
    "4.5 2",
    "12 3",
    "6 2 2 2 2 2",
    "3 3",
    "11 2.5 4.5 2.5",
    "1.5 3.5",
    "7 2 2 2",
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
    /// One of many curves, none of which is named.
    Crowd,
    /// A step of the scale of lengths, 0 the shortest.
    Length(usize),
    /// A cell of a map of differences, −4 (much better) to 4 (much worse).
    Diverging(i8),
    /// Text on such a cell.
    OnDiverging(i8),
    /// The same colour in every theme (cells of a heat map).
    Fixed(u8, u8, u8),
}

/// Inks stand in a drawing as colours that nothing else uses: red 0xF1, then kind and index.
const TAG: u8 = 0xF1;

impl Ink {
    /// The stand-in for this ink: red, green, blue.
    pub(crate) fn tag(self) -> (u8, u8, u8) {
        let step = |i: i8| (i.clamp(-(STRONG as i8), STRONG as i8) + STRONG as i8) as usize;
        let (kind, index) = match self {
            Ink::Paper => (0, 0),
            Ink::Text => (0, 1),
            Ink::Muted => (0, 2),
            Ink::Axis => (0, 3),
            Ink::Grid => (0, 4),
            Ink::Mark => (0, 5),
            Ink::Tint => (0, 6),
            Ink::Crowd => (0, 7),
            Ink::Curve(i) => (1, i % 255),
            Ink::Line(i) => (2, i % 255),
            Ink::Length(i) => (3, i.min(LENGTHS.len() - 1)),
            Ink::Diverging(i) => (4, step(i)),
            Ink::OnDiverging(i) => (5, step(i)),
            Ink::Fixed(r, g, b) => return (r, g, b),
        };
        // Every index is below 256.
        (TAG, kind, index as u8)
    }

    /// The ink of the `i`-th of `n` lengths: the scale is used from end to end.
    pub(crate) fn length(i: usize, n: usize) -> Ink {
        let last = LENGTHS.len() - 1;
        match n {
            0 | 1 => Ink::Length(last / 2),
            n => Ink::Length((i * last + (n - 1) / 2) / (n - 1)),
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
            (Some(kind @ 0..=5), Some(index), Some(b'"')) => {
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
    let last = |all: usize| index.min(all - 1);
    let (name, (light, dark)) = match kind {
        0 => {
            let (name, light, dark) = ROLES[last(ROLES.len())];
            (name.to_owned(), (light, dark))
        }
        3 => (format!("l{index}"), LENGTHS[last(LENGTHS.len())]),
        4 => (format!("d{index}"), DIVERGING[last(DIVERGING.len())]),
        5 => (
            format!("e{index}"),
            legible(DIVERGING[last(DIVERGING.len())]),
        ),
        _ => (format!("c{}", index % COLOURS), CURVES[index % COLOURS]),
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
    let scale = |name: &'static str, all: &'static [(&'static str, &'static str)]| {
        let one = move |(i, (light, dark)): (usize, &(&str, &str))| {
            format!("--{name}{i}:{};", pick(light, dark))
        };
        all.iter().enumerate().map(one).collect::<String>()
    };
    let texts = DIVERGING.iter().map(|pair| legible(*pair)).enumerate();
    let texts = texts.map(|(i, (light, dark))| format!("--e{i}:{};", pick(light, dark)));
    let scales = [
        scale("c", &CURVES),
        scale("l", &LENGTHS),
        scale("d", &DIVERGING),
    ];
    roles.chain(scales).chain(texts).collect()
}

/// Text on a ground, in each theme.
fn legible((light, dark): (&str, &str)) -> (&'static str, &'static str) {
    (text_on(rgb(light)), text_on(rgb(dark)))
}

/// Near-black or white, whichever stands out more.
fn text_on(ground: (u8, u8, u8)) -> &'static str {
    let on = |ink: &str| contrast(luminance(ground), luminance(rgb(ink)));
    if on(DARK_TEXT) > on("#FFFFFF") {
        DARK_TEXT
    } else {
        "#FFFFFF"
    }
}

const DARK_TEXT: &str = "#10141A";

/// The parts of `#RRGGBB`.
fn rgb(hex: &str) -> (u8, u8, u8) {
    let part = |at: usize| {
        let digits = hex.get(at..at + 2).unwrap_or("00");
        u8::from_str_radix(digits, 16).unwrap_or(0)
    };
    (part(1), part(3), part(5))
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
    let (r, g, b) = self::rgb(text_on(rgb));
    let text = Ink::Fixed(r, g, b);
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
mod tests;
