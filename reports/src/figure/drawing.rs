//! A finished figure and the ways to write it: a file in one theme, or a part of the page.

use super::palette::{self, Theme};
use super::text;

/// Names that are tried where the figure is not shown with its own font.
const FONTS: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// A finished figure, not yet coloured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) label: String,
    pub(super) body: String,
    /// Whether values are read off for all curves at one place of the x axis, not mark by mark.
    pub(super) across: bool,
}

impl Drawing {
    /// Width in user units (CSS pixels at natural size).
    pub fn width(&self) -> u32 {
        self.width
    }

    /// For a drawing that says nothing by itself: hidden from screen readers.
    pub(crate) fn decoration(&self) -> String {
        let body = palette::paint(&self.body, None);
        let (w, h) = (self.width, self.height);
        format!("<svg class=\"swatch\" viewBox=\"0 0 {w} {h}\" aria-hidden=\"true\">\n{body}</svg>")
    }

    /// Height in user units.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// A complete SVG file in one theme. The same drawing gives the same bytes every time.
    pub fn file(&self, theme: Theme) -> String {
        let body = palette::paint(&self.body, Some(theme));
        let paper = palette::paint("fill=\"#F10000\"", Some(theme));
        let (w, h) = (self.width, self.height);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" \
             height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" stroke-linejoin=\"round\" font-family=\"{FONTS}\">\n<title>{}</title>\n\
             <rect width=\"{w}\" height=\"{h}\" {paper}/>\n{body}</svg>\n",
            escape(&self.label)
        )
    }

    /// The same for inlining in the page: no paper, colours from the page's variables, described for screen readers.
    pub fn inline(&self) -> String {
        let body = palette::paint(&self.body, None);
        let (w, h, label) = (self.width, self.height, escape(&self.label));
        let across = if self.across {
            " data-read=\"across\""
        } else {
            ""
        };
        format!(
            "<svg viewBox=\"0 0 {w} {h}\"{across} stroke-linejoin=\"round\" role=\"img\" aria-label=\"{label}\">\n{body}</svg>"
        )
    }
}

/// For text and attribute values of XML and HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text::clean(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
