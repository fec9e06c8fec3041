//! The forward pass: strips of queries, all heads at once.

use super::network::Network;
use super::sizes::Sizes;
use crate::fused::forward::{largest, shrink, weigh};
use crate::fused::matrix::multiply;
use crate::fused::product::{LANES, Start};
use crate::fused::shape::{Rows, SIDE, STEP, STRIP, products};
use crate::ops::simd::{Kernel, Simd, dispatch};
use rayon::prelude::*;

/// Output (batch, heads, queries, head_dim) and ln Σ eˢ of its rows.
pub(super) fn run(sizes: &Sizes, network: &Network, inputs: &[&[f32]]) -> (Vec<f32>, Vec<f32>) {
    let (n, d, heads) = (sizes.queries, sizes.head_dim, sizes.heads);
    let mut output = vec![0.0; inputs[0].len()];
    let mut normalisers = vec![0.0; output.len() / d];
    for batch in 0..sizes.batch {
        let (keys, values) = (
            Rows::new(sizes, inputs[1], batch),
            Rows::new(sizes, inputs[2], batch),
        );
        let strip = |space: &mut Space, strip: usize| {
            dispatch(Strip {
                sizes,
                network,
                keys: &keys,
                values: &values,
                q: inputs[0],
                batch,
                start: strip * STRIP,
                space,
            })
        };
        let new = || Space::new(sizes, network);
        let strips = (0..n.div_ceil(STRIP)).into_par_iter();
        let done: Vec<Done> = strips.map_init(new, strip).collect();
        for (strip, done) in done.iter().enumerate() {
            let (start, rows) = (strip * STRIP, STRIP.min(n - strip * STRIP));
            for head in 0..heads {
                let first = (batch * heads + head) * n + start;
                let from = head * STRIP..head * STRIP + rows;
                normalisers[first..first + rows].copy_from_slice(&done.normalisers[from.clone()]);
                let from = &done.output[from.start * d..from.end * d];
                output[first * d..(first + rows) * d].copy_from_slice(from);
            }
        }
    }
    (output, normalisers)
}

/// One strip of queries.
struct Strip<'a> {
    sizes: &'a Sizes,
    network: &'a Network,
    keys: &'a Rows,
    values: &'a Rows,
    q: &'a [f32],
    batch: usize,
    start: usize,
    space: &'a mut Space,
}

/// What a strip gives: \[heads, STRIP, head_dim\] and \[heads, STRIP\].
struct Done {
    output: Vec<f32>,
    normalisers: Vec<f32>,
}

/// Buffers of one thread.
struct Space {
    /// \[heads, STRIP, width\]
    q: Vec<f32>,
    sums: Vec<f32>,
    /// What the network sees of each query of the strip, \[STRIP, seen, STEP\].
    seen: Vec<f32>,
    /// Weights, \[heads, STRIP, STEP\].
    weights: Vec<f32>,
    before: Vec<f32>,
    behind: Vec<f32>,
    mapped: Vec<f32>,
}

impl Space {
    fn new(sizes: &Sizes, network: &Network) -> Space {
        let rows = || vec![0.0; sizes.heads * STRIP * sizes.width];
        Space {
            q: rows(),
            sums: rows(),
            seen: vec![0.0; STRIP * network.seen * STEP],
            weights: vec![0.0; sizes.heads * STRIP * STEP],
            before: vec![0.0; network.units * STEP],
            behind: vec![0.0; network.units * STEP],
            mapped: vec![0.0; network.outputs * STEP],
        }
    }
}

impl Kernel for Strip<'_> {
    type Output = Done;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Done {
        let (sizes, network, space) = (self.sizes, self.network, self.space);
        let (heads, width, d) = (sizes.heads, sizes.width, sizes.head_dim);
        let rows = STRIP.min(sizes.queries - self.start);
        sizes.strip(self.q, self.batch, self.start, &mut space.q);
        space.sums.fill(0.0);
        let mut most = vec![f32::NEG_INFINITY; heads * STRIP];
        let mut total = vec![[0.0; LANES]; heads * STRIP];
        let row_step = network.seen * STEP;
        for tile in 0..sizes.reach(self.start + rows) {
            products(
                s,
                sizes,
                &space.q,
                (self.keys, tile),
                (&mut space.seen, row_step),
            );
            for r in 0..rows {
                let query = self.start + r;
                let place = network.place(sizes, query, tile * SIDE);
                let seen = &mut space.seen[r * row_step..][..row_step];
                let units = (&mut *space.before, &mut *space.behind);
                network.forward(s, place, seen, units, &mut space.mapped);
                for (head, row) in space.mapped.chunks_exact_mut(STEP).take(heads).enumerate() {
                    let (at, row) = (head * STRIP + r, &mut row[..SIDE]);
                    sizes.hide(query, tile, row);
                    let (before, here) = (most[at], largest(s, row));
                    if here > before {
                        most[at] = here;
                        let keep = (before - here).exp();
                        shrink(s, &mut total[at], keep);
                        shrink(s, &mut space.sums[at * width..][..width], keep);
                    }
                    weigh(s, row, most[at], &mut total[at]);
                    space.weights[at * STEP..][..SIDE].copy_from_slice(row);
                }
            }
            for head in 0..heads {
                let values = (self.values.rows(sizes.kv_head(head), tile, width), width);
                let weights = (
                    &space.weights[head * STRIP * STEP..][..STRIP * STEP],
                    STEP,
                    1,
                );
                let sums = (
                    &mut space.sums[head * STRIP * width..][..STRIP * width],
                    width,
                );
                multiply(s, weights, values, sums, (STRIP, SIDE, width), Start::Sum);
            }
        }
        let mut done = Done {
            output: vec![0.0; heads * STRIP * d],
            normalisers: vec![f32::INFINITY; heads * STRIP],
        };
        for at in 0..heads * STRIP {
            let total: f32 = total[at].iter().sum();
            if total == 0.0 && most[at] == f32::NEG_INFINITY {
                continue;
            }
            done.normalisers[at] = most[at] + total.ln();
            let sums = &space.sums[at * width..];
            for (y, x) in done.output[at * d..][..d].iter_mut().zip(sums) {
                *y = x / total;
            }
        }
        done
    }
}
