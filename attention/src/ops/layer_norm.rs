//! Layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450, equation 4, over the last axis).

use super::bridge::{Floats, collect, floats, for_chunks, ours, tensor};
use super::simd::{Kernel, Simd, dispatch};
use crate::gpu::layers;
use crate::tensor::leaf::hand_over;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape};

/// Rows of one job. Sums over rows are taken job by job, so that they do not depend on the number of threads.
const ROWS: usize = 64;

/// `(x − mean(x)) / √(var(x) + eps) · weight + bias` over the last axis, with the biased variance: x (…, width),
/// weight and bias (width) -> (…, width).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(0);
    for (what, given) in [("layer_norm, weight", weight), ("layer_norm, bias", bias)] {
        if width == 0 || given.dims() != [width] {
            let expected = format!("({width}), for x {:?}", x.dims());
            return Err(Error::shape(what, expected, given.dims()));
        }
    }
    if let Some([x, weight, bias]) = ours([x, weight, bias]) {
        let op = LayerNorm { eps: eps as f32 };
        let y = x
            .contiguous()?
            .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?;
        return Ok(Tensor::from_candle(y));
    }
    if let Some([x, weight, bias]) = crate::tensor::on_gpu([x, weight, bias])? {
        return Ok(Tensor::from_traced(layers::norm(
            x,
            weight,
            Some(bias),
            eps,
        )?));
    }
    let last = x.rank() - 1;
    let centred = x.broadcast_sub(&x.mean_keepdim(last)?)?;
    let variance = centred.sqr()?.mean_keepdim(last)?;
    let y = centred.broadcast_div(&variance.affine(1.0, eps)?.sqrt()?)?;
    y.broadcast_mul(weight)?.broadcast_add(bias)
}

struct LayerNorm {
    eps: f32,
}

type Gradients = (
    Option<candle_core::Tensor>,
    Option<candle_core::Tensor>,
    Option<candle_core::Tensor>,
);

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let bias = floats(bias, bias_layout)?;
        let size = ROWS * weight.len();
        let mut y = vec![0.0; x.len()];
        for_chunks(&mut y, size, |block, y| {
            dispatch(Forward {
                x: &x[block * size..][..y.len()],
                weight,
                bias,
                eps: self.eps,
                y,
            });
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &candle_core::Tensor,
        weight: &candle_core::Tensor,
        bias: &candle_core::Tensor,
        _y: &candle_core::Tensor,
        dy: &candle_core::Tensor,
    ) -> candle_core::Result<Gradients> {
        let dy = dy.contiguous()?;
        let (xs, weights, dys) = (Floats::of(x)?, Floats::of(weight)?, Floats::of(&dy)?);
        let (xs, weights, dys) = (xs.get(), weights.get(), dys.get());
        let width = weights.len();
        let size = ROWS * width;
        let blocks = collect(xs.len().div_ceil(size), xs.len(), |block| {
            let range = block * size..xs.len().min((block + 1) * size);
            let mut part = Part {
                dx: vec![0.0; range.len()],
                dweight: vec![0.0; width],
                dbias: vec![0.0; width],
            };
            dispatch(Backward {
                x: &xs[range.clone()],
                weight: weights,
                dy: &dys[range],
                eps: self.eps,
                part: &mut part,
            });
            part
        });
        let mut dx = Vec::with_capacity(xs.len());
        let (mut dweight, mut dbias) = (vec![0.0; width], vec![0.0; width]);
        for part in blocks {
            dx.extend_from_slice(&part.dx);
            for (sums, more) in [(&mut dweight, part.dweight), (&mut dbias, part.dbias)] {
                for (sum, x) in sums.iter_mut().zip(more) {
                    *sum += x;
                }
            }
        }
        Ok((
            hand_over(x, tensor(dx, x)?)?,
            hand_over(weight, tensor(dweight, weight)?)?,
            hand_over(bias, tensor(dbias, bias)?)?,
        ))
    }
}

/// Mean of a row, and 1 / √(its variance + eps).
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mut sum = s.splat(0.0);
    for at in (0..x.len()).step_by(S::LANES) {
        sum = s.add(sum, s.read(x, at));
    }
    let mean = s.total(sum) / n;
    // A second pass instead of Σx² − n·mean², which cancels where the mean is large.
    let (whole, rest) = x.split_at(x.len() - x.len() % S::LANES);
    let mut square = s.splat(0.0);
    for at in (0..whole.len()).step_by(S::LANES) {
        let centred = s.sub(s.read(whole, at), s.splat(mean));
        square = s.fma(centred, centred, square);
    }
    let rest: f32 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
    let variance = (s.total(square) + rest) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(width)) {
            let (mean, scale) = moments(s, x, self.eps);
            for at in (0..width).step_by(S::LANES) {
                let v = s.mul(s.sub(s.read(x, at), s.splat(mean)), s.splat(scale));
                let y_at = s.fma(v, s.read(self.weight, at), s.read(self.bias, at));
                s.write(y, at, y_at);
            }
        }
    }
}

struct Part {
    dx: Vec<f32>,
    dweight: Vec<f32>,
    dbias: Vec<f32>,
}

struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    dy: &'a [f32],
    eps: f32,
    part: &'a mut Part,
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// With z the normalised row and g = dy · weight: dx = scale · (g − mean(g) − z · mean(g · z)).
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        let n = width as f32;
        let rows = self.x.chunks_exact(width).zip(self.dy.chunks_exact(width));
        let Part { dx, dweight, dbias } = self.part;
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let (mean, scale) = moments(s, x, self.eps);
            let (mean, scale) = (s.splat(mean), s.splat(scale));
            let (mut sum, mut with_z) = (s.splat(0.0), s.splat(0.0));
            for at in (0..width).step_by(S::LANES) {
                let vdy = s.read(dy, at);
                let z = s.mul(s.sub(s.read(x, at), mean), scale);
                // Past the end dy and weight are 0, whatever z is.
                let g = s.mul(vdy, s.read(self.weight, at));
                sum = s.add(sum, g);
                with_z = s.fma(g, z, with_z);
                let weights = s.fma(vdy, z, s.read(dweight, at));
                s.write(dweight, at, weights);
                let biases = s.add(vdy, s.read(dbias, at));
                s.write(dbias, at, biases);
            }
            let by_one = s.splat(-s.total(sum) / n);
            let by_z = s.splat(-s.total(with_z) / n);
            for at in (0..width).step_by(S::LANES) {
                let z = s.mul(s.sub(s.read(x, at), mean), scale);
                let g = s.mul(s.read(dy, at), s.read(self.weight, at));
                s.write(dx, at, s.mul(scale, s.fma(z, by_z, s.add(g, by_one))));
            }
        }
    }
}
