//! Kernel texts, one function each. All index with u32 and read their sizes from `info`.

mod fold;
mod frame;
mod map;
mod place;
mod product;
mod rows;

pub(super) use fold::{Fold, SERIAL, cumsum, reduce};
pub(super) use frame::{Binding, kernel, kernel_of, reads, writes};
pub(super) use map::map;
pub(super) use place::{fill, pad, paste, scatter, select};
pub(super) use product::{PATCH, SIDE, matmul, matmul_apart};
pub(super) use rows::{Rows, joins};
