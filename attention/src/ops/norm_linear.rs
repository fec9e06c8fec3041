//! A normalisation and the projection that follows it as one operation: what lies between is never written out.

use super::bridge::{Floats, collect, floats, for_chunks, ours, tensor};
use super::linear::{View, add_product, linear, product_alone};
use super::norm::{self, rms_norm};
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor as Candle};

/// Rows of one job, as in [`feed_forward`](super::feed_forward()).
const ROWS: usize = 512;

/// `rms_norm(x, norm) · weightᵀ`: x (…, width), norm (width), weight (out, width) -> (…, out).
pub fn norm_linear(x: &Tensor, norm: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(0);
    let (_, inner) = weight.dims2()?;
    for (what, found, fits) in [
        ("norm_linear, norm", norm, norm.dims() == [width]),
        ("norm_linear, weight", weight, inner == width),
    ] {
        if !fits || width == 0 {
            let expected = format!("last axis {width}, for x {:?}", x.dims());
            return Err(Error::shape(what, expected, found.dims()));
        }
    }
    let Some(tensors) = ours([x, norm, weight]) else {
        return linear(&rms_norm(x, norm, eps)?, weight);
    };
    let [x, norm, weight] = tensors.map(Candle::contiguous);
    let op = NormLinear { eps: eps as f32 };
    let y = x?.apply_op3(&norm?, &weight?, op)?;
    Ok(Tensor::from_candle(y))
}

struct NormLinear {
    eps: f32,
}

impl CustomOp3 for NormLinear {
    fn name(&self) -> &'static str {
        "norm-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        norm: &CpuStorage,
        norm_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (out, width) = weight_layout.shape().dims2()?;
        let (x, norm) = (floats(x, x_layout)?, floats(norm, norm_layout)?);
        let weight = View::rows(floats(weight, weight_layout)?, out, width).transposed();
        let mut y = vec![0.0; x.len() / width * out];
        for_chunks(&mut y, (ROWS * out).max(1), |block, y| {
            let rows = y.len() / out.max(1);
            let mut h = vec![0.0; rows * width];
            let x = &x[block * ROWS * width..][..h.len()];
            norm::forward(x, norm, self.eps, &mut h);
            product_alone(y, View::rows(&h, rows, width), weight, false);
        });
        let mut dims = x_layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = out;
        }
        Ok((CpuStorage::F32(y), dims.into()))
    }

    fn bwd(
        &self,
        x: &Candle,
        norm: &Candle,
        weight: &Candle,
        _y: &Candle,
        dy: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let dy = dy.contiguous()?;
        let (xs, norms, weights, dys) = (
            Floats::of(x)?,
            Floats::of(norm)?,
            Floats::of(weight)?,
            Floats::of(&dy)?,
        );
        let (xs, dys) = (xs.get(), dys.get());
        let (out, width) = weight.dims2()?;
        let size = ROWS * width;
        let blocks = collect(xs.len().div_ceil(size), xs.len(), |block| {
            let x = &xs[block * size..xs.len().min((block + 1) * size)];
            let rows = x.len() / width;
            let dy = View::rows(&dys[block * ROWS * out..], rows, out);
            let mut h = vec![0.0; x.len()];
            product_alone(&mut h, dy, View::rows(weights.get(), out, width), false);
            let (mut dx, mut dnorm) = (vec![0.0; x.len()], vec![0.0; width]);
            norm::backward(x, norms.get(), &h, self.eps, &mut dx, &mut dnorm);
            norm::forward(x, norms.get(), self.eps, &mut h);
            (dx, dnorm, h)
        });
        let mut all = Vec::with_capacity(xs.len());
        let (mut dnorm, mut dweight) = (vec![0.0; width], vec![0.0; out * width]);
        // In the order of the blocks, so that sums do not depend on the number of threads.
        for (block, (dx, more, h)) in blocks.into_iter().enumerate() {
            let rows = dx.len() / width;
            let dy = View::rows(&dys[block * ROWS * out..], rows, out).transposed();
            add_product(&mut dweight, dy, View::rows(&h, rows, width));
            dnorm.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
            all.extend_from_slice(&dx);
        }
        Ok((
            Some(tensor(all, x)?),
            Some(tensor(dnorm, norm)?),
            Some(tensor(dweight, weight)?),
        ))
    }
}
