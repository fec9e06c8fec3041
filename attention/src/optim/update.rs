//! One pass over a parameter, and the norm of a gradient.

use crate::ops::bridge::{Floats, collect, floats, ours, parallel};
use crate::ops::simd::{Kernel, Simd, dispatch};
use crate::{DType, Result, Tensor};
use candle_core::{CpuStorage, InplaceOp2, Layout};
use rayon::prelude::*;
use std::sync::Mutex;

/// Numbers of one job. Sums are taken job by job, so that they do not depend on the number of threads.
const PART: usize = 1 << 16;

/// Running means of a parameter's gradient and of its square, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean of gradients.
    pub m: Vec<f32>,
    /// Mean of squared gradients.
    pub v: Vec<f32>,
}

/// Numbers of one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Decay of both moments.
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// What weight decay leaves.
    pub(crate) keep: f32,
    /// Learning rate over the first moment's correction.
    pub(crate) stride: f32,
    /// What corrects the root of the second moment.
    pub(crate) root: f32,
    pub(crate) eps: f32,
    pub(crate) clamp: Option<(f32, f32)>,
}

pub(super) struct Update<'a> {
    pub(super) rule: Rule,
    pub(super) scale: f32,
    pub(super) moments: Mutex<&'a mut Moments>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let g = floats(gradient, gradient_layout)?;
        let (CpuStorage::F32(values), Some((start, end))) = (values, layout.contiguous_offsets())
        else {
            candle_core::bail!("adamw: expected a contiguous f32 parameter, found {layout:?}")
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("adamw: another thread panicked")
        };
        let Moments { m, v } = &mut **moments;
        let p = &mut values[start..end];
        let pass = |p: &mut [f32], g, m: &mut [f32], v: &mut [f32]| {
            let (rule, scale) = (self.rule, self.scale);
            dispatch(Pass {
                rule,
                scale,
                p,
                g,
                m,
                v,
            });
        };
        if parallel(p.len()) {
            let parts = p.par_chunks_mut(PART).zip(g.par_chunks(PART));
            let moments = m.par_chunks_mut(PART).zip(v.par_chunks_mut(PART));
            parts
                .zip(moments)
                .for_each(|((p, g), (m, v))| pass(p, g, m, v));
        } else {
            pass(p, g, m, v);
        }
        Ok(())
    }
}

pub(super) struct Pass<'a> {
    pub(super) rule: Rule,
    /// What clipping leaves of the gradient.
    pub(super) scale: f32,
    pub(super) p: &'a mut [f32],
    pub(super) g: &'a [f32],
    pub(super) m: &'a mut [f32],
    pub(super) v: &'a mut [f32],
}

impl Kernel for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pass {
            rule,
            scale,
            p,
            g,
            m,
            v,
        } = self;
        let [scale, beta1, beta2] = [scale, rule.beta1, rule.beta2].map(|x| s.splat(x));
        let (rest1, rest2) = (s.splat(1.0 - rule.beta1), s.splat(1.0 - rule.beta2));
        let [keep, root, eps] = [rule.keep, rule.root, rule.eps].map(|x| s.splat(x));
        let stride = s.splat(-rule.stride);
        for at in (0..p.len()).step_by(S::LANES) {
            let gradient = s.mul(s.read(g, at), scale);
            let mean = s.fma(s.read(m, at), beta1, s.mul(gradient, rest1));
            let square = s.mul(s.mul(gradient, gradient), rest2);
            let square = s.fma(s.read(v, at), beta2, square);
            let denominator = s.fma(s.sqrt(square), root, eps);
            let kept = s.mul(s.read(p, at), keep);
            let mut value = s.fma(s.div(mean, denominator), stride, kept);
            if let Some((low, high)) = rule.clamp {
                // The order of arguments lets NaN through.
                value = s.min(s.splat(high), s.max(s.splat(low), value));
            }
            s.write(m, at, mean);
            s.write(v, at, square);
            s.write(p, at, value);
        }
    }
}

/// Σ x², summed in f64 over blocks of a fixed size.
pub(super) fn square_norm(gradient: &Tensor) -> Result<f64> {
    if let Some([gradient]) = ours([gradient]) {
        let values = Floats::of(gradient)?;
        let values = values.get();
        let part = |n: usize| {
            let part = &values[n * PART..values.len().min((n + 1) * PART)];
            let blocks = part.chunks(256);
            blocks
                .map(|block| f64::from(dispatch(Square(block))))
                .sum::<f64>()
        };
        let parts = collect(values.len().div_ceil(PART), values.len(), part);
        return Ok(parts.into_iter().sum());
    }
    let values = gradient.to_dtype(DType::F32)?.to_flat::<f32>()?;
    Ok(values.iter().map(|x| f64::from(*x).powi(2)).sum())
}

struct Square<'a>(&'a [f32]);

impl Kernel for Square<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sum = s.splat(0.0);
        for at in (0..self.0.len()).step_by(S::LANES) {
            let x = s.read(self.0, at);
            sum = s.fma(x, x, sum);
        }
        s.total(sum)
    }
}
