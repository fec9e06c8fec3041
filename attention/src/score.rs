//! The one compiler of scores: what a part of a score depends on, which of it is tabulated, which tiles it hides, and the
//! steps that remain for every pair. Kernels read what it finds; each knows how to carry out a step.

mod axis;
mod columns;
mod places;
mod program;
mod tiles;

pub(crate) use axis::{Axis, axis, reads_content, reads_learned};
pub(crate) use columns::{Columns, row};
pub(crate) use places::Places;
pub(crate) use program::{Learned, Program, Step, Tabled};
pub(crate) use tiles::hidden_tiles;
