//! The attention sublayer of a pre-norm decoder layer as one part of a chain.

use super::compile::Compiled;
use super::node::{Inputs, Node};
use super::op::flat;
use crate::mask::Mask;
use crate::ops::bridge::{Floats, copied, lock, tensor};
use crate::ops::chain::{Left, Linked, Part, token};
use crate::ops::feed_forward::add_rows;
use crate::ops::linear::{View, add_product, product};
use crate::ops::norm_linear;
use crate::params::Params;
use crate::{Result, Tensor};
use candle_core::{CpuStorage, Device, Tensor as Candle};
use std::sync::{Arc, Mutex};

/// The rows and, where they or a weight are tracked, the part; of checked arguments, contiguous f32 tensors on the CPU;
/// `params` holds exactly what the plan reads.
pub(crate) fn sublayer(
    (x, tracked): (&Candle, bool),
    weights: [&Candle; 3],
    eps: f32,
    compiled: Arc<Compiled>,
    params: &Params,
    mask: &Mask,
) -> Result<(Tensor, Option<Linked>)> {
    let [norm, qkv, _] = weights;
    let (batch, tokens, _) = x.dims3()?;
    let packed = {
        let (x, norm, qkv) = (Floats::of(x)?, Floats::of(norm)?, Floats::of(qkv)?);
        norm_linear::forward(x.get(), norm.get(), qkv.get(), eps)
    };
    let shape = (batch, tokens, qkv.dim(0)?);
    let packed = Candle::from_vec(packed, shape, &Device::Cpu)?;
    let attention = Node::new(compiled, mask, params, Inputs::Packed(packed), batch, None)?;
    let flat = flat(&attention, params)?;
    let sublayer = Sublayer {
        x: x.detach(),
        weights: weights.map(Candle::detach),
        eps,
        attention,
        attended: Mutex::default(),
        left: Left::default(),
        left_params: Left::default(),
    };
    let y = sublayer.forward()?;
    let all = weights.into_iter().chain(&flat);
    if !tracked && !all.into_iter().any(Candle::track_op) {
        return Ok((y, None));
    }
    let mut tokens = vec![token(&weights, &sublayer.left)?];
    if let Some(flat) = &flat {
        tokens.push(token(&[flat], &sublayer.left_params)?);
    }
    Ok((y, Some((Arc::new(sublayer), tokens))))
}

/// A call.
#[derive(Debug)]
struct Sublayer {
    x: Candle,
    /// norm, qkv, out, without history.
    weights: [Candle; 3],
    eps: f32,
    attention: Node,
    /// Attention's output, (batch, tokens, heads · head_dim), from the forward pass.
    attended: Mutex<Option<Candle>>,
    left: Left,
    /// The gradient of the learned parameters, flat.
    left_params: Left,
}

impl Sublayer {
    /// Rows, and the widths of the stream and of attention's output.
    fn sizes(&self) -> candle_core::Result<(usize, usize, usize)> {
        let (width, inner) = self.weights[2].dims2()?;
        Ok((self.x.elem_count() / width.max(1), width, inner))
    }

    fn forward(&self) -> Result<Tensor> {
        let (rows, width, inner) = self.sizes()?;
        let attended = match self.attention.forward()? {
            CpuStorage::F32(values) => values,
            _ => return Err(crate::Error::expr("attention of f32 gave another type")),
        };
        let mut y = copied(Floats::of(&self.x)?.get());
        let out = Floats::of(&self.weights[2])?;
        let out = View::rows(out.get(), width, inner).transposed();
        add_product(&mut y, View::rows(&attended, rows, inner), out);
        let attended = Candle::from_vec(attended, self.attention.output_shape(), &Device::Cpu)?;
        *lock("attention-sublayer", &self.attended)? = Some(attended);
        Ok(Tensor::from_candle(tensor(y, &self.x)?))
    }
}

impl Part for Sublayer {
    fn backward(&self, dy: Vec<f32>) -> candle_core::Result<Vec<f32>> {
        let (rows, width, inner) = self.sizes()?;
        let [norm, qkv, out] = &self.weights;
        let dys = View::rows(&dy, rows, width);
        let Some(attended) = lock("attention-sublayer", &self.attended)?.clone() else {
            candle_core::bail!("a backward pass without a forward pass");
        };
        let dout = product(
            dys.transposed(),
            View::rows(Floats::of(&attended)?.get(), rows, inner),
        );
        let upstream = product(dys, View::rows(Floats::of(out)?.get(), width, inner));
        let upstream = tensor(upstream, &attended)?;
        let dparams = self.attention.backward(&attended, &upstream)?;
        drop(upstream);
        let Some(dqkv) = self.attention.left.take()?.pop() else {
            candle_core::bail!("attention left no gradient");
        };
        let (dx, dnorm, dqkv) = {
            let (x, norm, qkv) = (Floats::of(&self.x)?, Floats::of(norm)?, Floats::of(qkv)?);
            let weights = (norm.get(), qkv.get());
            let dqkv = Floats::of(&dqkv)?;
            let (mut dx, dnorm, dweight) =
                norm_linear::backward(x.get(), weights, dqkv.get(), self.eps);
            add_rows(&mut dx, &dy);
            (dx, dnorm, dweight)
        };
        let gradients = [dnorm, dqkv, dout].into_iter().zip(&self.weights);
        let gradients = gradients.map(|(values, weight)| tensor(values, weight));
        self.left
            .put(gradients.collect::<candle_core::Result<_>>()?)?;
        let n = dparams.len();
        self.left_params
            .put(vec![Candle::from_vec(dparams, n, &Device::Cpu)?])?;
        Ok(dx)
    }
}
