//! Which font draws a character: our own wherever it can, a font of the system where one can, and where none can the
//! character's code point in small digits, so that no name is ever blank.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fontdb::{Database, FaceInfo, ID, Style};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, MetadataProvider};

use super::text;

/// Where the glyph of a character was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glyph {
    Own,
    System(ID),
    Nowhere,
}

/// The fonts that figures are drawn with.
#[derive(Debug)]
pub(super) struct Fonts {
    own: Arc<Database>,
    /// Ours with the system's behind them; read when the first character needs them.
    all: OnceLock<Arc<Database>>,
    /// Every character past ASCII that was looked for.
    known: Mutex<BTreeMap<char, Glyph>>,
}

impl Default for Fonts {
    fn default() -> Fonts {
        let mut own = Database::new();
        own.load_font_data(include_bytes!("../../assets/Inter-Regular.otf").to_vec());
        own.load_font_data(include_bytes!("../../assets/Inter-SemiBold.otf").to_vec());
        Fonts {
            own: Arc::new(own),
            all: OnceLock::new(),
            known: Mutex::default(),
        }
    }
}

impl Fonts {
    /// The figure with characters that no font has spelled by their code points, and the fonts to draw it with.
    pub(super) fn prepare(&self, svg: &str) -> (String, Arc<Database>) {
        let mut foreign = false;
        let svg = spelled(svg, |c| {
            let glyph = self.find(c);
            foreign |= matches!(glyph, Glyph::System(_));
            glyph == Glyph::Nowhere
        });
        let fonts = if foreign { self.all() } else { &self.own };
        (svg, Arc::clone(fonts))
    }

    /// The system's font for a character that [`prepare`](Fonts::prepare) found in one.
    pub(super) fn fallback(&self, c: char) -> Option<ID> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&c) {
            Some(Glyph::System(id)) => Some(*id),
            _ => None,
        }
    }

    /// What a reader of the PNGs has to know, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let list = |wanted: &dyn Fn(Glyph) -> bool| {
            let all = known.iter().filter(|(_, glyph)| wanted(**glyph));
            let words: Vec<String> = all
                .map(|(c, _)| format!("{c} (U+{:04X})", u32::from(*c)))
                .collect();
            let more = words.len().saturating_sub(8);
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            (!words.is_empty()).then(|| format!("{}{rest}", words[..words.len() - more].join(", ")))
        };
        let system = list(&|glyph| matches!(glyph, Glyph::System(_))).map(|who| {
            format!(
                "the figures' own font lacks {who}: in the PNGs a font of this system draws them, another system may draw \
                 them otherwise"
            )
        });
        let nowhere = list(&|glyph| glyph == Glyph::Nowhere).map(|who| {
            format!(
                "no font of this system has {who}: the PNGs show code points in their place; install a font for them and \
                 draw the report again, or use the SVGs, which are drawn with the fonts of who looks at them"
            )
        });
        system.into_iter().chain(nowhere).collect()
    }

    fn all(&self) -> &Arc<Database> {
        self.all.get_or_init(|| {
            let mut all = Database::clone(&self.own);
            all.load_system_fonts();
            Arc::new(all)
        })
    }

    fn find(&self, c: char) -> Glyph {
        // What is blank by its nature needs no glyph.
        if c.is_ascii() || c.is_whitespace() || text::joins(c) {
            return Glyph::Own;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(c).or_insert_with(|| {
            if self.own.faces().all(|face| draws(&self.own, face.id, c)) {
                return Glyph::Own;
            }
            let all = self.all();
            let mut faces: Vec<&FaceInfo> = all.faces().collect();
            // Upright and of common weight first; by name, for folders are listed in any order.
            faces.sort_by_key(|face| {
                let weight = face.weight.0.abs_diff(400);
                (face.style != Style::Normal, weight, &face.post_script_name)
            });
            let mut faces = faces.iter().map(|face| face.id);
            let own = |id: &ID| self.own.face(*id).is_some();
            faces
                .find(|id| !own(id) && draws(all, *id, c))
                .map_or(Glyph::Nowhere, Glyph::System)
        })
    }
}

/// Whether a face has an outline for `c`: a glyph that is there and empty, or a bitmap, would leave a gap.
fn draws(fonts: &Database, face: ID, c: char) -> bool {
    let outlined = fonts.with_face_data(face, |data, index| {
        let font = FontRef::from_index(data, index).ok()?;
        let glyph = font.outline_glyphs().get(font.charmap().map(c)?)?;
        let mut pen = Strokes(0);
        let settings = DrawSettings::unhinted(Size::unscaled(), LocationRef::default());
        glyph.draw(settings, &mut pen).ok()?;
        Some(pen.0 > 0)
    });
    outlined.flatten() == Some(true)
}

/// Counts what is drawn.
struct Strokes(usize);

impl OutlinePen for Strokes {
    fn move_to(&mut self, _: f32, _: f32) {}

    fn line_to(&mut self, _: f32, _: f32) {
        self.0 += 1;
    }

    fn quad_to(&mut self, _: f32, _: f32, _: f32, _: f32) {
        self.0 += 1;
    }

    fn curve_to(&mut self, _: f32, _: f32, _: f32, _: f32, _: f32, _: f32) {
        self.0 += 1;
    }

    fn close(&mut self) {}
}

/// Each character of a text element that `lacks` a glyph as its code point, about as wide as the character would be.
fn spelled(svg: &str, mut lacks: impl FnMut(char) -> bool) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some(at) = rest.find("<text") {
        let (before, from) = rest.split_at(at);
        let (element, after) = from.split_at(from.find("</text>").unwrap_or(from.len()));
        let (tag, words) = element.split_at(element.find('>').map_or(element.len(), |i| i + 1));
        out.push_str(before);
        out.push_str(tag);
        for c in words.chars() {
            if lacks(c) {
                // Writing to a string cannot fail.
                let _ = write!(
                    out,
                    "<tspan font-size=\"40%\">{:04X}\u{202f}</tspan>",
                    u32::from(c)
                );
            } else {
                out.push(c);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_are_spelled() {
        let svg = "<svg><title>旋</title><text x=\"旋\">a旋😀</text><text>旋b</text></svg>";
        assert_eq!(
            spelled(svg, |c| !c.is_ascii()),
            "<svg><title>旋</title><text x=\"旋\">a<tspan font-size=\"40%\">65CB\u{202f}</tspan>\
             <tspan font-size=\"40%\">1F600\u{202f}</tspan></text><text><tspan font-size=\"40%\">65CB\u{202f}</tspan>b\
             </text></svg>"
        );
        assert_eq!(spelled("<text unclosed", |_| true), "<text unclosed");
    }

    #[test]
    fn our_own_font_has_latin_greek_and_cyrillic() {
        let fonts = Fonts::default();
        let (_, used) = fonts.prepare("<text>Жёлтый Ήχος ốc Łódź ñ × − ≥ … → α̃</text>");
        assert_eq!(used.len(), fonts.own.len(), "{:?}", fonts.notes());
        assert_eq!(fonts.notes(), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_our_own_is_told() {
        let fonts = Fonts::default();
        // A noncharacter of the private planes: no font has it.
        fonts.prepare("<text>rope-\u{10abcd}</text>");
        let notes = fonts.notes();
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("U+10ABCD") && notes[0].contains("SVG"),
            "{notes:?}"
        );
    }
}
