//! Layers that differ: some with rotations and some without any positional encoding.

pub mod irope;
pub mod nope_layers;
pub mod periodic_rope;
pub mod rnope_swa;
pub mod swan;

use crate::registry::Entry;
use farspan_attention::expr::{Expr, distance, number, raw, select_less};

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<rnope_swa::RnopeSwa>(),
    Entry::of::<irope::Irope>(),
    Entry::of::<nope_layers::NopeLayers>(),
    Entry::of::<swan::Swan>(),
    Entry::of::<periodic_rope::PeriodicRope>(),
];

/// The raw score of keys less than `window` away; −∞ beyond.
fn windowed(window: usize) -> Expr {
    select_less(
        distance(),
        number(window as f64),
        raw(),
        number(f64::NEG_INFINITY),
    )
}

#[cfg(test)]
mod tests;
