//! SVG to PNG, in software and with our own font, so that the same figure gives the same pixels on every machine.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use super::FigureError;

/// Pixels per user unit.
pub const SCALE: f32 = 2.0;

/// A renderer with the figure font loaded; no system font is looked at.
#[derive(Debug)]
pub struct Rasteriser {
    fonts: Arc<Database>,
}

impl Default for Rasteriser {
    fn default() -> Self {
        let mut fonts = Database::new();
        fonts.load_font_data(include_bytes!("../../assets/Inter-Regular.otf").to_vec());
        fonts.load_font_data(include_bytes!("../../assets/Inter-SemiBold.otf").to_vec());
        Rasteriser {
            fonts: Arc::new(fonts),
        }
    }
}

impl Rasteriser {
    /// The PNG file of an SVG file at [`SCALE`] pixels per unit.
    ///
    /// # Errors
    /// Where the SVG does not parse, or is so large that no image can be made.
    pub fn png(&self, svg: &str) -> Result<Vec<u8>, FigureError> {
        let options = Options {
            fontdb: Arc::clone(&self.fonts),
            font_family: "Inter".to_owned(),
            ..Options::default()
        };
        let tree = Tree::from_str(svg, &options).map_err(|e| FigureError::Svg(e.to_string()))?;
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

    #[test]
    fn text_is_rendered_with_the_embedded_font() {
        let draw = |words: &str| {
            let mut canvas = Canvas::default();
            canvas.text(
                (2.0, 14.0),
                words,
                Type::new(12.0, Ink::Text),
                Anchor::Start,
            );
            canvas.finish(80.0, 20.0, "test").file(Theme::Light)
        };
        let maker = Rasteriser::default();
        let pixels = |words| {
            let png = maker.png(&draw(words)).expect("a small figure renders");
            Pixmap::decode_png(&png).expect("our own PNG decodes")
        };
        let (written, empty) = (pixels("length × 2 − 1"), pixels(""));
        assert_eq!((written.width(), written.height()), (160, 40));
        let dark = |map: &Pixmap| map.pixels().iter().filter(|p| p.red() < 128).count();
        assert_eq!(dark(&empty), 0);
        assert!(dark(&written) > 100, "{} dark pixels", dark(&written));
    }

    #[test]
    fn what_is_no_svg_is_refused() {
        assert!(Rasteriser::default().png("<p>").is_err());
    }
}
