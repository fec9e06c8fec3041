//! The backward pass: carried queries are made again, then gradients come in from the farthest chunk.

mod space;

use super::chunk::{Above, keep_lower};
use super::sizes::{Inputs, Sizes, finish_scores};
use crate::fused::matrix::{multiply, transpose};
use crate::fused::product::Start;
use crate::fused::shape::{SIDE, STEP};
use crate::ops::simd::{Kernel, Simd};
pub(super) use space::Space;

/// Gradients of one job's inputs, to be written.
pub(super) struct Gradients<'a> {
    pub(super) q: &'a mut [f32],
    pub(super) k: &'a mut [f32],
    pub(super) v: &'a mut [f32],
    pub(super) w: &'a mut [f32],
    pub(super) beta: &'a mut [f32],
    pub(super) gain: Option<&'a mut [f32]>,
}

/// All queries of one key head of one batch entry.
pub(super) struct Backward<'a, 'b> {
    pub(super) sizes: &'a Sizes,
    pub(super) inputs: Inputs<'a>,
    pub(super) output: &'a [f32],
    pub(super) upstream: &'a [f32],
    pub(super) normalisers: &'a [f32],
    pub(super) into: &'a mut Gradients<'b>,
    pub(super) space: &'a mut Space,
}

/// One block of queries of one head.
struct Block<'a> {
    number: usize,
    head: usize,
    gain: Option<&'a [f32]>,
    /// ⟨upstream, output⟩ of each row.
    means: [f32; SIDE],
}

impl Kernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (sizes, inputs) = (self.sizes, self.inputs);
        let (n, width) = (sizes.keys, sizes.width);
        let space = &mut *self.space;
        for sums in [
            &mut space.dkeys,
            &mut space.dk,
            &mut space.dv,
            &mut space.dw,
            &mut space.dmoved,
            &mut space.dfelt,
            &mut space.dacross,
        ] {
            sums.fill(0.0);
        }
        for number in 0..sizes.tiles() {
            let space = &mut *self.space;
            sizes.load(inputs.v, number * SIDE, &mut space.next);
            let v_t = &mut space.v_t[number * width * STEP..][..width * STEP];
            transpose((&space.next, width), (v_t, STEP), SIDE, width);
            space
                .chunk
                .load(s, sizes, &inputs, number, &mut space.scores);
            let chunk = &space.chunk;
            transpose((&chunk.felt, STEP), (&mut space.felt_t, STEP), SIDE, SIDE);
            transpose(
                (&chunk.moved, width),
                (&mut space.moved_t, STEP),
                SIDE,
                width,
            );
            for head in 0..sizes.group() {
                let gain = inputs.gain.map(|gain| &gain[head * n..][..n]);
                let means = [0.0; SIDE];
                let mut block = Block {
                    number,
                    head,
                    gain,
                    means,
                };
                self.load(&mut block);
                self.carry_out(s, &block);
                self.come_in(s, &block);
                self.own_chunk(s, &block);
            }
            let space = &mut *self.space;
            space.carried.add(s, number, &space.chunk, width);
            let across_t = &mut space.across_t[number * width * width..][..width * width];
            let across = space.carried.across(number, width);
            transpose((across, width), (across_t, width), width, width);
        }
        self.finish(s);
    }
}

impl Backward<'_, '_> {
    /// Brings in a block's queries and upstream gradient.
    #[inline(always)]
    fn load(&mut self, block: &mut Block<'_>) {
        let (sizes, space) = (self.sizes, &mut *self.space);
        let (n, d) = (sizes.keys, sizes.head_dim);
        let (start, rows) = (
            block.number * SIDE,
            block.head * n * d..(block.head + 1) * n * d,
        );
        sizes.load(&self.inputs.q[rows.clone()], start, &mut space.q);
        sizes.load(&self.upstream[rows.clone()], start, &mut space.upstream);
        let (output, upstream) = (&self.output[rows.clone()], &self.upstream[rows]);
        let output = output[start * d..].chunks_exact(d);
        let pairs = output.zip(upstream[start * d..].chunks_exact(d));
        for ((x, y), mean) in pairs.zip(&mut block.means) {
            *mean = x.iter().zip(y).map(|(x, y)| x * y).sum();
        }
    }

    /// Makes the queries again as every earlier chunk sees them, and the block's own raw scores.
    #[inline(always)]
    fn carry_out<S: Simd>(&mut self, s: S, block: &Block<'_>) {
        let (sizes, space) = (self.sizes, &mut *self.space);
        let (width, size) = (sizes.width, SIDE * sizes.width);
        let edge = &mut space.left_edge;
        space
            .chunk
            .meet(s, &space.q, &mut space.met, &mut space.scores, edge);
        if block.number == 0 {
            return;
        }
        let last = block.number - 1;
        let first = &mut space.seen[last * size..][..size];
        first
            .iter_mut()
            .zip(&*edge)
            .for_each(|(x, y)| *x = y * sizes.scale);
        for c in (1..block.number).rev() {
            let (farther, nearer) = space.seen.split_at_mut(c * size);
            let farther = (&mut farther[(c - 1) * size..], width);
            let across = (space.carried.across(c, width), width);
            multiply(
                s,
                (nearer, width, 1),
                across,
                farther,
                (SIDE, width, width),
                Start::Zero,
            );
        }
    }

    /// From raw scores of a tile to weights (`space.weights`) and gradients of scores (`space.scores`); adds to the
    /// gradients of values and gains.
    #[inline(always)]
    fn differentiate<S: Simd>(&mut self, s: S, block: &Block<'_>, c: usize, scale: f32) {
        let (sizes, space) = (self.sizes, &mut *self.space);
        let (n, width) = (sizes.keys, sizes.width);
        let values = (&space.v_t[c * width * STEP..], STEP);
        let (upstream, wide) = ((&*space.upstream, width, 1), (SIDE, width, SIDE));
        multiply(
            s,
            upstream,
            values,
            (&mut space.dweights, STEP),
            wide,
            Start::Zero,
        );
        let place = (block.number, c);
        finish_scores(s, sizes, place, scale, block.gain, &mut space.scores);
        let first = block.head * n + block.number * SIDE;
        let rows = sizes.of(block.number);
        for r in 0..SIDE {
            let range = r * STEP..r * STEP + SIDE;
            let (row, p) = (
                &mut space.scores[range.clone()],
                &mut space.weights[range.clone()],
            );
            if r >= rows {
                row.fill(0.0);
                p.fill(0.0);
                continue;
            }
            let dp = &space.dweights[range];
            let (norm, mean) = (
                s.splat(self.normalisers[first + r]),
                s.splat(block.means[r]),
            );
            for at in (0..SIDE).step_by(S::LANES) {
                let weight = s.exp_down(s.sub(s.read(row, at), norm));
                s.write(p, at, weight);
                s.write(row, at, s.mul(weight, s.sub(s.read(dp, at), mean)));
            }
        }
        let dv = (&mut space.dv[c * SIDE * width..][..SIDE * width], width);
        let tall = (SIDE, SIDE, width);
        let weights = (&*space.weights, 1, STEP);
        multiply(s, weights, (&space.upstream, width), dv, tall, Start::Sum);
        if let Some(gain) = &mut self.into.gain {
            let gain = &mut gain[block.head * n..][..n];
            let cols = sizes.of(c);
            for (r, row) in space.scores.chunks_exact(STEP).take(rows).enumerate() {
                gain[block.number * SIDE + r] += row[..cols].iter().sum::<f32>();
                let others = &mut gain[c * SIDE..][..cols];
                others.iter_mut().zip(row).for_each(|(x, y)| *x -= y);
            }
        }
    }

    /// Tiles of earlier chunks, the farthest first; leaves the gradient of the carried queries in `space.dseen`.
    #[inline(always)]
    fn come_in<S: Simd>(&mut self, s: S, block: &Block<'_>) {
        let width = self.sizes.width;
        let size = SIDE * width;
        // The block's own raw scores wait meanwhile.
        std::mem::swap(&mut self.space.scores, &mut self.space.dmet);
        self.space.dseen.fill(0.0);
        for c in 0..block.number {
            let space = &mut *self.space;
            let seen = (&space.seen[c * size..][..size], width, 1);
            let keys = (space.carried.keys_t(c, width), STEP);
            let wide = (SIDE, width, SIDE);
            multiply(s, seen, keys, (&mut space.scores, STEP), wide, Start::Zero);
            self.differentiate(s, block, c, 1.0);
            let space = &mut *self.space;
            let seen = &space.seen[c * size..][..size];
            let dkeys = (&mut space.dkeys[c * size..][..size], width);
            let tall = (SIDE, SIDE, width);
            multiply(
                s,
                (&*space.scores, 1, STEP),
                (seen, width),
                dkeys,
                tall,
                Start::Sum,
            );
            let keys = (space.carried.keys(c, width), width);
            let next = (&mut *space.next, width);
            multiply(s, (&*space.scores, STEP, 1), keys, next, tall, Start::Zero);
            if c > 0 {
                let across = c * width * width..(c + 1) * width * width;
                let dacross = (&mut space.dacross[across.clone()], width);
                let dseen = (&*space.dseen, width);
                multiply(
                    s,
                    (seen, 1, width),
                    dseen,
                    dacross,
                    (width, SIDE, width),
                    Start::Sum,
                );
                let across_t = (&space.across_t[across], width);
                let (next, square) = ((&mut *space.next, width), (SIDE, width, width));
                multiply(
                    s,
                    (&*space.dseen, width, 1),
                    across_t,
                    next,
                    square,
                    Start::Sum,
                );
            }
            std::mem::swap(&mut space.dseen, &mut space.next);
        }
        std::mem::swap(&mut self.space.scores, &mut self.space.dmet);
    }

    /// The tile on the diagonal, and what it and the carried queries say of the block's queries and chunk.
    #[inline(always)]
    fn own_chunk<S: Simd>(&mut self, s: S, block: &Block<'_>) {
        let scale = self.sizes.scale;
        self.differentiate(s, block, block.number, scale);
        let (sizes, space) = (self.sizes, &mut *self.space);
        let (n, d, width) = (sizes.keys, sizes.head_dim, sizes.width);
        space.scores.iter_mut().for_each(|x| *x *= scale);
        space.dseen.iter_mut().for_each(|x| *x *= scale);
        let (square, rows, wide) = ((SIDE, SIDE, SIDE), (SIDE, SIDE, width), (SIDE, width, SIDE));
        let dlocal = (&*space.scores, STEP);
        let dmet = (&mut *space.dmet, STEP);
        multiply(
            s,
            (dlocal.0, STEP, 1),
            (&space.felt_t, STEP),
            dmet,
            square,
            Start::Zero,
        );
        let (edge, dmet) = ((&*space.dseen, width, 1), (&mut *space.dmet, STEP));
        multiply(s, edge, (&space.moved_t, STEP), dmet, wide, Start::Sum);
        keep_lower(&mut space.dmet, false);
        let met_t = (&*space.met, 1, STEP);
        let dfelt = &mut space.dfelt[block.number * SIDE * STEP..][..SIDE * STEP];
        multiply(s, met_t, dlocal, (dfelt, STEP), square, Start::Sum);
        let own = block.number * SIDE * width..(block.number + 1) * SIDE * width;
        let dmoved = (&mut space.dmoved[own.clone()], width);
        multiply(s, met_t, (&space.dseen, width), dmoved, rows, Start::Sum);
        let dk = (&mut space.dk[own.clone()], width);
        multiply(
            s,
            (dlocal.0, 1, STEP),
            (&space.q, width),
            dk,
            rows,
            Start::Sum,
        );
        let dw = (&mut space.dw[own], width);
        multiply(
            s,
            (&*space.dmet, 1, STEP),
            (&space.q, width),
            dw,
            rows,
            Start::Sum,
        );
        space.dq.copy_from_slice(&space.dseen);
        let (k, w) = ((&*space.chunk.k, width), (&*space.chunk.w, width));
        multiply(
            s,
            (dlocal.0, STEP, 1),
            k,
            (&mut space.dq, width),
            rows,
            Start::Sum,
        );
        multiply(
            s,
            (&*space.dmet, STEP, 1),
            w,
            (&mut space.dq, width),
            rows,
            Start::Sum,
        );
        let out = &mut self.into.q[(block.head * n + block.number * SIDE) * d..];
        store(&space.dq, width, d, &mut out[..sizes.of(block.number) * d]);
    }

    /// From what is known of all chunks to the gradients of keys, values and reflections.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S) {
        let (sizes, inputs, space) = (self.sizes, self.inputs, &mut *self.space);
        let (d, width) = (sizes.head_dim, sizes.width);
        let mut dbeta = [0.0; SIDE];
        for c in 0..sizes.tiles() {
            space.chunk.load(s, sizes, &inputs, c, &mut space.scores);
            let own = c * SIDE * width..(c + 1) * SIDE * width;
            let mut above = Above {
                dkeys: &space.dkeys[own.clone()],
                dacross: &space.dacross[c * width * width..][..width * width],
                dfelt: &mut space.dfelt[c * SIDE * STEP..][..SIDE * STEP],
                dmoved: &mut space.dmoved[own.clone()],
                dk: &mut space.dk[own.clone()],
                dw: &mut space.dw[own.clone()],
                dbeta: &mut dbeta,
            };
            space.chunk.backward(s, &mut above, &mut space.chunk_space);
            let rows = c * SIDE * d..(c * SIDE + sizes.of(c)) * d;
            store(
                &space.dk[own.clone()],
                width,
                d,
                &mut self.into.k[rows.clone()],
            );
            store(
                &space.dv[own.clone()],
                width,
                d,
                &mut self.into.v[rows.clone()],
            );
            store(&space.dw[own], width, d, &mut self.into.w[rows]);
            let n = sizes.of(c);
            self.into.beta[c * SIDE..][..n].copy_from_slice(&dbeta[..n]);
        }
    }
}

/// Rows of whole vectors to rows of `d` numbers.
fn store(x: &[f32], width: usize, d: usize, out: &mut [f32]) {
    for (y, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(width)) {
        y.copy_from_slice(&x[..d]);
    }
}
