//! What jobs over chunks share.

use crate::fused::shape::{SIDE, STEP, Shape};
use crate::ops::simd::Simd;
use std::ops::Deref;

/// What all jobs of a call share: chunks of tokens are tiles of keys and blocks of queries.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) shape: Shape,
    pub(super) scale: f32,
}

impl Deref for Sizes {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

impl Sizes {
    /// Query heads to a key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Tokens of chunk number `c`.
    pub(super) fn of(&self, c: usize) -> usize {
        SIDE.min(self.keys - c * SIDE)
    }

    /// Copies rows of tokens from `start` on to rows of whole vectors; the rest of the chunk becomes 0.
    pub(super) fn load(&self, x: &[f32], start: usize, out: &mut [f32]) {
        out.fill(0.0);
        self.shape.load(&x[start * self.head_dim..], out);
    }
}

/// Inputs of one key head of one batch entry, and of its query heads: rows of tokens.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) gain: Option<&'a [f32]>,
}

/// Scores of a tile in place of raw scores: scaled, with the gain, −∞ where hidden.
#[inline(always)]
pub(super) fn finish_scores<S: Simd>(
    s: S,
    sizes: &Sizes,
    (block, chunk): (usize, usize),
    scale: f32,
    gain: Option<&[f32]>,
    scores: &mut [f32],
) {
    let (rows, cols) = (sizes.of(block), sizes.of(chunk));
    let tokens = |c: usize, len| {
        let first = sizes.first_key + c * SIDE;
        first..first + len
    };
    // What stands behind the last token is hidden from a block of one query, too.
    let plain = cols == SIDE
        && sizes
            .mask
            .hides_nothing(&tokens(block, rows), &tokens(chunk, cols));
    let factor = s.splat(scale);
    for (r, row) in scores.chunks_mut(STEP).take(rows).enumerate() {
        let row = &mut row[..SIDE];
        if scale != 1.0 {
            for at in (0..SIDE).step_by(S::LANES) {
                let x = s.mul(s.read(row, at), factor);
                s.write(row, at, x);
            }
        }
        if let Some(gain) = gain {
            let own = gain[block * SIDE + r];
            let others = &gain[chunk * SIDE..][..cols];
            row.iter_mut()
                .zip(others)
                .for_each(|(x, other)| *x += own - other);
        }
        if !plain {
            sizes.hide(block * SIDE + r, chunk, row);
        }
    }
}
