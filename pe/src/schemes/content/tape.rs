//! TAPE carries a rotation for every token and head from layer to layer and lets attention and content update it.
//!
//! q̃ = q ⊙ C + rot(q) ⊙ S, k̃ likewise;  P = softmax(q̃·k̃ᵀ/√d);  C′ = a·(P·C) + C with a_h = Σ_g Wp[h, g]
//! C″_h = C′_h + Σ_z Dn[h, z]·u_z·Σ_g Up[z, g]·C′_g with u = SiLU(X·y);  S alike;  at first C = cos, S = sin of RoPE
//!
//! P is what attention without positions makes of q̃ and k̃, so C and S are values to it, as v is: three times attention,
//! wherever and however that runs, with memory linear in the length. Of the second update only Σ_z Dn[h, z]·u_z·Up[z, g],
//! a map across heads for each token, is ever made, not what Up gives for every channel.
//!
//! Paper: Zhu et al. 2025, arXiv 2501.00712, section 3.
//!
//! Code: the update by attention sums the rows of Wp instead of mixing heads by it; `mix_heads` mixes. Wp and Up start
//! at zero, so training starts at RoPE. The second update reads the output y of the layer's feed-forward part, before
//! it is added to the residual stream; here it is made at the start of the next layer, which is handed y and owns the
//! update's weights, since the last layer's update has no reader. The random shift of positions that the authors train
//! with changes nothing, for scores do not see it. State belongs to query heads.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::learned;
use crate::tensor::rotation::Angles;
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of TAPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tape {
    /// Base b of the frequencies that the state starts from.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Width Z of the update by content.
    #[schemars(range(min = 1))]
    pub position_size: usize,
    /// Whether the update by attention mixes heads; the released code scales each head by a sum instead.
    pub mix_heads: bool,
}

impl Default for Tape {
    fn default() -> Tape {
        Tape {
            base: Rotary::DEFAULT.base,
            position_size: 48,
            mix_heads: false,
        }
    }
}

impl Tape {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

const ATTENTION: &str = "tape.attention";
const UP: &str = "tape.up";
const DOWN: &str = "tape.down";
const CONTENT: &str = "tape.content";

impl Scheme for Tape {
    const ID: &'static str = "tape";
    const CARD: Card = Card {
        title: "TAPE",
        paper: Paper {
            authors: "Zhu et al.",
            year: 2025,
            arxiv: "2501.00712",
            section: "3",
        },
        family: Family::Content,
        idea: "Carry a rotation for every token and head from layer to layer and let attention \
               and content update it, starting from RoPE.",
        formula: "C' = a (P C) + C, C'' = C' + Dn (SiLU(X y) * (Up C')), S alike",
        latex: r"C' = a\,(P C) + C,\quad C'' = C' + D_n\big(\mathrm{SiLU}(X y) \odot (U_p C')\big)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let size = self.position_size;
        check("position_size", size, "at least 1", size >= 1)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.layer_plan(model, context_len, 0)
    }

    fn layer_plan(
        &self,
        model: &Geometry,
        _context_len: Len,
        layer: usize,
    ) -> Result<Plan, PlanError> {
        self.check()?;
        let inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let (heads, size) = (model.heads, self.position_size);
        let (zero, drawn) = (Init::Constant(0.0), Init::Normal(0.0, 0.02));
        let mut params = Vec::new();
        // What the last layer leaves has no reader.
        let leaves = layer + 1 < model.layers;
        if leaves {
            params.push(learned(ATTENTION, &[heads, heads], zero.clone()));
        }
        if layer > 0 {
            params.push(learned(UP, &[size, heads], zero));
            params.push(learned(DOWN, &[heads, size], drawn.clone()));
            params.push(learned(CONTENT, &[size, model.width], drawn));
        }
        let hook = State {
            inv_freq,
            mix_heads: self.mix_heads,
            by_content: layer > 0,
            leaves,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct State {
    inv_freq: Vec<f64>,
    mix_heads: bool,
    /// Whether the feed-forward part of the layer before updates the state first.
    by_content: bool,
    /// Whether a layer follows.
    leaves: bool,
}

/// C and S, each (batch, heads, tokens, head_dim).
type Turning = [Tensor; 2];

const NAMES: [&str; 2] = ["tape.cos", "tape.sin"];

impl State {
    /// What the layer before left, or RoPE.
    fn before(&self, scope: &Scope<'_>, q: &Tensor) -> Result<Turning> {
        if let [Some(cos), Some(sin)] = NAMES.map(|name| scope.carried(name)) {
            return Ok([cos.clone(), sin.clone()]);
        }
        let angles = Angles::fixed(scope, &scope.query_positions(), &self.inv_freq)?;
        let (cos, sin) = angles.parts();
        let whole = |x: &Tensor| {
            Tensor::cat(&[x, x], 1)?
                .broadcast_as(q.shape().clone())?
                .contiguous()
        };
        Ok([whole(cos)?, whole(sin)?])
    }

    /// Σ_z Dn[h, z]·u_z·Up[z, g] for every token: (batch, tokens, heads, heads).
    fn map_by_content(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let (down, up) = (scope.param(DOWN)?, scope.param(UP)?);
        let (heads, size) = down.dims2()?;
        let products = down.unsqueeze(1)?.broadcast_mul(&up.t()?.unsqueeze(0)?)?;
        let products = products.reshape((heads * heads, size))?;
        let u = ops::linear(scope.feed_forward()?, &scope.param(CONTENT)?)?.silu()?;
        let (batch, tokens, _) = u.dims3()?;
        ops::linear(&u, &products)?.reshape((batch, tokens, heads, heads))
    }

    /// x + a·(P·x) for one half of the state, which attention has `seen` as P·x.
    fn with_attention(&self, scope: &Scope<'_>, seen: &Tensor, x: &Tensor) -> Result<Tensor> {
        let weight = scope.param(ATTENTION)?;
        let change = if self.mix_heads {
            mixed(seen, &weight)?
        } else {
            let heads = weight.dim(0)?;
            seen.broadcast_mul(&weight.sum_keepdim(1)?.reshape((1, heads, 1, 1))?)?
        };
        x.add(&change)
    }
}

/// `weight` (out, in) over the axis of heads of `x` (batch, in, tokens, channels).
fn mixed(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (batch, _, tokens, channels) = x.dims4()?;
    let heads_last = x.transpose(1, 3)?.contiguous()?;
    let out = ops::linear(&heads_last, weight)?;
    out.transpose(1, 3)?
        .contiguous()?
        .reshape((batch, weight.dim(0)?, tokens, channels))
}

impl Hook for State {
    fn stage(&self) -> Stage {
        Stage::Attention
    }

    fn describe(&self) -> String {
        format!("tape: {self:?}")
    }

    fn params(&self) -> Vec<String> {
        let attention: &[&str] = if self.leaves { &[ATTENTION] } else { &[] };
        let content: &[&str] = if self.by_content {
            &[UP, DOWN, CONTENT]
        } else {
            &[]
        };
        let all = attention.iter().chain(content);
        all.map(|name| name.to_string()).collect()
    }

    fn reads_feed_forward(&self) -> bool {
        self.by_content
    }

    fn attends(&self) -> bool {
        true
    }

    fn attention(&self, scope: &Scope<'_>, qkv: &Qkv) -> Result<Tensor> {
        crate::tensor::rotation::whole_text(scope, "tape, state")?;
        let mut state = self.before(scope, &qkv.q)?;
        if self.by_content {
            let map = self.map_by_content(scope)?;
            let [cos, sin] = &state;
            state = [ops::across_heads(cos, &map)?, ops::across_heads(sin, &map)?];
        }
        let [cos, sin] = &state;
        let q = ops::turn(&qkv.q, cos, sin)?;
        let k = ops::turn(&scope.repeated(&qkv.k)?, cos, sin)?;
        let seen = |v: Tensor| {
            let (q, k) = (q.clone(), k.clone());
            scope.attend(&Qkv { q, k, v })
        };
        if self.leaves {
            for (name, half) in NAMES.iter().zip(&state) {
                let seen = seen(half.clone())?;
                scope.carry(name, self.with_attention(scope, &seen, half)?);
            }
        }
        seen(scope.repeated(&qkv.v)?)
    }
}

#[cfg(test)]
mod tests;
