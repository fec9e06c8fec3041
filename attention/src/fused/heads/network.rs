//! The network on one row of a tile, forward and backward.
//!
//! What the network sees of a row are `seen` rows of `STEP` numbers: scores by head, biases by head, ones, and zeros.

use super::sizes::Sizes;
use crate::fused::matrix::multiply;
use crate::fused::product::Start;
use crate::fused::shape::{SIDE, STEP, STRIP};
use crate::ops::simd::Simd;

/// Weights in whole strips.
#[derive(Debug)]
pub(super) struct Network {
    heads: usize,
    biased: bool,
    slope: f32,
    /// Rows that the first layer sees, the ones among them, in whole strips; hidden units and heads likewise.
    pub(super) seen: usize,
    pub(super) units: usize,
    pub(super) outputs: usize,
    /// \[w₁, b₁\]: \[units, seen\].
    first: Vec<f32>,
    /// w₂: \[outputs, units\].
    second: Vec<f32>,
    b2: Vec<f32>,
    /// Bias by head, from the largest distance to 0, between zeros.
    bias: Vec<f32>,
    bias_step: usize,
}

/// Gradients of the weights of some tiles.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// \[units, seen, lanes\] until [`Weights::settle`], then \[units, seen\].
    pub(super) w1: Vec<f32>,
    /// \[outputs, units, lanes\], then \[heads, hidden\].
    pub(super) w2: Vec<f32>,
    /// \[heads\]
    pub(super) b2: Vec<f32>,
    /// \[heads, bias_step\] or a part of it.
    pub(super) bias: Vec<f32>,
}

/// Lanes of sums that wait.
const LANES: usize = 16;

impl Network {
    pub(super) fn new(
        sizes: &Sizes,
        [w1, b1, w2, b2]: [&[f32]; 4],
        bias: Option<&[f32]>,
    ) -> Network {
        let (heads, hidden) = (sizes.heads, sizes.hidden);
        let inputs = if sizes.biased { 2 * heads } else { heads };
        let seen = (inputs + 1).next_multiple_of(8);
        let (units, outputs) = (hidden.next_multiple_of(8), heads.next_multiple_of(8));
        let mut first = vec![0.0; units * seen];
        for (u, row) in first.chunks_exact_mut(seen).take(hidden).enumerate() {
            row[..inputs].copy_from_slice(&w1[u * inputs..][..inputs]);
            row[inputs] = b1[u];
        }
        let mut second = vec![0.0; outputs * units];
        for (row, w2) in second.chunks_exact_mut(units).zip(w2.chunks_exact(hidden)) {
            row[..hidden].copy_from_slice(w2);
        }
        let bias_step = STRIP + sizes.distances + 2 * SIDE;
        let mut turned = vec![0.0; heads * bias_step];
        let rows = bias
            .map_or(&[][..], |bias| bias)
            .chunks_exact(sizes.distances);
        for (row, bias) in turned.chunks_exact_mut(bias_step).zip(rows) {
            let row = row[STRIP..].iter_mut();
            row.zip(bias.iter().rev()).for_each(|(x, y)| *x = *y);
        }
        Network {
            heads,
            biased: sizes.biased,
            slope: sizes.slope,
            seen,
            units,
            outputs,
            first,
            second,
            b2: b2.to_vec(),
            bias: turned,
            bias_step,
        }
    }

    /// Gradients of w₁ and b₁ out of those of `first`.
    pub(super) fn split_first(&self, sizes: &Sizes, found: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let inputs = if self.biased {
            2 * self.heads
        } else {
            self.heads
        };
        let rows = || found.chunks_exact(self.seen).take(sizes.hidden);
        let w1 = rows()
            .flat_map(|row| row[..inputs].iter().copied())
            .collect();
        (w1, rows().map(|row| row[inputs]).collect())
    }

    /// Gradient of the bias by distance out of that of the turned one.
    pub(super) fn distances(&self, sizes: &Sizes, found: &[f32]) -> Vec<f32> {
        let rows = found.chunks_exact(self.bias_step);
        rows.flat_map(|row| row[STRIP..][..sizes.distances].iter().rev().copied())
            .collect()
    }

    /// Where the biases of a query's row begin: key number `key` and those behind it.
    pub(super) fn place(&self, sizes: &Sizes, query: usize, key: usize) -> usize {
        // Keys behind the query and queries past the end, of which no pair is visible, fall among the zeros.
        STRIP + sizes.first_key + key + sizes.distances - 1 - (sizes.first_query + query)
    }

    /// Room for the gradients of some tiles, of which `places` of the bias are touched.
    pub(super) fn zeros(&self, places: usize) -> Weights {
        Weights {
            w1: vec![0.0; self.units * self.seen * LANES],
            w2: vec![0.0; self.outputs * self.units * LANES],
            b2: vec![0.0; self.heads],
            bias: vec![0.0; if self.biased { self.heads * places } else { 0 }],
        }
    }

    /// Room for the sums of all tiles.
    pub(super) fn totals(&self, sizes: &Sizes) -> Weights {
        Weights {
            w1: vec![0.0; self.units * self.seen],
            w2: vec![0.0; self.heads * sizes.hidden],
            b2: vec![0.0; self.heads],
            bias: vec![0.0; if self.biased { self.bias.len() } else { 0 }],
        }
    }

    /// From scores of a row, in the first rows of `seen`, to the rest of `seen`, hidden units before and behind lrelu,
    /// and mapped scores in `out` \[outputs, STEP\].
    #[inline(always)]
    pub(super) fn forward<S: Simd>(
        &self,
        s: S,
        place: usize,
        seen: &mut [f32],
        (before, behind): (&mut [f32], &mut [f32]),
        out: &mut [f32],
    ) {
        let heads = self.heads;
        if self.biased {
            let rows = seen[heads * STEP..].chunks_exact_mut(STEP);
            for (row, bias) in rows.zip(self.bias.chunks_exact(self.bias_step)) {
                row[..SIDE].copy_from_slice(&bias[place..][..SIDE]);
            }
        }
        let ones = if self.biased { 2 * heads } else { heads };
        seen[ones * STEP..][..SIDE].fill(1.0);
        let first = (&*self.first, self.seen, 1);
        let sizes = (self.units, self.seen, SIDE);
        multiply(s, first, (seen, STEP), (before, STEP), sizes, Start::Zero);
        let (zero, slope) = (s.splat(0.0), s.splat(self.slope));
        for (x, y) in before.chunks_exact(STEP).zip(behind.chunks_exact_mut(STEP)) {
            for at in (0..SIDE).step_by(S::LANES) {
                let x = s.read(x, at);
                // The order of arguments keeps NaN.
                let below = s.mul(slope, s.min(zero, x));
                s.write(y, at, s.add(s.max(zero, x), below));
            }
        }
        let second = (&*self.second, self.units, 1);
        let sizes = (self.outputs, self.units, SIDE);
        multiply(s, second, (behind, STEP), (out, STEP), sizes, Start::Zero);
        for (head, out) in out.chunks_exact_mut(STEP).take(heads).enumerate() {
            let more = s.splat(self.b2[head]);
            for at in (0..SIDE).step_by(S::LANES) {
                let mut sum = s.add(
                    s.read(out, at),
                    s.add(more, s.read(&seen[head * STEP..], at)),
                );
                if self.biased {
                    sum = s.add(sum, s.read(&seen[(heads + head) * STEP..], at));
                }
                s.write(out, at, sum);
            }
        }
    }

    /// From gradients of mapped scores, `above` \[outputs, STEP\], to those of what was seen, `dseen` \[seen, STEP\], which
    /// are those of scores in its first rows; adds to those of the weights. `before` is used up. `place` is where the
    /// row's biases begin in `into.bias`, whose rows are `places` long.
    #[inline(always)]
    pub(super) fn backward<S: Simd>(
        &self,
        s: S,
        (seen, behind): (&[f32], &[f32]),
        before: &mut [f32],
        above: &[f32],
        (dseen, dbehind): (&mut [f32], &mut [f32]),
        (into, place, places): (&mut Weights, usize, usize),
    ) {
        let heads = self.heads;
        let second = (&*self.second, 1, self.units);
        let sizes = (self.units, self.outputs, SIDE);
        multiply(
            s,
            second,
            (above, STEP),
            (dbehind, STEP),
            sizes,
            Start::Zero,
        );
        outer(s, (above, self.outputs), (behind, self.units), &mut into.w2);
        let (zero, one, slope) = (s.splat(0.0), s.splat(1.0), s.splat(self.slope));
        for (x, dy) in before
            .chunks_exact_mut(STEP)
            .zip(dbehind.chunks_exact(STEP))
        {
            for at in (0..SIDE).step_by(S::LANES) {
                let factor = s.select_less(zero, s.read(x, at), one, slope);
                let dx = s.mul(factor, s.read(dy, at));
                s.write(x, at, dx);
            }
        }
        outer(s, (before, self.units), (seen, self.seen), &mut into.w1);
        let first = (&*self.first, 1, self.seen);
        let sizes = (self.seen, self.units, SIDE);
        multiply(s, first, (before, STEP), (dseen, STEP), sizes, Start::Zero);
        for (head, above) in above.chunks_exact(STEP).take(heads).enumerate() {
            let mut sum = zero;
            for at in (0..SIDE).step_by(S::LANES) {
                let x = s.read(above, at);
                sum = s.add(sum, x);
                let dscore = s.add(x, s.read(&dseen[head * STEP..], at));
                s.write(&mut dseen[head * STEP..], at, dscore);
                if self.biased {
                    let dbias = s.add(x, s.read(&dseen[(heads + head) * STEP..], at));
                    let into = &mut into.bias[head * places + place..][..SIDE];
                    s.write(into, at, s.add(s.read(into, at), dbias));
                }
            }
            into.b2[head] += s.total(sum);
        }
    }
}

impl Weights {
    /// Adds what tiles left, of which the biases begin at `place` and are `places` long.
    pub(super) fn settle(
        &mut self,
        network: &Network,
        hidden: usize,
        from: &Weights,
        place: usize,
        places: usize,
    ) {
        let lanes = |x: &[f32]| x.iter().sum::<f32>();
        let sums = from.w1.chunks_exact(LANES).map(lanes);
        self.w1.iter_mut().zip(sums).for_each(|(x, y)| *x += y);
        let rows = from.w2.chunks_exact(network.units * LANES);
        for (into, row) in self.w2.chunks_exact_mut(hidden).zip(rows) {
            let sums = row.chunks_exact(LANES).map(lanes);
            into.iter_mut().zip(sums).for_each(|(x, y)| *x += y);
        }
        self.b2.iter_mut().zip(&from.b2).for_each(|(x, y)| *x += y);
        if network.biased {
            let rows = self.bias.chunks_exact_mut(network.bias_step);
            for (into, row) in rows.zip(from.bias.chunks_exact(places)) {
                into[place..].iter_mut().zip(row).for_each(|(x, y)| *x += y);
            }
        }
    }
}

/// `sums[i][j] += Σ a[i]·b[j]` over the columns of rows `STEP` apart, lane by lane; numbers of rows in fours.
#[inline(always)]
fn outer<S: Simd>(s: S, (a, m): (&[f32], usize), (b, n): (&[f32], usize), sums: &mut [f32]) {
    for i in (0..m).step_by(4) {
        for j in (0..n).step_by(4) {
            let mut found = [[s.splat(0.0); 4]; 4];
            for at in (0..SIDE).step_by(S::LANES) {
                let x = [0, 1, 2, 3].map(|r| s.read(&a[(i + r) * STEP..][..SIDE], at));
                let y = [0, 1, 2, 3].map(|r| s.read(&b[(j + r) * STEP..][..SIDE], at));
                for (found, x) in found.iter_mut().zip(x) {
                    for (sum, y) in found.iter_mut().zip(y) {
                        *sum = s.fma(x, y, *sum);
                    }
                }
            }
            for (r, found) in found.into_iter().enumerate() {
                for (c, sum) in found.into_iter().enumerate() {
                    let into = &mut sums[((i + r) * n + j + c) * LANES..][..LANES];
                    let sum = s.add(sum, s.read(into, 0));
                    s.write(into, 0, sum);
                }
            }
        }
    }
}
