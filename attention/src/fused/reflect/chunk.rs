//! What one chunk of reflections says on its own, and the gradients of that.

use super::sizes::{Inputs, Sizes};
use crate::fused::matrix::{multiply, transpose};
use crate::fused::product::Start;
use crate::fused::shape::{SIDE, STEP};
use crate::ops::simd::Simd;

/// Matrices of one chunk: `square` ones are \[SIDE, STEP\], rows are `width` wide.
#[derive(Debug)]
pub(super) struct Chunk {
    width: usize,
    /// Reflections and keys, \[SIDE, width\], and their transposes, \[width, STEP\].
    pub(super) w: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) w_t: Vec<f32>,
    pub(super) k_t: Vec<f32>,
    beta: Vec<f32>,
    /// W·Wᵀ
    gram: Vec<f32>,
    /// (I + A)⁻¹, A = strictly lower(diag(β)·W·Wᵀ)
    inverse: Vec<f32>,
    /// −T = −(I + A)⁻¹·diag(β)
    steps: Vec<f32>,
    /// −T·F, F = strictly lower(W·Kᵀ)
    pub(super) felt: Vec<f32>,
    /// −T·W
    pub(super) moved: Vec<f32>,
}

impl Chunk {
    pub(super) fn new(width: usize) -> Chunk {
        let (square, rows) = (|| vec![0.0; SIDE * STEP], || vec![0.0; SIDE * width]);
        let columns = || vec![0.0; width * STEP];
        Chunk {
            width,
            w: rows(),
            k: rows(),
            w_t: columns(),
            k_t: columns(),
            beta: vec![0.0; SIDE],
            gram: square(),
            inverse: square(),
            steps: square(),
            felt: square(),
            moved: rows(),
        }
    }

    /// Brings in chunk number `c`. Tokens past the end have w = 0 and β = 0, which change nothing.
    #[inline(always)]
    pub(super) fn load<S: Simd>(
        &mut self,
        s: S,
        sizes: &Sizes,
        inputs: &Inputs<'_>,
        c: usize,
        scratch: &mut [f32],
    ) {
        let width = self.width;
        sizes.load(inputs.w, c * SIDE, &mut self.w);
        sizes.load(inputs.k, c * SIDE, &mut self.k);
        self.beta.fill(0.0);
        let n = sizes.of(c);
        self.beta[..n].copy_from_slice(&inputs.beta[c * SIDE..][..n]);
        transpose((&self.w, width), (&mut self.w_t, STEP), SIDE, width);
        transpose((&self.k, width), (&mut self.k_t, STEP), SIDE, width);
        let sizes = (SIDE, width, SIDE);
        let (w, w_t) = ((&*self.w, width, 1), (&*self.w_t, STEP));
        multiply(s, w, w_t, (&mut self.gram, STEP), sizes, Start::Zero);
        self.invert(s);
        let w = (&*self.w, width, 1);
        for (x, row) in self
            .steps
            .chunks_exact_mut(STEP)
            .zip(self.inverse.chunks_exact(STEP))
        {
            for ((x, y), beta) in x.iter_mut().zip(row).zip(&self.beta) {
                *x = -y * beta;
            }
        }
        multiply(s, w, (&self.k_t, STEP), (scratch, STEP), sizes, Start::Zero);
        keep_lower(scratch, true);
        let steps = (&*self.steps, STEP, 1);
        let square = (SIDE, SIDE, SIDE);
        multiply(
            s,
            steps,
            (scratch, STEP),
            (&mut self.felt, STEP),
            square,
            Start::Zero,
        );
        let rows = (SIDE, SIDE, width);
        multiply(
            s,
            steps,
            (&self.w, width),
            (&mut self.moved, width),
            rows,
            Start::Zero,
        );
    }

    /// Forward substitution: row t is that of I minus Σ_{s < t} A_ts · row s.
    #[inline(always)]
    fn invert<S: Simd>(&mut self, s: S) {
        self.inverse.fill(0.0);
        for t in 0..SIDE {
            let (done, rest) = self.inverse.split_at_mut(t * STEP);
            let row = &mut rest[..SIDE];
            for (other, gram) in done.chunks_exact(STEP).zip(&self.gram[t * STEP..]) {
                let factor = s.splat(-self.beta[t] * gram);
                for at in (0..t).step_by(S::LANES) {
                    let sum = s.fma(factor, s.read(&other[..SIDE], at), s.read(row, at));
                    s.write(row, at, sum);
                }
            }
            row[t] = 1.0;
        }
    }

    /// Keys as the right edge sees them: K − (T·F)ᵀ·W.
    #[inline(always)]
    pub(super) fn carried_keys<S: Simd>(&self, s: S, out: &mut [f32]) {
        let width = self.width;
        out.copy_from_slice(&self.k);
        let felt = (&*self.felt, 1, STEP);
        multiply(
            s,
            felt,
            (&self.w, width),
            (out, width),
            (SIDE, SIDE, width),
            Start::Sum,
        );
    }

    /// P = I − Wᵀ·T·W.
    #[inline(always)]
    pub(super) fn across<S: Simd>(&self, s: S, out: &mut [f32]) {
        let width = self.width;
        out.fill(0.0);
        out.iter_mut().step_by(width + 1).for_each(|x| *x = 1.0);
        let (w, moved) = ((&*self.w, 1, width), (&*self.moved, width));
        multiply(s, w, moved, (out, width), (width, SIDE, width), Start::Sum);
    }

    /// Scores of a block of queries with its own chunk's keys into `local`, and the queries as the left edge sees them
    /// into `seen`; leaves lower(Q·Wᵀ) in `met`. Nothing is scaled; `local` is right on and below the diagonal.
    #[inline(always)]
    pub(super) fn meet<S: Simd>(
        &self,
        s: S,
        q: &[f32],
        met: &mut [f32],
        local: &mut [f32],
        seen: &mut [f32],
    ) {
        let width = self.width;
        let (queries, sizes) = ((q, width, 1), (SIDE, width, SIDE));
        multiply(
            s,
            queries,
            (&self.w_t, STEP),
            (met, STEP),
            sizes,
            Start::Zero,
        );
        keep_lower(met, false);
        multiply(
            s,
            queries,
            (&self.k_t, STEP),
            (local, STEP),
            sizes,
            Start::Zero,
        );
        let met = (&*met, STEP, 1);
        let square = (SIDE, SIDE, SIDE);
        multiply(
            s,
            met,
            (&self.felt, STEP),
            (local, STEP),
            square,
            Start::Sum,
        );
        seen.copy_from_slice(q);
        let rows = (SIDE, SIDE, width);
        multiply(
            s,
            met,
            (&self.moved, width),
            (seen, width),
            rows,
            Start::Sum,
        );
    }

    /// Gradients of a chunk's inputs from those of what it says.
    #[inline(always)]
    pub(super) fn backward<S: Simd>(&self, s: S, above: &mut Above<'_>, space: &mut Space) {
        let width = self.width;
        let (w, k) = ((&*self.w, width), (&*self.k, width));
        let (rows, square) = ((SIDE, SIDE, width), (SIDE, SIDE, SIDE));
        let Space {
            a,
            b,
            square: x,
            turned,
            narrow,
        } = space;
        // Carried keys: K + feltᵀ·W.
        above
            .dk
            .iter_mut()
            .zip(above.dkeys)
            .for_each(|(x, y)| *x += y);
        transpose((above.dkeys, width), (narrow, STEP), SIDE, width);
        let (left, inner) = ((&*self.w, width, 1), (SIDE, width, SIDE));
        multiply(
            s,
            left,
            (narrow, STEP),
            (above.dfelt, STEP),
            inner,
            Start::Sum,
        );
        let felt = (&*self.felt, STEP, 1);
        multiply(
            s,
            felt,
            (above.dkeys, width),
            (above.dw, width),
            rows,
            Start::Sum,
        );
        // P = I + Wᵀ·moved.
        transpose((above.dacross, width), (narrow, STEP), width, width);
        let moved = (&*self.moved, width, 1);
        let tall = (SIDE, width, width);
        multiply(
            s,
            moved,
            (narrow, STEP),
            (above.dw, width),
            tall,
            Start::Sum,
        );
        multiply(
            s,
            left,
            (above.dacross, width),
            (above.dmoved, width),
            tall,
            Start::Sum,
        );
        // felt = steps·F, moved = steps·W, F = strictly lower(W·Kᵀ).
        let keys = (&*self.k, width, 1);
        multiply(
            s,
            keys,
            (&self.w_t, STEP),
            (turned, STEP),
            inner,
            Start::Zero,
        );
        keep_upper(turned);
        let dsteps = a;
        let dfelt = (&*above.dfelt, STEP, 1);
        multiply(
            s,
            dfelt,
            (turned, STEP),
            (dsteps, STEP),
            square,
            Start::Zero,
        );
        let dmoved = (&*above.dmoved, width, 1);
        multiply(
            s,
            dmoved,
            (&self.w_t, STEP),
            (dsteps, STEP),
            inner,
            Start::Sum,
        );
        let steps = (&*self.steps, 1, STEP);
        let df = b;
        multiply(
            s,
            steps,
            (above.dfelt, STEP),
            (df, STEP),
            square,
            Start::Zero,
        );
        keep_lower(df, true);
        multiply(
            s,
            steps,
            (above.dmoved, width),
            (above.dw, width),
            rows,
            Start::Sum,
        );
        multiply(s, (&*df, STEP, 1), k, (above.dw, width), rows, Start::Sum);
        multiply(s, (&*df, 1, STEP), w, (above.dk, width), rows, Start::Sum);
        // T = (I + A)⁻¹·diag(β): with x = (I + A)⁻ᵀ·dT, dA = −x·Tᵀ and dβ is the diagonal of x.
        dsteps.iter_mut().for_each(|x| *x = -*x);
        let inverse = (&*self.inverse, 1, STEP);
        multiply(s, inverse, (dsteps, STEP), (x, STEP), square, Start::Zero);
        transpose((&self.steps, STEP), (turned, STEP), SIDE, SIDE);
        let da = dsteps;
        multiply(
            s,
            (&*x, STEP, 1),
            (turned, STEP),
            (da, STEP),
            square,
            Start::Zero,
        );
        keep_lower(da, true);
        // A = strictly lower(diag(β)·W·Wᵀ).
        for (t, da) in da.chunks_exact_mut(STEP).enumerate() {
            let gram = &self.gram[t * STEP..];
            let sum: f32 = da[..t].iter().zip(gram).map(|(x, y)| x * y).sum();
            above.dbeta[t] = x[t * STEP + t] + sum;
            da[..t].iter_mut().for_each(|x| *x *= self.beta[t]);
        }
        multiply(s, (&*da, STEP, 1), w, (above.dw, width), rows, Start::Sum);
        multiply(s, (&*da, 1, STEP), w, (above.dw, width), rows, Start::Sum);
    }
}

/// Gradients of what a chunk says, and of its inputs, to which more is added.
pub(super) struct Above<'a> {
    pub(super) dkeys: &'a [f32],
    pub(super) dacross: &'a [f32],
    pub(super) dfelt: &'a mut [f32],
    pub(super) dmoved: &'a mut [f32],
    pub(super) dk: &'a mut [f32],
    pub(super) dw: &'a mut [f32],
    pub(super) dbeta: &'a mut [f32],
}

/// Buffers for [`Chunk::backward`].
#[derive(Debug)]
pub(super) struct Space {
    a: Vec<f32>,
    b: Vec<f32>,
    square: Vec<f32>,
    turned: Vec<f32>,
    narrow: Vec<f32>,
}

impl Space {
    pub(super) fn new(width: usize) -> Space {
        let square = || vec![0.0; SIDE * STEP];
        Space {
            a: square(),
            b: square(),
            square: square(),
            turned: square(),
            narrow: vec![0.0; width * STEP],
        }
    }
}

/// Zeros above the diagonal, or on it too.
pub(super) fn keep_lower(x: &mut [f32], strict: bool) {
    for (r, row) in x.chunks_exact_mut(STEP).enumerate() {
        row[r + usize::from(!strict)..].fill(0.0);
    }
}

/// Zeros on and below the diagonal.
fn keep_upper(x: &mut [f32]) {
    for (r, row) in x.chunks_exact_mut(STEP).enumerate() {
        row[..=r].fill(0.0);
    }
}
