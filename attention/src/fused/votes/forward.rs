//! The forward pass: blocks of queries in order, softmax over tiles.

use super::tiles::{Left, Tiles, cast, lower};
use crate::fused::forward::{largest, shrink, weigh};
use crate::fused::matrix::multiply;
use crate::fused::product::{LANES, Start};
use crate::fused::shape::{SIDE, STEP, Shape};
use crate::ops::simd::{Kernel, Simd, dispatch};
use rayon::prelude::*;

/// Output (batch, heads, queries, head_dim) and what the backward pass needs.
pub(super) fn run(shape: &Shape, inputs: &[&[f32]]) -> (Vec<f32>, Left) {
    let (n, d, heads) = (shape.queries, shape.head_dim, shape.heads);
    let mut output = vec![0.0; inputs[0].len()];
    let mut left = Left {
        normalisers: vec![0.0; output.len() / d],
        sums: Vec::new(),
    };
    let jobs = output.chunks_exact_mut(heads * n * d);
    let jobs = jobs.zip(left.normalisers.chunks_exact_mut(heads * n));
    for (batch, (output, normalisers)) in jobs.enumerate() {
        let tiles = Tiles::new(shape, inputs, batch);
        let q = &inputs[0][batch * heads * n * d..][..heads * n * d];
        let jobs = output.par_chunks_exact_mut(n * d);
        let jobs = jobs.zip(normalisers.par_chunks_exact_mut(n)).enumerate();
        let new = || Space::new(shape);
        let run = |space: &mut Space, (head, (output, normalisers)): (usize, (&mut [f32], _))| {
            dispatch(Head {
                shape,
                tiles: &tiles,
                head,
                q: [&q[head * n * d..][..n * d], &q[..n * d]],
                output,
                normalisers,
                space,
            })
        };
        let sums: Vec<Vec<f64>> = jobs.map_init(new, run).collect();
        left.sums.extend(sums.first().into_iter().flatten());
    }
    (output, left)
}

/// One head of one batch entry; returns the sums of all keys.
struct Head<'a> {
    shape: &'a Shape,
    tiles: &'a Tiles,
    head: usize,
    /// Queries of the head and of the first one.
    q: [&'a [f32]; 2],
    output: &'a mut [f32],
    normalisers: &'a mut [f32],
    space: &'a mut Space,
}

/// Buffers of one thread.
struct Space {
    q: [Vec<f32>; 2],
    /// Scores of the head and of the first one.
    scores: [Vec<f32>; 2],
    sums: Vec<f32>,
}

impl Space {
    fn new(shape: &Shape) -> Space {
        let rows = || vec![0.0; SIDE * shape.width];
        let square = || vec![0.0; SIDE * STEP];
        Space {
            q: [rows(), rows()],
            scores: [square(), square()],
            sums: rows(),
        }
    }
}

impl Kernel for Head<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f64> {
        let (shape, tiles, space) = (self.shape, self.tiles, self.space);
        let (n, d, width) = (shape.queries, shape.head_dim, shape.width);
        let mut before = vec![0.0; shape.tiles() * SIDE];
        for start in (0..n).step_by(SIDE) {
            let rows = SIDE.min(n - start);
            for (q, x) in space.q.iter_mut().zip(self.q) {
                q.fill(0.0);
                shape.load(&x[start * d..(start + rows) * d], q);
            }
            space.sums.fill(0.0);
            let mut most = [f32::NEG_INFINITY; SIDE];
            let mut total = [[0.0; LANES]; SIDE];
            for tile in 0..shape.reach(start + rows) {
                let heads = [self.head, 0];
                for ((q, scores), head) in space.q.iter().zip(&mut space.scores).zip(heads) {
                    let keys = tiles.keys.turned(shape.kv_head(head), tile, width);
                    let wide = (SIDE, width, SIDE);
                    multiply(
                        s,
                        (q, width, 1),
                        (keys, STEP),
                        (scores, STEP),
                        wide,
                        Start::Zero,
                    );
                }
                let [scores, firsts] = &mut space.scores;
                let before = &mut before[tile * SIDE..][..SIDE];
                let mut so_far = [0.0; SIDE];
                for r in 0..rows {
                    let row = &mut scores[r * STEP..][..SIDE];
                    let votes = &mut firsts[r * STEP..][..SIDE];
                    cast(s, shape, start + r, tile, votes);
                    lower(s, before, &mut so_far, votes, row);
                    shape.hide(start + r, tile, row);
                    let here = largest(s, row);
                    if here > most[r] {
                        let keep = (most[r] - here).exp();
                        most[r] = here;
                        shrink(s, &mut total[r], keep);
                        shrink(s, &mut space.sums[r * width..][..width], keep);
                    }
                    weigh(s, row, most[r], &mut total[r]);
                }
                before
                    .iter_mut()
                    .zip(so_far)
                    .for_each(|(x, y)| *x += f64::from(y));
                scores[rows * STEP..].fill(0.0);
                let values = tiles.values.rows(shape.kv_head(self.head), tile, width);
                let sums = (&mut *space.sums, width);
                let tall = (SIDE, SIDE, width);
                multiply(
                    s,
                    (scores, STEP, 1),
                    (values, width),
                    sums,
                    tall,
                    Start::Sum,
                );
            }
            for r in 0..rows {
                let total: f32 = total[r].iter().sum();
                let dead = total == 0.0 && most[r] == f32::NEG_INFINITY;
                let i = start + r;
                self.normalisers[i] = if dead {
                    f32::INFINITY
                } else {
                    most[r] + total.ln()
                };
                let scale = if dead { 0.0 } else { 1.0 / total };
                let sums = &space.sums[r * width..];
                for (y, x) in self.output[i * d..][..d].iter_mut().zip(sums) {
                    *y = x * scale;
                }
            }
        }
        before
    }
}
