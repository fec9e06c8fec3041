//! Learned attention sinks: one logit per head that takes part in every softmax and adds nothing to what comes out (GPT-OSS,
//! arXiv 2508.10925; `modeling_gpt_oss` of transformers).
//!
//! Written as a key and a value of zeros before the first token, at position −1, whose score is the logit: any
//! implementation of attention runs it, with its memory and its gradients.

use super::forward::At;
use crate::Result;
use farspan_attention::attend::{Attended, Implementation, Params, attend, attend_packed};
use farspan_attention::expr::{Expr, number, param, select_less};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use std::ops::Range;

/// Name of the logits among a plan's parameters.
pub(super) const NAME: &str = "attention_sink";

/// Lets the scores of `plan` have a sink for each of `heads`. The decoder gives its logits, not the scheme.
pub(super) fn add(plan: &mut Plan, heads: usize) {
    let before = number(-0.5);
    plan.score = select_less(Expr::Key, before, param(NAME), plan.score.clone());
    plan.params.push(ParamSpec {
        name: NAME.into(),
        shape: vec![heads],
        init: Init::Normal(0.0, 1.0),
        learned: false,
        per_layer: true,
        clamp: None,
    });
}

fn has(plan: &Plan) -> bool {
    plan.param(NAME).is_some()
}

/// `plan` made ready for these tokens, which stand at `positions` or at their indices; with its sink, if it has one, as
/// the token before them.
pub(super) fn prepared(
    plan: &Plan,
    geometry: &Geometry,
    (queries, keys): (Range<usize>, Range<usize>),
    positions: Option<&[f64]>,
    device: &Device,
) -> Result<Prepared> {
    let made = match (has(plan), positions) {
        (false, None) => Prepared::new(plan, geometry, queries, keys, device),
        (false, Some(at)) => Prepared::with_positions(plan, geometry, queries, keys, at, device),
        (true, at) => {
            let indices: Vec<f64> = (0..keys.end).map(|t| t as f64).collect();
            let at = [&[-1.0], at.unwrap_or(&indices)].concat();
            let (queries, keys) = (queries.start + 1..queries.end + 1, 0..keys.end + 1);
            Prepared::with_positions(plan, geometry, queries, keys, &at, device)
        }
    };
    Ok(made?)
}

/// As [`attend`], with the sink of the plan, if it has one.
pub(super) fn attended(
    [q, k, v]: [&Tensor; 3],
    prepared: &Prepared,
    params: &Params,
    at: &At,
) -> Result<Attended> {
    let which = Implementation::Auto;
    if !has(prepared.plan()) {
        return Ok(attend(q, k, v, prepared, params, &at.mask, which)?);
    }
    let (batch, heads, _, dim) = k.dims4()?;
    let zeros = Tensor::zeros((batch, heads, 1, dim), &k.device())?;
    let [k, v] = [k, v].map(|x| Tensor::cat(&[&zeros, x], 2));
    Ok(attend(q, &k?, &v?, prepared, params, &at.mask, which)?)
}

/// As [`attend_packed`], with the sink of the plan, if it has one.
pub(super) fn attended_packed(
    qkv: &Tensor,
    prepared: &Prepared,
    params: &Params,
    at: &At,
) -> Result<Attended> {
    if !has(prepared.plan()) {
        let which = Implementation::Auto;
        return Ok(attend_packed(qkv, prepared, params, &at.mask, which)?);
    }
    let [q, k, v] = apart(qkv, prepared.geometry())?;
    let out = attended([&q, &k, &v], prepared, params, at)?;
    Ok(Attended {
        output: joined(&out.output)?,
        ..out
    })
}

/// Queries, keys and values, each (rows, heads, tokens, head_dim), of packed ones.
pub(super) fn apart(qkv: &Tensor, g: &Geometry) -> Result<[Tensor; 3]> {
    let (rows, tokens, _) = qkv.dims3()?;
    let part = |first: usize, heads: usize| {
        let part = qkv.narrow(2, first * g.head_dim, heads * g.head_dim)?;
        let part = part.contiguous()?;
        part.reshape((rows, tokens, heads, g.head_dim))?
            .transpose(1, 2)?
            .contiguous()
    };
    Ok([
        part(0, g.heads)?,
        part(g.heads, g.kv_heads)?,
        part(g.heads + g.kv_heads, g.kv_heads)?,
    ])
}

/// What came out of attention, (rows, heads, tokens, head_dim) -> (rows, tokens, heads · head_dim).
pub(super) fn joined(output: &Tensor) -> Result<Tensor> {
    let (rows, heads, tokens, dim) = output.dims4()?;
    let output = output.transpose(1, 2)?.contiguous()?;
    Ok(output.reshape((rows, tokens, heads * dim))?)
}
