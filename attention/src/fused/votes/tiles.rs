//! What both passes share.

use crate::fused::shape::{Rows, SIDE, Shape};
use crate::ops::simd::Simd;

/// What the forward pass leaves.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// ln Σ eˢ of each row, (batch, heads, queries).
    pub(super) normalisers: Vec<f32>,
    /// Whole sum of each key, (batch, keys in whole tiles).
    pub(super) sums: Vec<f64>,
}

/// Keys and values of one batch entry.
pub(super) struct Tiles {
    pub(super) keys: Rows,
    pub(super) values: Rows,
}

impl Tiles {
    pub(super) fn new(shape: &Shape, inputs: &[&[f32]], batch: usize) -> Tiles {
        Tiles {
            keys: Rows::new(shape, inputs[1], batch),
            values: Rows::new(shape, inputs[2], batch),
        }
    }
}

/// One row of the first head's scores to what its query adds to the sums of the tile's keys.
#[inline(always)]
pub(super) fn cast<S: Simd>(s: S, shape: &Shape, query: usize, tile: usize, row: &mut [f32]) {
    shape.hide(query, tile, row);
    // Queries and keys are the same tokens.
    if let Some(own) = query.checked_sub(tile * SIDE).filter(|own| *own < SIDE) {
        row[own] = 0.0;
    }
    if tile == 0 {
        row[0] = 0.0;
    }
    for at in (0..SIDE).step_by(S::LANES) {
        // The order of arguments keeps NaN.
        let vote = s.max(s.splat(0.0), s.read(row, at));
        s.write(row, at, vote);
    }
}

/// Takes the sums before a tile, and those of its rows so far, from a row of scores, and adds what the row adds.
#[inline(always)]
pub(super) fn lower<S: Simd>(
    s: S,
    before: &[f64],
    so_far: &mut [f32],
    votes: &[f32],
    row: &mut [f32],
) {
    for ((x, before), so_far) in row.iter_mut().zip(before).zip(&*so_far) {
        *x -= *before as f32 + so_far;
    }
    for at in (0..SIDE).step_by(S::LANES) {
        let sum = s.add(s.read(so_far, at), s.read(votes, at));
        s.write(so_far, at, sum);
    }
}
