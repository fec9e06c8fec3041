//! Buffers of a scan.

use crate::fused::sizes::{KEYS, ROWS};

/// Buffers of one thread.
#[derive(Debug)]
pub(in crate::fused) struct Sums {
    /// Sum of each row of a block over the tiles so far.
    pub(in crate::fused) carried: [f64; ROWS],
    /// Gradient of the sums of each row over the tiles so far.
    pub(in crate::fused) above: [f64; ROWS],
    /// Of the row at hand: gates, sums, and gradients of sums.
    pub(super) gates: [f32; KEYS],
    pub(super) sums: [f32; KEYS],
    pub(super) slopes: [f32; KEYS],
    /// Queries of a block as they were projected, \[ROWS, width\].
    pub(super) queries: Vec<f32>,
    /// Their products with the table and the gradients of these, \[ROWS, step\].
    pub(super) terms: Vec<f32>,
    pub(super) dterms: Vec<f32>,
}
