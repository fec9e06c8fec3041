//! Wall attention lets every channel of a key fade at a pace of its own that content sets.
//!
//! score_ij = Σ_c q_ic·k_jc·exp(G_ic − G_jc) / √d,  G = running sum of ln σ(W·x + b), one per query head and channel
//!
//! Source: the layer `wall_attn` of the library flash-linear-attention, contributed by Tilde Research; no paper.
//!
//! Code: b starts at 8, so that a channel keeps 0.9997 per token at first. A scalar gate per head as in the Forgetting
//! Transformer can be added to the scaled score (`scalar_gate`). The sums in the exponents never exceed 0: queries are
//! taken from the left edge of their chunk on and keys up to it, so nothing can overflow. Memory is quadratic in the
//! length.

use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::learned;
use crate::tensor::rotation::{softplus, split, summed, whole_text};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Wall attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wall {
    /// What the gates' bias b starts at.
    pub bias_init: f64,
    /// Whether each head also has a gate that lowers whole scores.
    pub scalar_gate: bool,
}

impl Default for Wall {
    fn default() -> Wall {
        Wall {
            bias_init: 8.0,
            scalar_gate: false,
        }
    }
}

const WEIGHT: &str = "wall.gate";
const BIAS: &str = "wall.gate_bias";
const SCALAR_WEIGHT: &str = "wall.scalar";
const SCALAR_BIAS: &str = "wall.scalar_bias";

impl Scheme for Wall {
    const ID: &'static str = "wall";
    const CARD: Card = Card {
        title: "Wall attention",
        paper: Paper {
            authors: "Averbuch and Pai (Tilde Research)",
            year: 2026,
            arxiv: "",
            section: "flash-linear-attention, layers/wall_attn.py",
        },
        family: Family::Content,
        idea: "Let every channel of a key fade at a pace of its own that the content of later \
               tokens sets.",
        formula: "score = Σ_c q_c k_c exp(G_ic - G_jc) / √d, G = Σ ln σ(W x + b)",
        latex: r"s_{ij} = \tfrac{1}{\sqrt d} \sum_c q_{ic} k_{jc}\, e^{G_{ic} - G_{jc}}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let finite = self.bias_init.is_finite();
        crate::error::check("bias_init", self.bias_init, "finite", finite)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let mut params = Vec::new();
        let mut gate = |weight: &str, bias: &str, gates: usize| {
            let drawn = Init::Normal(0.0, 0.02);
            params.push(learned(weight, &[gates, model.width], drawn));
            params.push(learned(bias, &[gates], Init::Constant(self.bias_init)));
        };
        gate(WEIGHT, BIAS, model.heads * model.head_dim);
        if self.scalar_gate {
            gate(SCALAR_WEIGHT, SCALAR_BIAS, model.heads);
        }
        let hook = Fading {
            scalar_gate: self.scalar_gate,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

/// Tokens to a chunk: pairs inside of one are computed channel by channel.
const CHUNK: usize = 16;

#[derive(Debug)]
struct Fading {
    scalar_gate: bool,
}

/// Running sums of ln σ(W·x + b): (batch, heads, tokens, gates of a head).
fn sums(scope: &Scope<'_>, weight: &str, bias: &str) -> Result<Tensor> {
    let raw = ops::linear(scope.input()?, &scope.param(weight)?)?;
    let raw = raw.broadcast_add(&scope.param(bias)?)?;
    let log_gate = softplus(&raw.neg()?)?.neg()?;
    summed(&split(&log_gate, scope.geometry().heads)?)
}

/// Σ_c q_ic·k_jc·exp(G_ic − G_jc) of all pairs with j ≤ i; q, k and G are (batch, heads, tokens, d).
fn faded(q: &Tensor, k: &Tensor, sums: &Tensor) -> Result<Tensor> {
    let (batch, heads, tokens, _) = q.dims4()?;
    let rows = |x: &Tensor, from: usize, n: usize| x.narrow(2, from, n);
    let mut found = Vec::new();
    for start in (0..tokens).step_by(CHUNK) {
        let len = CHUNK.min(tokens - start);
        let (own_q, own_k, own) = (
            rows(q, start, len)?,
            rows(k, start, len)?,
            rows(sums, start, len)?,
        );
        let mut row = Vec::new();
        if start > 0 {
            let edge = rows(sums, start - 1, 1)?;
            let queries = own_q.mul(&own.broadcast_sub(&edge)?.exp()?)?;
            let to_edge = edge.broadcast_sub(&rows(sums, 0, start)?)?.exp()?;
            let keys = rows(k, 0, start)?.mul(&to_edge)?;
            row.push(queries.matmul(&keys.transpose(2, 3)?.contiguous()?)?);
        }
        // (batch, heads, queries, keys, d); pairs that look ahead are hidden later and must only stay finite.
        let between = own.unsqueeze(3)?.broadcast_sub(&own.unsqueeze(2)?)?;
        let pairs = own_q.unsqueeze(3)?.broadcast_mul(&own_k.unsqueeze(2)?)?;
        let inside = pairs.mul(&between.minimum(0.0)?.exp()?)?.sum_keepdim(4)?;
        row.push(inside.squeeze(4)?);
        let later = tokens - start - len;
        if later > 0 {
            let none = Tensor::zeros((batch, heads, len, later), &q.device())?;
            row.push(none.to_dtype(q.dtype())?);
        }
        found.push(Tensor::cat(&row.iter().collect::<Vec<_>>(), 3)?);
    }
    Tensor::cat(&found.iter().collect::<Vec<_>>(), 2)
}

impl Hook for Fading {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("wall: scalar gate {}", self.scalar_gate)
    }

    fn params(&self) -> Vec<String> {
        let scalar: &[&str] = if self.scalar_gate {
            &[SCALAR_WEIGHT, SCALAR_BIAS]
        } else {
            &[]
        };
        let all = [WEIGHT, BIAS].into_iter().chain(scalar.iter().copied());
        all.map(String::from).collect()
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn needs_all_queries(&self) -> bool {
        true
    }

    fn scores(&self, scope: &Scope<'_>, _scores: &Tensor) -> Result<Tensor> {
        whole_text(scope, "wall, gates")?;
        let k = scope.repeated(&scope.qkv.k)?;
        let scores = faded(&scope.qkv.q, &k, &sums(scope, WEIGHT, BIAS)?)?;
        let scores = scores.affine(scope.prepared.scale(), 0.0)?;
        if !self.scalar_gate {
            return Ok(scores);
        }
        let sums = sums(scope, SCALAR_WEIGHT, SCALAR_BIAS)?;
        scores.add(&sums.broadcast_sub(&sums.transpose(2, 3)?)?)
    }
}
