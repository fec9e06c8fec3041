//! The attention half of a pre-norm decoder layer as one operation.
//!
//! As separate operations, the gradients of the packed projection, of attention's output and of the residual stream
//! would be filled with zeros, added to and written once more by candle's backward pass.
//!
//! Two nodes, as in [`op`](super::op): the first takes the rows, the norm and the projection and gives a token of one
//! element, the second takes the token, the output projection and the learned parameters; its backward pass computes
//! everything and leaves the first one's gradients.

use super::node::{Inputs, Node};
use super::op::flat;
use crate::attend::Params;
use crate::mask::Mask;
use crate::ops::bridge::{Floats, floats, lock, tensor};
use crate::ops::feed_forward::add_rows;
use crate::ops::linear::{View, add_product, product};
use crate::ops::norm_linear;
use crate::prepared::Prepared;
use crate::{Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Shape, Tensor as Candle};
use std::sync::{Arc, Mutex};

const NAME: &str = "attention-half";

/// As [`attend_half`](crate::attend::attend_half) with checked arguments, contiguous f32 tensors on the CPU; `params`
/// holds exactly what the plan reads.
pub(crate) fn attend_half(
    [x, norm, qkv, out]: [&Candle; 4],
    eps: f32,
    prepared: &Prepared,
    params: &Params,
    mask: &Mask,
) -> Result<Tensor> {
    let (batch, tokens, _) = x.dims3()?;
    let weights = [norm.detach(), qkv.detach(), out.detach()];
    let packed = {
        let (x, norm, qkv) = (Floats::of(x)?, Floats::of(norm)?, Floats::of(qkv)?);
        norm_linear::forward(x.get(), norm.get(), qkv.get(), eps)
    };
    let shape = (batch, tokens, qkv.dim(0)?);
    let packed = Candle::from_vec(packed, shape, &Device::Cpu)?;
    let compiled = prepared.compiled()?;
    let attention = Node::new(compiled, mask, params, Inputs::Packed(packed), batch)?;
    let flat = flat(&attention, params)?;
    let half = Arc::new(Half {
        x: x.detach(),
        weights,
        eps,
        attention,
        attended: Mutex::default(),
        gradients: Mutex::default(),
    });
    let token = x.apply_op3(norm, qkv, Token(half.clone()))?;
    let y = match flat {
        None => token.apply_op2(out, Output(half))?,
        Some(flat) => token.apply_op3(out, &flat, Output(half))?,
    };
    Ok(Tensor::from_candle(y))
}

/// All that the nodes of one call share.
struct Half {
    x: Candle,
    /// norm, qkv, out, without history.
    weights: [Candle; 3],
    eps: f32,
    attention: Node,
    /// Attention's output, (batch, tokens, heads · head_dim), from the forward pass.
    attended: Mutex<Option<Candle>>,
    /// Gradients of rows, norm and projection, from one node's backward pass to the other's.
    gradients: Mutex<Vec<Candle>>,
}

/// Gradients of the output projection and of the parameters, flat.
type Own = (Candle, Vec<f32>);

impl Half {
    /// Rows, and the widths of the stream and of attention's output.
    fn sizes(&self) -> candle_core::Result<(usize, usize, usize)> {
        let (width, inner) = self.weights[2].dims2()?;
        Ok((self.x.elem_count() / width.max(1), width, inner))
    }

    fn forward(&self, out: &[f32]) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, width, inner) = self.sizes()?;
        let attended = match self.attention.forward()? {
            CpuStorage::F32(values) => values,
            _ => candle_core::bail!("attention of f32 gave another type"),
        };
        let mut y = Floats::of(&self.x)?.get().to_vec();
        let out = View::rows(out, width, inner).transposed();
        add_product(&mut y, View::rows(&attended, rows, inner), out);
        let attended = Candle::from_vec(attended, self.attention.output_shape(), &Device::Cpu)?;
        *lock(NAME, &self.attended)? = Some(attended);
        Ok((CpuStorage::F32(y), self.x.shape().clone()))
    }

    /// Leaves the gradients of rows, norm and projection.
    fn backward(&self, dy: &Candle) -> candle_core::Result<Own> {
        let (rows, width, inner) = self.sizes()?;
        let [norm, qkv, out] = &self.weights;
        let dy = dy.contiguous()?;
        let dy = Floats::of(&dy)?;
        let dys = View::rows(dy.get(), rows, width);
        let Some(attended) = lock(NAME, &self.attended)?.clone() else {
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
        let Some(dqkv) = self.attention.take_gradients()?.pop() else {
            candle_core::bail!("attention left no gradient");
        };
        let (dx, dnorm, dweight) = {
            let (x, norms, weights) = (Floats::of(&self.x)?, Floats::of(norm)?, Floats::of(qkv)?);
            let weights = (norms.get(), weights.get());
            let dqkv = Floats::of(&dqkv)?;
            let (mut dx, dnorm, dweight) =
                norm_linear::backward(x.get(), weights, dqkv.get(), self.eps);
            add_rows(&mut dx, dy.get());
            (dx, dnorm, dweight)
        };
        *lock(NAME, &self.gradients)? = vec![
            tensor(dx, &self.x)?,
            tensor(dnorm, norm)?,
            tensor(dweight, qkv)?,
        ];
        Ok((tensor(dout, out)?, dparams))
    }
}

struct Token(Arc<Half>);

impl CustomOp3 for Token {
    fn name(&self) -> &'static str {
        "attention-half-inputs"
    }

    fn cpu_fwd(
        &self,
        _x: &CpuStorage,
        _x_layout: &Layout,
        _norm: &CpuStorage,
        _norm_layout: &Layout,
        _qkv: &CpuStorage,
        _qkv_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.0.attention.token()
    }

    fn bwd(
        &self,
        _x: &Candle,
        _norm: &Candle,
        _qkv: &Candle,
        _token: &Candle,
        _upstream: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let mut gradients = std::mem::take(&mut *lock(NAME, &self.0.gradients)?).into_iter();
        Ok((gradients.next(), gradients.next(), gradients.next()))
    }
}

struct Output(Arc<Half>);

impl CustomOp2 for Output {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _token_layout: &Layout,
        out: &CpuStorage,
        out_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.0.forward(floats(out, out_layout)?)
    }

    fn bwd(
        &self,
        token: &Candle,
        _out: &Candle,
        _y: &Candle,
        dy: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>)> {
        let (dout, _) = self.0.backward(dy)?;
        Ok((Some(token.zeros_like()?), Some(dout)))
    }
}

impl CustomOp3 for Output {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _token_layout: &Layout,
        out: &CpuStorage,
        out_layout: &Layout,
        _params: &CpuStorage,
        _params_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.0.forward(floats(out, out_layout)?)
    }

    fn bwd(
        &self,
        token: &Candle,
        _out: &Candle,
        params: &Candle,
        _y: &Candle,
        dy: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let (dout, dparams) = self.0.backward(dy)?;
        let dparams = Candle::from_vec(dparams, params.shape(), &Device::Cpu)?;
        Ok((Some(token.zeros_like()?), Some(dout), Some(dparams)))
    }
}
