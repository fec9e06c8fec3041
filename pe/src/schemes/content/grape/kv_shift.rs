//! KV shift mixes into each key and value those of the token before, as much as the token's content says.
//!
//! k′_t = α_t·k_{t−1} + (1 − α_t)·k_t,  α_t = σ(⟨w_h, x_t⟩) per key head, k_{−1} = 0; values likewise with weights of
//! their own; RoPE turns what results
//!
//! Source: the repository model-architectures/GRAPE of Zhang et al. 2025, arXiv 2512.07805, `model/kv_shift_torch.py`, there
//! an option of every encoding (`use_k_shift`, `use_v_shift`).
//!
//! Code: a text of one token is not shifted there, which no longer text agrees with; here the first token is always mixed
//! with nothing. Queries and keys are normalised behind the shift in their decoder, which is no part of it and left out.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::learned;
use crate::tensor::rotation::{after, sigmoid, split, whole_text};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of KV shift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KvShift {
    /// Base b of the frequencies that turn what results.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Whether keys are mixed.
    pub keys: bool,
    /// Whether values are mixed.
    pub values: bool,
}

impl Default for KvShift {
    fn default() -> KvShift {
        KvShift {
            base: Rotary::DEFAULT.base,
            keys: true,
            values: true,
        }
    }
}

impl KvShift {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

const KEY: &str = "shift.key";
const VALUE: &str = "shift.value";

impl Scheme for KvShift {
    const ID: &'static str = "kv-shift";
    const CARD: Card = Card {
        title: "KV shift",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2025,
            arxiv: "2512.07805",
            section: "its code",
        },
        family: Family::Content,
        idea: "Mix into each key and value those of the token before, as much as the token's content says, under RoPE.",
        formula: "k'_t = α_t·k_(t-1) + (1-α_t)·k_t, α = σ(⟨w, x_t⟩); values likewise",
        latex: r"k'_t = \alpha_t k_{t-1} + (1-\alpha_t) k_t,\quad \alpha_t = \sigma(\langle w_h, x_t\rangle)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let some = self.keys || self.values;
        check("keys", self.keys, "true where values = false", some)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let dim = self.rotary().dim(model, 2)?;
        let spread = 0.5 * (model.width.max(1) as f64).powf(-0.5);
        let mixed = [(KEY, self.keys), (VALUE, self.values)];
        let mixed = mixed.into_iter().filter(|(_, on)| *on);
        let params = mixed.map(|(name, _)| {
            let shape = [model.kv_heads, model.width];
            learned(name, &shape, Init::Normal(0.0, spread))
        });
        Ok(Plan {
            hooks: vec![HookRef::new(Mixing {
                keys: self.keys,
                values: self.values,
            })],
            params: params.collect(),
            ..self.rotary().plan(inv_freq(self.base, dim), 1.0)
        })
    }
}

#[derive(Debug)]
struct Mixing {
    keys: bool,
    values: bool,
}

/// α·x_{t−1} + (1 − α)·x_t for `x` (batch, key heads, tokens, d).
fn mixed(scope: &Scope<'_>, x: &Tensor, weight: &str) -> Result<Tensor> {
    let weight = scope.param(weight)?;
    let share = split(&ops::linear(scope.input()?, &weight)?, weight.dim(0)?)?;
    let share = sigmoid(&share)?;
    let none = x.narrow(2, 0, 1)?.zeros_like()?;
    let before = after(x, &none)?;
    // x + α·(x_{t−1} − x_t)
    x.add(&before.sub(x)?.broadcast_mul(&share)?)
}

impl Hook for Mixing {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        format!("keys and values mixed with those of the token before: {self:?}")
    }

    fn params(&self) -> Vec<String> {
        let own = [(KEY, self.keys), (VALUE, self.values)];
        let own = own.into_iter().filter(|(_, on)| *on);
        own.map(|(name, _)| name.to_string()).collect()
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        whole_text(scope, "kv-shift, keys of the token before")?;
        let k = match self.keys {
            true => mixed(scope, &qkv.k, KEY)?,
            false => qkv.k,
        };
        let v = match self.values {
            true => mixed(scope, &qkv.v, VALUE)?,
            false => qkv.v,
        };
        Ok(Qkv { q: qkv.q, k, v })
    }
}
