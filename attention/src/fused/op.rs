//! The kernels as nodes of candle's graph.
//!
//! Two nodes: a [`token`] of the inputs, and one that takes the token and the learned parameters and gives the output.
//! So all of q, k, v and any number of parameters receive gradients, although a node of candle has at most three
//! operands; the second node's backward pass computes everything and leaves the inputs' gradients for the token.

use super::compile::Compiled;
use super::node::{Inputs, Node};
use super::scan::TABLE;
use super::view::Grid;
use crate::call::Call;
use crate::form::{self, Effect};
use crate::hook::Qkv;
use crate::mask::Mask;
use crate::ops::chain::token;
use crate::params::Params;
use crate::tensor::leaf::hand_over;
use crate::{Result, Tensor};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, DType, Device, Layout, Shape, Tensor as Candle,
};
use std::sync::Arc;

/// As [`attend`](crate::attend::attend) with checked arguments; the call holds exactly what the plan reads, `scan` what a
/// hook makes of its scores, if one does.
pub(crate) fn attend(
    call: &Call<'_>,
    compiled: Arc<Compiled>,
    scan: Option<&form::Scan>,
) -> Result<Tensor> {
    let mut params = call.params.clone();
    if let Some(Effect::Read { table, .. }) = scan.map(|scan| &scan.effect) {
        params.insert(TABLE.into(), table.clone());
    }
    let params = &params;
    let Qkv { q, k, v } = call.qkv;
    let (batch, ..) = q.dims4()?;
    let [q, k, v] = [q, k, v].map(|t| Ok::<_, crate::Error>(rows(t.candle()?)?));
    let (q, k, v) = (q?, k?, v?);
    if q.elem_count() == 0 {
        return Ok(Tensor::from_candle(q));
    }
    let inputs = Inputs::Split([q.detach(), k.detach(), v.detach()]);
    let node = Arc::new(Node::new(compiled, call.mask, params, inputs, batch, scan)?);
    let token = token(&[&q, &k, &v], &node.left)?;
    run(node, &token, params)
}

/// The same on one (batch, tokens, (heads + 2 · kv_heads) · head_dim) tensor that holds q, k and v of every token; the
/// output is (batch, tokens, heads · head_dim).
pub(crate) fn attend_packed(
    qkv: &Tensor,
    compiled: Arc<Compiled>,
    params: &Params,
    mask: &Mask,
) -> Result<Tensor> {
    let (batch, tokens, _) = qkv.dims3()?;
    let qkv = qkv.candle()?.contiguous()?;
    if qkv.elem_count() == 0 {
        let width = compiled.heads * compiled.head_dim;
        return Ok(Tensor::from_candle(
            qkv.narrow(2, 0, width)?.reshape((batch, tokens, width))?,
        ));
    }
    let inputs = Inputs::Packed(qkv.detach());
    let node = Arc::new(Node::new(compiled, mask, params, inputs, batch, None)?);
    let token = token(&[&qkv], &node.left)?;
    run(node, &token, params)
}

fn run(node: Arc<Node>, token: &Candle, params: &Params) -> Result<Tensor> {
    let output = match flat(&node, params)? {
        None => token.apply_op1(Output(node))?,
        Some(flat) => token.apply_op2(&flat, Output(node))?,
    };
    Ok(Tensor::from_candle(output))
}

/// The parameters that a call was given, one behind the other, if there are any.
pub(super) fn flat(node: &Node, params: &Params) -> Result<Option<Candle>> {
    let flat: Vec<Candle> = node
        .learned
        .iter()
        .map(|(name, _)| Ok(params[name].candle()?.to_dtype(DType::F32)?.flatten_all()?))
        .collect::<Result<_>>()?;
    Ok(match flat.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(Candle::cat(many, 0)?),
    })
}

/// The tensor itself if its rows are contiguous.
fn rows(tensor: &Candle) -> candle_core::Result<Candle> {
    match Grid::of(tensor.layout()) {
        Some(_) => Ok(tensor.clone()),
        None => tensor.contiguous(),
    }
}

struct Output(Arc<Node>);

impl CustomOp1 for Output {
    fn name(&self) -> &'static str {
        "fused-attention"
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((self.0.forward()?, self.0.output_shape()))
    }

    fn bwd(
        &self,
        token: &Candle,
        output: &Candle,
        upstream: &Candle,
    ) -> candle_core::Result<Option<Candle>> {
        self.0.backward(output, upstream)?;
        Ok(Some(token.zeros_like()?))
    }
}

impl CustomOp2 for Output {
    fn name(&self) -> &'static str {
        "fused-attention"
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _token_layout: &Layout,
        _params: &CpuStorage,
        _params_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((self.0.forward()?, self.0.output_shape()))
    }

    fn bwd(
        &self,
        token: &Candle,
        params: &Candle,
        output: &Candle,
        upstream: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>)> {
        let values = self.0.backward(output, upstream)?;
        let dparams = Candle::from_vec(values, params.shape(), &Device::Cpu)?;
        Ok((Some(token.zeros_like()?), hand_over(params, dparams)?))
    }
}
