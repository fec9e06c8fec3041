//! The attention sublayer of a pre-norm decoder layer: a norm, a projection, attention, a projection back.

use super::verbs::attend_packed;
use crate::call::needed;
use crate::choice::{self, Choice};
use crate::implementation::{Attended, Implementation};
use crate::mask::Mask;
use crate::ops::bridge::ours;
use crate::ops::chain::Linked;
use crate::params::Params;
use crate::prepared::Prepared;
use crate::{Error, Result, Tensor, fused, ops};

/// Weights of the attention sublayer of a pre-norm decoder layer.
#[derive(Clone, Copy, Debug)]
pub struct Sublayer<'a> {
    /// Of the norm before it, (width).
    pub norm: &'a Tensor,
    /// Packed projection, ((heads + 2 · kv_heads) · head_dim, width).
    pub qkv: &'a Tensor,
    /// Output projection, (width, heads · head_dim).
    pub out: &'a Tensor,
    /// Added to the mean square in the norm.
    pub eps: f64,
}

impl Sublayer<'_> {
    /// Fails if the weights do not fit each other, the model or rows x.
    pub(crate) fn check(&self, x: &Tensor, prepared: &Prepared) -> Result<()> {
        let geometry = prepared.geometry();
        let (heads, kv_heads, dim) = (geometry.heads, geometry.kv_heads, geometry.head_dim);
        let width = x.dims().last().copied().unwrap_or(0);
        let batch = x.dims().first().copied().unwrap_or(0);
        let tokens = prepared.queries().len();
        let all = (heads + 2 * kv_heads) * dim;
        for (what, found, expected) in [
            ("attend_sublayer, x", x, vec![batch, tokens, width]),
            ("attend_sublayer, norm", self.norm, vec![width]),
            ("attend_sublayer, qkv", self.qkv, vec![all, width]),
            ("attend_sublayer, out", self.out, vec![width, heads * dim]),
        ] {
            if found.dims() != expected {
                return Err(Error::shape(what, format!("{expected:?}"), found.dims()));
            }
        }
        Ok(())
    }

    /// `x + out · attend(qkv · rms_norm(x))`, for x (batch, tokens, width), as [`ops::norm_linear`], [`attend_packed`]
    /// and [`ops::linear_add`] give it.
    pub(crate) fn composed(
        &self,
        x: &Tensor,
        prepared: &Prepared,
        params: &Params,
        mask: &Mask,
        which: Implementation,
    ) -> Result<Attended> {
        let qkv = ops::norm_linear(x, self.norm, self.qkv, self.eps)?;
        let attended = attend_packed(&qkv, prepared, params, mask, which)?;
        Ok(Attended {
            output: ops::linear_add(x, &attended.output, self.out)?,
            ..attended
        })
    }

    /// The same as a part of a chain, if attention is fused on the CPU and reads nothing else: the rows and, where `x`
    /// or a weight is `tracked`, the part.
    pub(crate) fn part(
        &self,
        (x, tracked): (&Tensor, bool),
        prepared: &Prepared,
        params: &Params,
        mask: &Mask,
        which: Implementation,
    ) -> Result<Option<(Tensor, Option<Linked>)>> {
        let plan = prepared.plan();
        let plain =
            plan.hooks.is_empty() && !plan.reads_input() && prepared.queries() == prepared.keys();
        let tensors = ours([x, self.norm, self.qkv, self.out]);
        let Some(tensors) = tensors.filter(|_| plain && x.elem_count() > 0) else {
            return Ok(None);
        };
        if choice::choose(which, plan, prepared.device(), x.dtype())? != Choice::Fused {
            return Ok(None);
        }
        mask.check(prepared.tokens())?;
        let (params, compiled) = (needed(prepared, params)?, prepared.compiled()?);
        let [x, norm, qkv, out] = tensors.map(candle_core::Tensor::contiguous);
        let weights = [&norm?, &qkv?, &out?];
        let eps = self.eps as f32;
        fused::sublayer((&x?, tracked), weights, eps, compiled, &params, mask).map(Some)
    }
}
