//! A normalisation and the projection that follows it as one operation: what lies between is never written out.

use super::bridge::{Floats, floats, ours, tensor};
use super::linear::{View, linear, product};
use super::norm::{self, rms_norm};
use crate::tensor::leaf::hand_over;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor as Candle};

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
        let (out, _) = weight_layout.shape().dims2()?;
        let (x, norm) = (floats(x, x_layout)?, floats(norm, norm_layout)?);
        let y = forward(x, norm, floats(weight, weight_layout)?, self.eps);
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
        let given = (norms.get(), weights.get());
        let (dx, dnorm, dweight) = backward(xs.get(), given, dys.get(), self.eps);
        Ok((
            hand_over(x, tensor(dx, x)?)?,
            hand_over(norm, tensor(dnorm, norm)?)?,
            hand_over(weight, tensor(dweight, weight)?)?,
        ))
    }
}

/// The operation on whole rows.
pub(crate) fn forward(x: &[f32], norm: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = norm.len();
    let h = norm::forward(x, norm, eps);
    let weight = View::rows(weight, weight.len() / width, width).transposed();
    product(View::rows(&h, x.len() / width, width), weight)
}

/// Gradients of whole rows, of the norm and of the weight.
pub(crate) fn backward(
    x: &[f32],
    (norm, weight): (&[f32], &[f32]),
    dy: &[f32],
    eps: f32,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = norm.len();
    let (rows, out) = (x.len() / width, weight.len() / width);
    let dy = View::rows(dy, rows, out);
    let h = norm::forward(x, norm, eps);
    let dweight = product(dy.transposed(), View::rows(&h, rows, width));
    drop(h);
    let dh = product(dy, View::rows(weight, out, width));
    let (dx, dnorm) = norm::backward(x, norm, &dh, eps);
    (dx, dnorm, dweight)
}
