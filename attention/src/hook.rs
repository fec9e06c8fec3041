//! Hooks: what data cannot say. A scheme's own function of tensors at one of three places inside attention.
//!
//! A hook is written once, in [`Tensor`] operations, and runs on every device with gradients. It is the last resort: a
//! scheme that can be said with turns, an expression or token vectors is said that way, because those are fused.

use crate::expr::ParamValues;
use crate::form::Form;
use crate::geometry::Geometry;
use crate::mask::Mask;
use crate::ops::softmax;
use crate::params::{self, ParamSpec, Params};
use crate::span::Span;
use crate::{Error, Result, Tensor};
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Where a hook acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the rotation, on q, k and v. Attention itself stays fused.
    Inputs,
    /// Between score and softmax, on whole rows of scores of all heads.
    Scores,
    /// Instead of attention.
    Attention,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Inputs => "inputs",
            Stage::Scores => "scores",
            Stage::Attention => "attention",
        })
    }
}

/// Queries (batch, heads, queries, head_dim), keys and values (batch, kv_heads, keys, head_dim).
#[derive(Clone, Debug)]
pub struct Qkv {
    /// Queries.
    pub q: Tensor,
    /// Keys.
    pub k: Tensor,
    /// Values.
    pub v: Tensor,
}

/// A scheme's own function of tensors. Implement the method of its stage; the others are never called.
pub trait Hook: fmt::Debug + Send + Sync {
    /// Where it acts.
    fn stage(&self) -> Stage;

    /// Everything that its result depends on, in one line: two hooks that say the same are the same.
    fn describe(&self) -> String;

    /// Names of the plan's parameters that it reads.
    fn params(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether it reads the layer's input ([`Scope::input`]).
    fn reads_input(&self) -> bool {
        false
    }

    /// Whether it reads what the feed-forward part of the layer before added ([`Scope::feed_forward`]).
    fn reads_feed_forward(&self) -> bool {
        false
    }

    /// [`Stage::Inputs`]: q, k and v in place of those that the layer projected, in the same shapes.
    fn inputs(&self, _scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        Ok(qkv)
    }

    /// [`Stage::Scores`]: scores (batch, heads, queries, keys) in place of the plan's. Pairs that the mask hides hold 0,
    /// and what the hook leaves there has no effect. Blocks of queries come in order.
    fn scores(&self, _scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        Ok(scores.clone())
    }

    /// Whether it has a [`form`](Hook::form) on ordinary calls; what a forecast of time and memory goes by.
    fn has_form(&self) -> bool {
        false
    }

    /// [`Stage::Scores`] and [`Stage::Attention`]: what it does in a form that the fused kernel of the CPU knows and runs
    /// in its place; `None` if this call has none.
    fn form(&self, _scope: &Scope<'_>) -> Result<Option<Form>> {
        Ok(None)
    }

    /// Whether [`scores`](Hook::scores) must see all queries at once (sums over queries).
    fn needs_all_queries(&self) -> bool {
        false
    }

    /// [`Stage::Attention`]: whether it leaves all pairs of queries and keys to [`Scope::attend`], so that its attention
    /// runs wherever attention without hooks does.
    fn attends(&self) -> bool {
        false
    }

    /// [`Stage::Attention`]: the output (batch, heads, queries, head_dim).
    fn attention(&self, _scope: &Scope<'_>, _qkv: &Qkv) -> Result<Tensor> {
        Err(Error::plan(
            "hooks",
            format!("{} has no attention of its own", self.describe()),
        ))
    }
}

/// A shared [`Hook`], compared by what it says of itself.
#[derive(Clone, Debug)]
pub struct HookRef(Arc<dyn Hook>);

impl HookRef {
    /// Shares `hook`.
    pub fn new(hook: impl Hook + 'static) -> HookRef {
        HookRef(Arc::new(hook))
    }
}

impl std::ops::Deref for HookRef {
    type Target = dyn Hook;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for HookRef {
    fn eq(&self, other: &HookRef) -> bool {
        (self.stage(), self.describe()) == (other.stage(), other.describe())
    }
}

/// What a hook may look at.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Positions, sizes and device of the call.
    pub prepared: &'a Span,
    /// Everything that attention was given by name.
    pub params: &'a Params,
    /// Which pairs take part.
    pub mask: &'a Mask,
    /// q, k and v as the layer projected them, after hooks of the stage `inputs`.
    pub qkv: &'a Qkv,
    /// The queries at hand, as positions in the call: all of them, or the block that [`Hook::scores`] is given.
    pub queries: Range<usize>,
    /// The keys at hand, likewise.
    pub keys: Range<usize>,
    /// The plan's parameters, and the values of those that are constants of it.
    pub(crate) specs: &'a [ParamSpec],
    pub(crate) constants: &'a ParamValues,
    /// The attention that runs the hook.
    pub(crate) within: &'a dyn Within,
    /// What hooks leave for the next layer.
    pub(crate) left: &'a RefCell<Params>,
}

/// What attention does for the hooks that it runs; it stands above them.
pub(crate) trait Within: fmt::Debug {
    /// See [`Scope::scores`].
    fn scores(&self, qkv: &Qkv, queries: Range<usize>, keys: Range<usize>) -> Result<Tensor>;

    /// See [`Scope::attend`].
    fn attend(&self, qkv: &Qkv) -> Result<Tensor>;
}

impl<'a> Scope<'a> {
    pub(crate) fn block(&self, queries: Range<usize>, keys: Range<usize>) -> Scope<'a> {
        Scope {
            queries,
            keys,
            ..*self
        }
    }

    /// The model's sizes.
    pub fn geometry(&self) -> &Geometry {
        self.prepared.geometry()
    }

    /// A parameter of the plan, learned or constant, in its shape and in the type of the queries.
    pub fn param(&self, name: &str) -> Result<Tensor> {
        if let Some(tensor) = self.params.get(name) {
            return tensor.to_dtype(self.qkv.q.dtype());
        }
        let spec = self.specs.iter().find(|spec| spec.name == name);
        match (spec, self.constants.get(name)) {
            (Some(spec), Some(values)) => self.constant(values, &spec.shape),
            (spec, _) => Err(Error::MissingParam {
                name: name.into(),
                shape: spec.map_or(Vec::new(), |spec| spec.shape.clone()),
                given: params::names(self.params),
            }),
        }
    }

    /// The layer's input after its norm, (batch, tokens, width): what q, k and v were projected from.
    pub fn input(&self) -> Result<&'a Tensor> {
        self.by_token(params::INPUT)
    }

    /// What the feed-forward part of the layer before added to the residual stream, (batch, tokens, width): its output
    /// before the sum. There is none in the first layer.
    pub fn feed_forward(&self) -> Result<&'a Tensor> {
        self.by_token(params::FEED_FORWARD)
    }

    fn by_token(&self, name: &str) -> Result<&'a Tensor> {
        self.params.get(name).ok_or_else(|| Error::MissingParam {
            name: name.into(),
            shape: vec![self.queries.len(), self.geometry().width],
            given: params::names(self.params),
        })
    }

    /// Numbers in the type and on the device of the queries.
    pub fn constant(&self, values: &[f64], shape: &[usize]) -> Result<Tensor> {
        Tensor::from_numbers(values, shape, self.qkv.q.dtype(), self.prepared.device())
    }

    /// 1 where a pair of the queries and keys at hand takes part, else 0: (queries, keys), in the type of the queries.
    pub fn visible(&self) -> Result<Tensor> {
        let seen = |i: usize| {
            self.keys
                .clone()
                .map(move |j| f64::from(u8::from(self.mask.sees(i, j))))
        };
        let seen: Vec<f64> = self.queries.clone().flat_map(seen).collect();
        self.constant(&seen, &[self.queries.len(), self.keys.len()])
    }

    /// Positions of the queries at hand, as the scheme counts them.
    pub fn query_positions(&self) -> Vec<f64> {
        self.queries
            .clone()
            .map(|i| self.prepared.position(i))
            .collect()
    }

    /// Positions of the keys at hand, as the scheme counts them.
    pub fn key_positions(&self) -> Vec<f64> {
        self.keys
            .clone()
            .map(|j| self.prepared.position(j))
            .collect()
    }

    /// Rows of the queries at hand out of `x` (batch, heads, queries of the call, …).
    pub fn of_queries(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(
            2,
            self.queries.start - self.prepared.queries().start,
            self.queries.len(),
        )
    }

    /// Rows of the keys at hand out of `x` (batch, heads, keys of the call, …).
    pub fn of_keys(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(
            2,
            self.keys.start - self.prepared.keys().start,
            self.keys.len(),
        )
    }

    /// Keys or values (batch, kv_heads, keys, …) once for each query head that reads them.
    pub fn repeated(&self, x: &Tensor) -> Result<Tensor> {
        let Geometry {
            heads, kv_heads, ..
        } = *self.geometry();
        if heads == kv_heads {
            return Ok(x.clone());
        }
        let mut shape = x.dims().to_vec();
        shape.insert(2, heads / kv_heads);
        let wide = x.unsqueeze(2)?.broadcast_as(shape.as_slice())?;
        shape.remove(2);
        shape[1] = heads;
        wide.contiguous()?.reshape(shape)
    }

    /// The plan's own scores of these queries and keys (batch, heads, queries, keys), 0 where the mask hides a pair:
    /// what a hook of the stage `attention` starts from.
    pub fn scores(&self, qkv: &Qkv) -> Result<Tensor> {
        self.within
            .scores(qkv, self.queries.clone(), self.keys.clone())
    }

    /// Shares of the softmax over the visible keys; a row without any gives zeros. `scores` is
    /// (batch, heads, queries, keys).
    pub fn softmax(&self, scores: &Tensor) -> Result<Tensor> {
        let hidden = |i: usize| {
            let keys = self.keys.clone();
            keys.map(move |j| {
                if self.mask.sees(i, j) {
                    0.0
                } else {
                    f64::NEG_INFINITY
                }
            })
        };
        let hidden: Vec<f64> = self.queries.clone().flat_map(hidden).collect();
        let bias = self.constant(&hidden, &[1, self.queries.len(), self.keys.len()])?;
        softmax::weights(scores, Some(&bias))
    }

    /// What attention without hooks gives for other queries, keys and values under the same plan, by the implementation
    /// that the call asked for. There may be keys and values for each key/value head or for each query head.
    pub fn attend(&self, qkv: &Qkv) -> Result<Tensor> {
        self.within.attend(qkv)
    }

    /// What the hook of the layer before left under this name; `None` in the first layer.
    pub fn carried(&self, name: &str) -> Option<&'a Tensor> {
        self.params.get(&format!("{}{name}", params::CARRIED))
    }

    /// Leaves a tensor for the next layer.
    pub fn carry(&self, name: &str, tensor: Tensor) {
        self.left
            .borrow_mut()
            .insert(format!("{}{name}", params::CARRIED), tensor);
    }
}

#[cfg(test)]
mod tests;
