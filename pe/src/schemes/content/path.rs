//! PaTH puts a reflection that each token computes from its own content between a query and the keys before that
//! token, so that position becomes a state that content moves.
//!
//! raw_ij = q_iᵀ·H_i·H_{i−1}·…·H_{j+1}·k_j,  H_t = I − β_t·w_t·w_tᵀ,  |w_t| = 1,  β_t = 2σ(b·x_t + b₀)
//! w = unit(SiLU(conv₃(B·x)));  with a forget gate (PaTH-FoX) plus c_i − c_j, c the running sum of ln σ(g·x + g₀)
//!
//! Paper: Yang et al. 2025, arXiv 2505.16381, sections 3 and 3.4.
//!
//! Code: w and β belong to key heads. B has rank 32 where query and key heads are as many, else it is a full matrix
//! (`rank` overrides both). The paper writes the gate beside the scaled score; the code multiplies the gate by
//! 1/√head_dim too (`gate = "scaled"`). The optional normalisation of q and k is no part of the encoding. Memory
//! is linear in the length on the CPU, quadratic elsewhere. No rotation is part of it; `rotary_base` turns queries and keys as RoPE
//! does before all else, so that weights trained under RoPE can go on under PaTH (`rotary_base` is their base): with `beta_bias` = b₀ =
//! −12 every H is I − 1.2e-5·w·wᵀ at first, the identity but for rounding; at −20 β is 0 in single precision and would stay so. Cached keys must be rewritten whenever a token comes, which
//! this library does by starting from the unturned ones.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::householder;
use crate::tensor::ops::learned;
use crate::tensor::rotation::{
    Angles, convolved, l2_norm, sigmoid, softplus, split, summed, whole_text,
};
use farspan_attention::form::{self, Form};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Cache, Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of PaTH.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Path {
    /// Rank of the projection from the layer's input to w, if not the code's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rank: Option<usize>,
    /// Whether scores are gated as in the Forgetting Transformer.
    pub gate: Gate,
    /// Base of rotations that queries and keys are turned by first; without, nothing turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rotary_base: Option<f64>,
    /// b₀ before training: −12 starts as the identity.
    #[serde(skip_serializing_if = "is_zero")]
    pub beta_bias: f64,
}

/// Left out of what is written, so that runs from before the setting keep their identity.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// The forget gate of PaTH-FoX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// None: PaTH.
    #[default]
    None,
    /// Added before the scale 1/√head_dim: the released code.
    Scaled,
    /// Added after it: the paper.
    Plain,
}

const DOWN: &str = "path.down";
const UP: &str = "path.up";
const FILTER: &str = "path.filter";
const BETA: &str = "path.beta";
const BETA_BIAS: &str = "path.beta_bias";
const GATE: &str = "path.gate";
const GATE_BIAS: &str = "path.gate_bias";

impl Scheme for Path {
    const ID: &'static str = "path";
    const CARD: Card = Card {
        title: "PaTH",
        paper: Paper {
            authors: "Yang et al.",
            year: 2025,
            arxiv: "2505.16381",
            section: "3",
        },
        family: Family::Content,
        idea: "Multiply a reflection made from each token's content between a query and all keys \
               before that token.",
        formula: "raw = q_i^T H_i ... H_{j+1} k_j, H_t = I - β_t w_t w_t^T",
        latex: r"s_{ij} = \tfrac{1}{\sqrt d}\, q_i^\top \Big(\prod_{t=i}^{j+1} (I - \beta_t w_t w_t^\top)\Big) k_j",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let rank = self.rank.unwrap_or(1);
        check("rank", rank, "at least 1", rank >= 1)?;
        let bias = self.beta_bias;
        check("beta_bias", bias, "a finite number", bias.is_finite())?;
        self.rotary_base.map_or(Ok(()), |base| {
            let sound = base > 1.0 && base.is_finite();
            check("rotary_base", base, "above 1 and finite", sound)
        })
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let channels = model.kv_heads * model.head_dim;
        let grouped = model.heads != model.kv_heads;
        let rank = self.rank.or((!grouped).then_some(32));
        // The library draws all matrices and filters alike.
        let drawn = |name: &str, shape: [usize; 2]| learned(name, &shape, Init::Normal(0.0, 0.02));
        let zero = |name: &str, heads: usize| learned(name, &[heads], Init::Constant(0.0));
        let mut params = match rank {
            Some(rank) => vec![
                drawn(DOWN, [rank, model.width]),
                drawn(UP, [channels, rank]),
            ],
            None => vec![drawn(UP, [channels, model.width])],
        };
        params.push(drawn(FILTER, [channels, 3]));
        params.push(drawn(BETA, [model.kv_heads, model.width]));
        params.push(learned(
            BETA_BIAS,
            &[model.kv_heads],
            Init::Constant(self.beta_bias),
        ));
        if self.gate != Gate::None {
            params.push(drawn(GATE, [model.heads, model.width]));
            params.push(zero(GATE_BIAS, model.heads));
        }
        let hook = Reflections {
            low_rank: rank.is_some(),
            gate: self.gate,
            names: params.iter().map(|spec| spec.name.clone()).collect(),
        };
        let mut hooks = Vec::new();
        if let Some(base) = self.rotary_base {
            let dim = Rotary::of_base(base).dim(model, 2)?;
            hooks.push(HookRef::new(Turned {
                base,
                inv_freq: inv_freq(base, dim),
            }));
        }
        hooks.push(HookRef::new(hook));
        Ok(Plan {
            hooks,
            params,
            cache: Cache::Unrotated,
            ..Plan::default()
        })
    }
}

/// Turns queries and keys before they are reflected.
#[derive(Debug)]
struct Turned {
    base: f64,
    inv_freq: Vec<f64>,
}

impl Hook for Turned {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        let (base, pairs) = (self.base, self.inv_freq.len());
        format!("path: {pairs} pairs turned, base {base}")
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let turned = |x: &Tensor, at: &[f64]| Angles::fixed(scope, at, &self.inv_freq)?.turn(x);
        Ok(Qkv {
            q: turned(&qkv.q, &scope.query_positions())?,
            k: turned(&qkv.k, &scope.key_positions())?,
            v: qkv.v,
        })
    }
}

#[derive(Debug)]
struct Reflections {
    low_rank: bool,
    gate: Gate,
    names: Vec<String>,
}

impl Reflections {
    /// w (batch, kv_heads, tokens, head_dim) and β (batch, kv_heads, tokens, 1).
    fn reflections(&self, scope: &Scope<'_>) -> Result<(Tensor, Tensor)> {
        let (input, kv_heads) = (scope.input()?, scope.geometry().kv_heads);
        let mut w = input.clone();
        if self.low_rank {
            w = ops::linear(&w, &scope.param(DOWN)?)?;
        }
        let w = ops::linear(&w, &scope.param(UP)?)?;
        let w = convolved(&w, &scope.param(FILTER)?)?.silu()?;
        let w = l2_norm(&split(&w, kv_heads)?)?;
        let beta = ops::linear(input, &scope.param(BETA)?)?;
        let beta = sigmoid(&beta.broadcast_add(&scope.param(BETA_BIAS)?)?)?.affine(2.0, 0.0)?;
        Ok((w, split(&beta, kv_heads)?))
    }

    /// c (batch, heads, tokens, 1).
    fn kept(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let raw = ops::linear(scope.input()?, &scope.param(GATE)?)?;
        let raw = raw.broadcast_add(&scope.param(GATE_BIAS)?)?;
        // ln σ(x) = −ln(1 + e⁻ˣ)
        let kept = softplus(&raw.neg()?)?.neg()?;
        summed(&split(&kept, scope.geometry().heads)?)
    }

    /// c_i − c_j (batch, heads, tokens, tokens).
    fn forgotten(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let kept = self.kept(scope)?;
        kept.broadcast_sub(&kept.transpose(2, 3)?)
    }
}

impl Hook for Reflections {
    fn stage(&self) -> Stage {
        Stage::Attention
    }

    fn describe(&self) -> String {
        format!("path: low rank {}, gate {:?}", self.low_rank, self.gate)
    }

    fn params(&self) -> Vec<String> {
        self.names.clone()
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn has_form(&self) -> bool {
        true
    }

    fn form(&self, scope: &Scope<'_>) -> Result<Option<Form>> {
        whole_text(scope, "path, reflections")?;
        if !scope.mask.causal {
            return Ok(None);
        }
        let (w, beta) = self.reflections(scope)?;
        let kept = || self.kept(scope)?.squeeze(3);
        Ok(Some(Form::Reflections(form::Reflections {
            vectors: w,
            strengths: beta.squeeze(3)?,
            gain: match self.gate {
                Gate::None => None,
                Gate::Scaled => Some(kept()?.affine(scope.prepared.scale(), 0.0)?),
                Gate::Plain => Some(kept()?),
            },
        })))
    }

    fn attention(&self, scope: &Scope<'_>, qkv: &Qkv) -> Result<Tensor> {
        whole_text(scope, "path, reflections")?;
        let (w, beta) = self.reflections(scope)?;
        let (w, beta) = (scope.repeated(&w)?, scope.repeated(&beta)?);
        let raw = householder::scores(&qkv.q, &scope.repeated(&qkv.k)?, &w, &beta)?;
        let scale = scope.prepared.scale();
        let scores = match self.gate {
            Gate::None => raw.affine(scale, 0.0)?,
            Gate::Scaled => raw.add(&self.forgotten(scope)?)?.affine(scale, 0.0)?,
            Gate::Plain => raw.affine(scale, 0.0)?.add(&self.forgotten(scope)?)?,
        };
        let shares = scope.softmax(&scores)?;
        shares.matmul(&scope.repeated(&qkv.v)?)
    }
}
