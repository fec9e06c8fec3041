//! SVG to PNG, in software and with our own font, so that the same figure gives the same pixels on every machine. Only
//! characters that it lacks are drawn with fonts of the system, and told of.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{FontResolver, Options, Tree};

use super::FigureError;
use super::glyphs::Fonts;

/// Pixels per user unit.
pub const SCALE: f32 = 2.0;

/// A renderer with the figure font loaded.
#[derive(Debug, Default)]
pub struct Rasteriser {
    fonts: Fonts,
}

impl Rasteriser {
    /// What was drawn with other fonts than our own, or with none, in sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.fonts.notes()
    }

    /// The PNG file of an SVG file at [`SCALE`] pixels per unit.
    ///
    /// # Errors
    /// Where the SVG does not parse, or is so large that no image can be made.
    pub fn png(&self, svg: &str) -> Result<Vec<u8>, FigureError> {
        let (svg, fontdb) = self.fonts.prepare(svg);
        let options = Options {
            fontdb,
            font_family: "Inter".to_owned(),
            font_resolver: FontResolver {
                select_font: FontResolver::default_font_selector(),
                select_fallback: Box::new(|c, used, _| {
                    self.fonts.fallback(c).filter(|id| !used.contains(id))
                }),
            },
            ..Options::default()
        };
        let tree = Tree::from_str(&svg, &options).map_err(|e| FigureError::Svg(e.to_string()))?;
        let (width, height) = (tree.size().width() * SCALE, tree.size().height() * SCALE);
        let mut pixels =
            Pixmap::new(width.round() as u32, height.round() as u32).ok_or_else(|| {
                FigureError::Png(format!("no image of {width} × {height} pixels can be made"))
            })?;
        resvg::render(
            &tree,
            Transform::from_scale(SCALE, SCALE),
            &mut pixels.as_mut(),
        );
        pixels
            .encode_png()
            .map_err(|e| FigureError::Png(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{Anchor, Canvas, Type};
    use super::super::palette::{Ink, Theme};
    use super::*;

    fn picture(maker: &Rasteriser, words: &str, font: Type) -> Pixmap {
        let mut canvas = Canvas::default();
        canvas.text((2.0, 14.0), words, font, Anchor::Start);
        let svg = canvas.finish(80.0, 20.0, "test").file(Theme::Light);
        let png = maker.png(&svg).expect("a small figure renders");
        Pixmap::decode_png(&png).expect("our own PNG decodes")
    }

    fn dark(map: &Pixmap) -> usize {
        map.pixels().iter().filter(|p| p.red() < 128).count()
    }

    #[test]
    fn text_is_rendered_with_the_embedded_font() {
        let maker = Rasteriser::default();
        let pixels = |words| picture(&maker, words, Type::new(12.0, Ink::Text));
        let (written, empty) = (pixels("length × 2 − 1"), pixels(""));
        assert_eq!((written.width(), written.height()), (160, 40));
        assert_eq!(dark(&empty), 0);
        assert!(dark(&written) > 100, "{} dark pixels", dark(&written));
    }

    /// Every character of a name leaves ink, whatever fonts the machine has, and two characters leave different ink.
    #[test]
    fn no_name_is_blank() {
        let maker = Rasteriser::default();
        let words = "Жщ ΉῬ ốŁ 旋转位置编码 一二 かなカナ 한국어 עברית العربية ไทย हिन्दी ქართული Հայ ∮ 😀🧭 \u{e000} \u{10abcd}";
        for font in [Type::new(12.0, Ink::Text), Type::bold(12.0, Ink::Text)] {
            let mut seen: Vec<(char, Pixmap)> = Vec::new();
            for c in words.chars().filter(|c| !c.is_whitespace()) {
                let drawn = picture(&maker, &c.to_string(), font);
                assert!(dark(&drawn) > 4, "{c} is blank");
                let twin = seen
                    .iter()
                    .find(|(known, map)| *known != c && *map == drawn);
                assert!(twin.is_none(), "{c} looks like {:?}", twin.map(|t| t.0));
                seen.push((c, drawn));
            }
        }
    }

    #[test]
    fn what_is_no_svg_is_refused() {
        assert!(Rasteriser::default().png("<p>").is_err());
    }
}
