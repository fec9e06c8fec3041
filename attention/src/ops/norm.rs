//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv 1910.07467, equation 4).

use super::bridge::{Floats, collect_chunks, floats, for_chunks, ours, tensor, zeros};
use super::simd::{Kernel, Simd, dispatch};
use crate::gpu::layers;
use crate::tensor::leaf::hand_over;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape};

/// Rows of one job. Sums over rows are taken job by job, so that they do not depend on the number of threads.
const ROWS: usize = 64;

/// `x / √(mean(x²) + eps) · weight` over the last axis: x (…, width), weight (width) -> (…, width).
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(0);
    if width == 0 || weight.dims() != [width] {
        let expected = format!("({width}), for x {:?}", x.dims());
        return Err(Error::shape("rms_norm, weight", expected, weight.dims()));
    }
    if let Some([x, weight]) = ours([x, weight]) {
        let op = RmsNorm { eps: eps as f32 };
        let y = x.contiguous()?.apply_op2(&weight.contiguous()?, op)?;
        return Ok(Tensor::from_candle(y));
    }
    if let Some([x, weight]) = crate::tensor::on_gpu([x, weight])? {
        return Ok(Tensor::from_traced(layers::norm(x, weight, None, eps)?));
    }
    let mean = x.sqr()?.mean_keepdim(x.rank() - 1)?;
    let y = x.broadcast_div(&mean.affine(1.0, eps)?.sqrt()?)?;
    y.broadcast_mul(weight)
}

struct RmsNorm {
    eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let y = forward(x, weight, self.eps);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &candle_core::Tensor,
        weight: &candle_core::Tensor,
        _y: &candle_core::Tensor,
        dy: &candle_core::Tensor,
    ) -> candle_core::Result<(Option<candle_core::Tensor>, Option<candle_core::Tensor>)> {
        let dy = dy.contiguous()?;
        let (xs, weights, dys) = (Floats::of(x)?, Floats::of(weight)?, Floats::of(&dy)?);
        let (dx, dweight) = backward(xs.get(), weights.get(), dys.get(), self.eps);
        let dweight = hand_over(weight, tensor(dweight, weight)?)?;
        Ok((hand_over(x, tensor(dx, x)?)?, dweight))
    }
}

/// The operation on whole rows.
pub(crate) fn forward(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let size = ROWS * weight.len();
    let mut y = zeros(x.len());
    for_chunks(&mut y, size, |block, y| {
        let x = &x[block * size..][..y.len()];
        dispatch(Forward { x, weight, eps, y });
    });
    y
}

/// Gradients of whole rows and of the weight.
pub(crate) fn backward(x: &[f32], weight: &[f32], dy: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let size = ROWS * width;
    let mut dx = zeros(x.len());
    let blocks = collect_chunks(&mut dx, size, |block, dx| {
        let range = block * size..block * size + dx.len();
        let (x, dy) = (&x[range.clone()], &dy[range]);
        let mut dweight = vec![0.0; width];
        dispatch(Backward {
            x,
            weight,
            dy,
            eps,
            dx,
            dweight: &mut dweight,
        });
        dweight
    });
    let mut dweight = vec![0.0; width];
    for sums in blocks {
        dweight.iter_mut().zip(sums).for_each(|(sum, x)| *sum += x);
    }
    (dx, dweight)
}

/// Two sums over a row: (Σ x·y·z, Σ x·x).
#[inline(always)]
fn sums<S: Simd>(s: S, x: &[f32], y: &[f32], z: &[f32]) -> (f32, f32) {
    let mut product = s.splat(0.0);
    let mut square = s.splat(0.0);
    for at in (0..x.len()).step_by(S::LANES) {
        let vx = s.read(x, at);
        product = s.fma(s.mul(vx, s.read(y, at)), s.read(z, at), product);
        square = s.fma(vx, vx, square);
    }
    (s.total(product), s.total(square))
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        for (x, y) in self
            .x
            .chunks_exact(width)
            .zip(self.y.chunks_exact_mut(width))
        {
            let mut square = s.splat(0.0);
            for at in (0..width).step_by(S::LANES) {
                let v = s.read(x, at);
                square = s.fma(v, v, square);
            }
            let scale = s.splat(1.0 / (s.total(square) / width as f32 + self.eps).sqrt());
            for at in (0..width).step_by(S::LANES) {
                let v = s.mul(s.mul(s.read(x, at), scale), s.read(self.weight, at));
                s.write(y, at, v);
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    dy: &'a [f32],
    eps: f32,
    dx: &'a mut [f32],
    dweight: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width).zip(self.dy.chunks_exact(width));
        for ((x, dy), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let (product, square) = sums(s, x, dy, self.weight);
            let r = 1.0 / (square / width as f32 + self.eps).sqrt();
            let scale = s.splat(r);
            let pull = s.splat(-r * r * r * product / width as f32);
            for at in (0..width).step_by(S::LANES) {
                let (vx, vdy) = (s.read(x, at), s.read(dy, at));
                let direct = s.mul(s.mul(vdy, s.read(self.weight, at)), scale);
                s.write(dx, at, s.fma(vx, pull, direct));
                let sum = s.read(self.dweight, at);
                s.write(self.dweight, at, s.fma(s.mul(vx, scale), vdy, sum));
            }
        }
    }
}
