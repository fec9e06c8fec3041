//! Figures: drawn once as SVG, coloured for light or dark ground, rendered to PNG from the same source.
//!
//! `catalogue` turns a [`Summary`](crate::summary::Summary) into figures; the other modules know shapes and colours
//! only. Every figure carries the table of the numbers it shows.

mod canvas;
mod catalogue;
mod chart;
mod data;
mod dots;
mod drawing;
mod glyphs;
mod heat;
mod map;
mod marks;
mod multiples;
mod palette;
mod png;
mod scale;
pub mod scores;
mod text;

pub use catalogue::{Figure, figures};
pub use data::Data;
pub use drawing::Drawing;
pub use palette::Theme;
pub use png::{Rasteriser, SCALE};
pub use text::hides;

pub(crate) use catalogue::{across, compared, state_word, steps};
pub(crate) use data::{csv_line, latex_text, markdown_text};
pub(crate) use palette::variables;
pub(crate) use scale::label as plain;

/// Why a figure could not be made into a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FigureError {
    /// The drawing is not valid SVG.
    #[error("expected an SVG drawing: {0}")]
    Svg(String),
    /// The image could not be made or encoded.
    #[error("cannot make a PNG: {0}")]
    Png(String),
}
