//! Gaussian error linear units (Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2): x · Φ(x).

use super::bridge::{Floats, floats, for_chunks, ours, tensor};
use super::simd::{Kernel, Simd, dispatch};
use crate::{Result, Tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape};

/// Elements of one job.
const CHUNK: usize = 1 << 14;

/// Which Φ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// (1 + erf(x / √2)) / 2
    Exact,
    /// (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2, the paper's approximation, as in GPT-2.
    Tanh,
}

/// `x · Φ(x)`, element by element.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    match (ours([x]), form) {
        (Some([x]), _) => Ok(Tensor::from_candle(x.contiguous()?.apply_op1(form)?)),
        (None, Gelu::Exact) => x.gelu_erf(),
        (None, Gelu::Tanh) => x.gelu(),
    }
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut y = vec![0.0; x.len()];
        for_chunks(&mut y, CHUNK, |block, y| {
            dispatch(Forward {
                form: *self,
                x: &x[block * CHUNK..][..y.len()],
                y,
            });
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &candle_core::Tensor,
        _y: &candle_core::Tensor,
        dy: &candle_core::Tensor,
    ) -> candle_core::Result<Option<candle_core::Tensor>> {
        let dy = dy.contiguous()?;
        let (xs, dys) = (Floats::of(x)?, Floats::of(&dy)?);
        let (xs, dys) = (xs.get(), dys.get());
        let mut dx = vec![0.0; xs.len()];
        for_chunks(&mut dx, CHUNK, |block, dx| {
            let range = block * CHUNK..block * CHUNK + dx.len();
            dispatch(Backward {
                form: *self,
                x: &xs[range.clone()],
                dy: &dys[range],
                dx,
            });
        });
        Ok(Some(tensor(dx, x)?))
    }
}

impl Gelu {
    /// (Φ(x), Φ′(x))
    #[inline(always)]
    fn phi<S: Simd>(self, s: S, x: S::V) -> (S::V, S::V) {
        match self {
            Gelu::Exact => normal(s, x),
            Gelu::Tanh => logistic(s, x),
        }
    }
}

/// The normal distribution and its density, to a relative error below 2e-6 down to Φ(−8).
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    /// Coefficients of erfc(z) · e^(z²) / t in t = 1 / (1 + z/2), highest first: fitted on z in \[0, 10\] for the least
    /// relative error, 5e-8.
    const TAIL: [f32; 9] = [
        -0.059_069_33,
        0.284_576_74,
        -0.487_203_42,
        0.278_071_05,
        -0.026_628_217,
        0.202_687_89,
        0.243_103_52,
        0.282_375_34,
        0.282_086_4,
    ];
    let one = s.splat(1.0);
    let z = s.mul(s.abs(x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let e = s.exp(s.sub(s.splat(0.0), s.mul(z, z)));
    let t = s.div(one, s.fma(z, s.splat(0.5), one));
    let mut p = s.splat(0.0);
    for c in TAIL {
        p = s.fma(p, t, s.splat(c));
    }
    let tail = s.mul(s.mul(s.mul(p, t), e), s.splat(0.5));
    let phi = s.select_less(x, s.splat(0.0), tail, s.sub(one, tail));
    // 1 / √(2π)
    (phi, s.mul(e, s.splat(0.398_942_3)))
}

/// The tanh form, which is a logistic function of twice the argument.
#[inline(always)]
fn logistic<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    // 2 · √(2/π)
    const SLOPE: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    const CUBIC: f32 = 0.044_715;
    let one = s.splat(1.0);
    let x2 = s.mul(x, x);
    let z = s.mul(x, s.fma(x2, s.splat(SLOPE * CUBIC), s.splat(SLOPE)));
    let phi = s.div(one, s.add(one, s.exp(s.sub(s.splat(0.0), z))));
    let slope = s.fma(x2, s.splat(3.0 * SLOPE * CUBIC), s.splat(SLOPE));
    let spread = s.mul(phi, s.sub(one, phi));
    // Far out the slope leaves the range of f32.
    (
        phi,
        s.select_less(s.splat(0.0), spread, s.mul(spread, slope), spread),
    )
}

struct Forward<'a> {
    form: Gelu,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for at in (0..self.x.len()).step_by(S::LANES) {
            let x = s.read(self.x, at);
            let (phi, _) = self.form.phi(s, x);
            s.write(self.y, at, s.mul(x, phi));
        }
    }
}

struct Backward<'a> {
    form: Gelu,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for at in (0..self.x.len()).step_by(S::LANES) {
            let x = s.read(self.x, at);
            let (phi, density) = self.form.phi(s, x);
            let slope = s.fma(x, density, phi);
            s.write(self.dx, at, s.mul(s.read(self.dy, at), slope));
        }
    }
}
