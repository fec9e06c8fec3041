//! The forward pass: softmax over chunks of keys, nearest first.

use super::carried::Carried;
use super::chunk::Chunk;
use super::sizes::{Inputs, Sizes, finish_scores};
use crate::fused::forward::{largest, shrink, weigh};
use crate::fused::matrix::multiply;
use crate::fused::product::{LANES, Start};
use crate::fused::shape::{SIDE, STEP};
use crate::ops::simd::{Kernel, Simd};

/// All queries of one key head of one batch entry.
pub(super) struct Forward<'a> {
    pub(super) sizes: &'a Sizes,
    pub(super) inputs: Inputs<'a>,
    pub(super) output: &'a mut [f32],
    pub(super) normalisers: &'a mut [f32],
    pub(super) space: &'a mut Space,
}

/// Buffers of one thread.
#[derive(Debug)]
pub(super) struct Space {
    chunk: Chunk,
    carried: Carried,
    /// Values, \[tokens, width\].
    v: Vec<f32>,
    /// Queries of a block, as projected, and as some chunk sees them, \[SIDE, width\]; room for the next.
    q: Vec<f32>,
    seen: Vec<f32>,
    next: Vec<f32>,
    met: Vec<f32>,
    scores: Vec<f32>,
    sums: Vec<f32>,
}

impl Space {
    pub(super) fn new(sizes: &Sizes) -> Space {
        let rows = || vec![0.0; SIDE * sizes.width];
        Space {
            chunk: Chunk::new(sizes.width),
            carried: Carried::new(sizes),
            v: vec![0.0; sizes.tiles() * SIDE * sizes.width],
            q: rows(),
            seen: rows(),
            next: rows(),
            met: vec![0.0; SIDE * STEP],
            scores: vec![0.0; SIDE * STEP],
            sums: rows(),
        }
    }
}

/// Running softmax of the rows of a block.
struct Running {
    largest: [f32; SIDE],
    /// Lane by lane.
    total: [[f32; LANES]; SIDE],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Forward {
            sizes,
            inputs,
            output,
            normalisers,
            space,
        } = self;
        let (n, d, width) = (sizes.keys, sizes.head_dim, sizes.width);
        for block in 0..sizes.tiles() {
            let own = block * SIDE * width..(block + 1) * SIDE * width;
            sizes.load(inputs.v, block * SIDE, &mut space.v[own]);
            space
                .chunk
                .load(s, sizes, &inputs, block, &mut space.scores);
            for head in 0..sizes.group() {
                let gain = inputs.gain.map(|gain| &gain[head * n..][..n]);
                sizes.load(
                    &inputs.q[head * n * d..][..n * d],
                    block * SIDE,
                    &mut space.q,
                );
                let running = over_keys(s, sizes, block, gain, space);
                for r in 0..sizes.of(block) {
                    let (most, total) = (running.largest[r], running.total[r].iter().sum::<f32>());
                    let dead = total == 0.0 && most == f32::NEG_INFINITY;
                    let place = head * n + block * SIDE + r;
                    normalisers[place] = if dead {
                        f32::INFINITY
                    } else {
                        most + total.ln()
                    };
                    let scale = if dead { 0.0 } else { 1.0 / total };
                    let sums = &space.sums[r * width..];
                    for (y, x) in output[place * d..][..d].iter_mut().zip(sums) {
                        *y = x * scale;
                    }
                }
            }
            space.carried.add(s, block, &space.chunk, width);
        }
    }
}

/// Leaves Σ eˢ⁻ᵐ · v in `space.sums`.
#[inline(always)]
fn over_keys<S: Simd>(
    s: S,
    sizes: &Sizes,
    block: usize,
    gain: Option<&[f32]>,
    space: &mut Space,
) -> Running {
    let width = sizes.width;
    let mut running = Running {
        largest: [f32::NEG_INFINITY; SIDE],
        total: [[0.0; LANES]; SIDE],
    };
    space.sums.fill(0.0);
    let Space {
        chunk,
        q,
        met,
        scores,
        seen,
        ..
    } = space;
    chunk.meet(s, q, met, scores, seen);
    seen.iter_mut().for_each(|x| *x *= sizes.scale);
    for c in (0..=block).rev() {
        let mut scale = sizes.scale;
        if c < block {
            if c + 1 < block {
                let across = (space.carried.across(c + 1, width), width);
                let seen = (&*space.seen, width, 1);
                let (next, tall) = ((&mut *space.next, width), (SIDE, width, width));
                multiply(s, seen, across, next, tall, Start::Zero);
                std::mem::swap(&mut space.seen, &mut space.next);
            }
            let keys = (space.carried.keys_t(c, width), STEP);
            let (seen, wide) = ((&*space.seen, width, 1), (SIDE, width, SIDE));
            multiply(s, seen, keys, (&mut space.scores, STEP), wide, Start::Zero);
            scale = 1.0;
        }
        finish_scores(s, sizes, (block, c), scale, gain, &mut space.scores);
        for (r, row) in space.scores.chunks_exact_mut(STEP).enumerate() {
            let (before, tile) = (running.largest[r], largest(s, &row[..SIDE]));
            if tile > before {
                running.largest[r] = tile;
                let keep = (before - tile).exp();
                shrink(s, &mut running.total[r], keep);
                shrink(s, &mut space.sums[r * width..][..width], keep);
            }
        }
        for (r, row) in space.scores.chunks_exact_mut(STEP).enumerate() {
            weigh(
                s,
                &mut row[..SIDE],
                running.largest[r],
                &mut running.total[r],
            );
        }
        let values = (&space.v[c * SIDE * width..], width);
        let weights = (&*space.scores, STEP, 1);
        let (sums, rows) = ((&mut *space.sums, width), (SIDE, SIDE, width));
        multiply(s, weights, values, sums, rows, Start::Sum);
    }
    running
}
