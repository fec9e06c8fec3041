//! The backward pass: blocks of queries from the last to the first.

use super::tiles::{Left, Tiles, cast, lower};
use crate::fused::matrix::multiply;
use crate::fused::product::Start;
use crate::fused::shape::{SIDE, STEP, Shape};
use crate::ops::simd::{Kernel, Simd, dispatch};
use rayon::prelude::*;

/// Gradients of queries, keys and values.
pub(super) fn run(
    shape: &Shape,
    inputs: &[&[f32]],
    (output, upstream): (&[f32], &[f32]),
    left: &Left,
) -> [Vec<f32>; 3] {
    let (n, d, heads) = (shape.queries, shape.head_dim, shape.heads);
    let mut found = [0, 1, 2].map(|number| vec![0.0; inputs[number].len()]);
    let [dq, dk, dv] = &mut found;
    for batch in 0..shape.batch {
        let tiles = Tiles::new(shape, inputs, batch);
        let of = |head: usize| (batch * heads + head) * n * d..(batch * heads + head + 1) * n * d;
        let space = || Space::new(shape);
        let run = |space: &mut Space, head: usize| {
            let row = (batch * heads + head) * n;
            dispatch(Head {
                shape,
                tiles: &tiles,
                head,
                q: [&inputs[0][of(head)], &inputs[0][of(0)]],
                output: &output[of(head)],
                upstream: &upstream[of(head)],
                normalisers: &left.normalisers[row..row + n],
                before: left.sums[batch * shape.tiles() * SIDE..][..shape.tiles() * SIDE].to_vec(),
                space,
            })
        };
        let jobs = (0..heads).into_par_iter();
        let jobs: Vec<Found> = jobs.map_init(space, run).collect();
        for (head, found) in jobs.iter().enumerate() {
            let key = |head: usize| (batch * shape.kv_heads + shape.kv_head(head)) * n * d;
            add(&found.q, &mut dq[of(head)]);
            add(&found.first_q, &mut dq[of(0)]);
            add(&found.k, &mut dk[key(head)..][..n * d]);
            add(&found.first_k, &mut dk[key(0)..][..n * d]);
            add(&found.v, &mut dv[key(head)..][..n * d]);
        }
    }
    found
}

fn add(x: &[f32], into: &mut [f32]) {
    into.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

/// Gradients of one head's inputs and of the first head's queries and keys, \[tokens, head_dim\].
struct Found {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    first_q: Vec<f32>,
    first_k: Vec<f32>,
}

/// One head of one batch entry.
struct Head<'a> {
    shape: &'a Shape,
    tiles: &'a Tiles,
    head: usize,
    q: [&'a [f32]; 2],
    output: &'a [f32],
    upstream: &'a [f32],
    normalisers: &'a [f32],
    /// Sums of all keys, of which blocks take off what they add.
    before: Vec<f64>,
    space: &'a mut Space,
}

/// Buffers of one thread: rows \[SIDE, width\], squares \[SIDE, STEP\], sums over all keys \[keys, width\].
struct Space {
    q: [Vec<f32>; 2],
    upstream: Vec<f32>,
    scores: [Vec<f32>; 2],
    weights: Vec<f32>,
    dweights: Vec<f32>,
    dq: [Vec<f32>; 2],
    dk: [Vec<f32>; 2],
    dv: Vec<f32>,
}

impl Space {
    fn new(shape: &Shape) -> Space {
        let rows = || vec![0.0; SIDE * shape.width];
        let square = || vec![0.0; SIDE * STEP];
        let all = || vec![0.0; shape.tiles() * SIDE * shape.width];
        Space {
            q: [rows(), rows()],
            upstream: rows(),
            scores: [square(), square()],
            weights: square(),
            dweights: square(),
            dq: [rows(), rows()],
            dk: [all(), all()],
            dv: all(),
        }
    }
}

impl Kernel for Head<'_> {
    type Output = Found;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> Found {
        let shape = self.shape;
        let (n, d, width) = (shape.queries, shape.head_dim, shape.width);
        let [mut q, mut first_q] = [0, 1].map(|_| vec![0.0; n * d]);
        self.space.dk.iter_mut().for_each(|dk| dk.fill(0.0));
        self.space.dv.fill(0.0);
        // Gradient of each key's sum: minus those of all later scores.
        let mut above = vec![0.0; shape.tiles() * SIDE];
        for start in (0..n).step_by(SIDE).rev() {
            let rows = SIDE.min(n - start);
            let range = start * d..(start + rows) * d;
            let space = &mut *self.space;
            for (q, x) in space.q.iter_mut().zip(self.q) {
                q.fill(0.0);
                shape.load(&x[range.clone()], q);
            }
            space.upstream.fill(0.0);
            shape.load(&self.upstream[range.clone()], &mut space.upstream);
            space.dq.iter_mut().for_each(|dq| dq.fill(0.0));
            for tile in 0..shape.reach(start + rows) {
                self.tile(s, (start, rows), tile, &mut above[tile * SIDE..][..SIDE]);
            }
            let [dq, first_dq] = &self.space.dq;
            store(dq, width, d, &mut q[range.clone()]);
            store(first_dq, width, d, &mut first_q[range]);
        }
        let rows = |x: &[f32]| {
            let mut out = vec![0.0; n * d];
            store(x, width, d, &mut out);
            out
        };
        Found {
            q,
            first_q,
            k: rows(&self.space.dk[0]),
            first_k: rows(&self.space.dk[1]),
            v: rows(&self.space.dv),
        }
    }
}

impl Head<'_> {
    #[inline(always)]
    fn tile<S: Simd>(
        &mut self,
        s: S,
        (start, rows): (usize, usize),
        tile: usize,
        above: &mut [f32],
    ) {
        let (shape, tiles, space) = (self.shape, self.tiles, &mut *self.space);
        let (d, width, wide) = (shape.head_dim, shape.width, (SIDE, shape.width, SIDE));
        let kv_heads = [shape.kv_head(self.head), 0];
        for ((q, scores), kv_head) in space.q.iter().zip(&mut space.scores).zip(kv_heads) {
            let keys = (tiles.keys.turned(kv_head, tile, width), STEP);
            multiply(s, (q, width, 1), keys, (scores, STEP), wide, Start::Zero);
        }
        let values = (tiles.values.turned(kv_heads[0], tile, width), STEP);
        let upstream = (&*space.upstream, width, 1);
        multiply(
            s,
            upstream,
            values,
            (&mut space.dweights, STEP),
            wide,
            Start::Zero,
        );
        let [scores, firsts] = &mut space.scores;
        let before = &mut self.before[tile * SIDE..][..SIDE];
        let mut so_far = [0.0; SIDE];
        for r in 0..rows {
            let votes = &mut firsts[r * STEP..][..SIDE];
            cast(s, shape, start + r, tile, votes);
            for (sum, vote) in so_far.iter_mut().zip(&*votes) {
                *sum += vote;
            }
        }
        before
            .iter_mut()
            .zip(so_far)
            .for_each(|(x, y)| *x -= f64::from(y));
        let mut so_far = [0.0; SIDE];
        for r in 0..rows {
            let (i, range) = (start + r, r * STEP..r * STEP + SIDE);
            let row = &mut scores[range.clone()];
            lower(s, before, &mut so_far, &firsts[range.clone()], row);
            shape.hide(i, tile, row);
            let pairs = self.output[i * d..][..d]
                .iter()
                .zip(&self.upstream[i * d..]);
            let mean = s.splat(pairs.map(|(x, y)| x * y).sum());
            let norm = s.splat(self.normalisers[i]);
            let (p, dp) = (&mut space.weights[range.clone()], &space.dweights[range]);
            for at in (0..SIDE).step_by(S::LANES) {
                let weight = s.exp_down(s.sub(s.read(row, at), norm));
                s.write(p, at, weight);
                s.write(row, at, s.mul(weight, s.sub(s.read(dp, at), mean)));
            }
        }
        for x in [&mut *scores, &mut *firsts, &mut space.weights] {
            x[rows * STEP..].fill(0.0);
        }
        for r in (0..rows).rev() {
            let row = &scores[r * STEP..][..SIDE];
            let votes = &mut firsts[r * STEP..][..SIDE];
            for at in (0..SIDE).step_by(S::LANES) {
                let (zero, sum) = (s.splat(0.0), s.read(above, at));
                let dvote = s.select_less(zero, s.read(votes, at), sum, zero);
                s.write(votes, at, dvote);
                s.write(above, at, s.sub(sum, s.read(row, at)));
            }
        }
        let own = tile * SIDE * width..(tile + 1) * SIDE * width;
        let tall = (SIDE, SIDE, width);
        let upstream = (&*space.upstream, width);
        let into = (&mut space.dv[own.clone()], width);
        multiply(
            s,
            (&space.weights, 1, STEP),
            upstream,
            into,
            tall,
            Start::Sum,
        );
        for number in [0, 1] {
            let ds = &space.scores[number];
            let into = (&mut space.dk[number][own.clone()], width);
            multiply(
                s,
                (ds, 1, STEP),
                (&space.q[number], width),
                into,
                tall,
                Start::Sum,
            );
            let keys = (tiles.keys.rows(kv_heads[number], tile, width), width);
            let into = (&mut *space.dq[number], width);
            multiply(s, (ds, STEP, 1), keys, into, tall, Start::Sum);
        }
    }
}

/// Rows of whole vectors to rows of `d` numbers.
fn store(x: &[f32], width: usize, d: usize, out: &mut [f32]) {
    for (y, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(width)) {
        y.copy_from_slice(&x[..d]);
    }
}
