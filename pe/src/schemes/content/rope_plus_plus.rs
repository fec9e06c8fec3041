//! RoPE++ also uses the imaginary part of the complex product behind RoPE, which favours far keys, as heads of its own.
//!
//! even heads: Re = ⟨Rot(q, i·θ), Rot(k, j·θ)⟩;  odd heads: Im = ⟨Rot(q, i·θ − π/2), Rot(k, j·θ)⟩
//!
//! Paper: Liu et al. 2025, arXiv 2512.07525, section 3.
//!
//! Code: in the form with half a cache ("EH", `imag1`) a layer has half of the query and key heads, and each makes a
//! real and an imaginary head, so the number of outputs is the usual one. That is the default: an even head's query (and
//! key and value, where heads do not share them anyway) serve the odd head beside it too. Here the projections of the
//! odd heads still exist and are idle. `queries = "own"` leaves every head its own query, which is fused throughout.
//! The form with an equal cache ("EC", `imag2`) doubles the heads and the output projection; a plan cannot change the
//! sizes of a decoder, so it is not offered.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, number, param, raw};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Pairing, ParamSpec, Plan, Positions, QkRotation};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// Settings of RoPE++.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RopePlusPlus {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Whose query the imaginary heads turn.
    pub queries: Queries,
}

/// Queries of the imaginary heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Queries {
    /// That of the real head beside them.
    Shared,
    /// Their own.
    Own,
}

impl Default for RopePlusPlus {
    fn default() -> RopePlusPlus {
        RopePlusPlus {
            base: Rotary::DEFAULT.base,
            queries: Queries::Shared,
        }
    }
}

impl RopePlusPlus {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

impl Scheme for RopePlusPlus {
    const ID: &'static str = "rope-plus-plus";
    const CARD: Card = Card {
        title: "RoPE++",
        paper: Paper {
            authors: "Liu et al.",
            year: 2025,
            arxiv: "2512.07525",
            section: "3",
        },
        family: Family::Content,
        idea: "Let half of the heads see the imaginary part of the complex product behind RoPE, \
               which favours far keys.",
        formula: "even heads: Re ⟨q e^{iθi}, k e^{iθj}⟩, odd heads: Im",
        latex: r"s^{\mathrm{im}}_{ij} = \langle R(i\theta - \tfrac{\pi}{2}) q_i,\, R(j\theta) k_j \rangle / \sqrt d",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let real = QkRotation::rotary(inv_freq.clone(), 1.0, Pairing::HalfSplit);
        let mut imaginary = real.clone();
        // An angle of i·θ − π/2 is that of the position i − π/2θ.
        let earlier = |theta: &f64| Expr::Query - number(FRAC_PI_2 / theta);
        imaginary.query.position = Positions::PerPair(inv_freq.iter().map(earlier).collect());
        let part = (0..model.heads).map(|head| (head % 2) as f64).collect();
        let hooks = match self.queries {
            Queries::Own => Vec::new(),
            Queries::Shared => {
                let group = model.heads / model.kv_heads;
                let rule = "even, and so many to a key head that pairs share keys (even or 1)";
                let pairs =
                    model.heads.is_multiple_of(2) && (group == 1 || group.is_multiple_of(2));
                check_model("heads", model.heads, rule, pairs)?;
                vec![HookRef::new(Paired)]
            }
        };
        Ok(Plan {
            rotations: vec![real, imaginary],
            score: raw() * (-param("imaginary") + 1.0) + Expr::Raw(1) * param("imaginary"),
            hooks,
            params: vec![ParamSpec {
                name: "imaginary".into(),
                shape: vec![model.heads],
                init: Init::Values(part),
                learned: false,
                per_layer: false,
                clamp: None,
            }],
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Paired;

impl Paired {
    /// `x` (batch, heads, …) with every odd head replaced by the head before it.
    fn of(x: &Tensor) -> Result<Tensor> {
        let (batch, heads, tokens, channels) = x.dims4()?;
        let pairs = x.reshape((batch, heads / 2, 2, tokens, channels))?;
        let first = pairs.narrow(2, 0, 1)?;
        Tensor::cat(&[&first, &first], 2)?.reshape((batch, heads, tokens, channels))
    }
}

impl Hook for Paired {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        "rope-plus-plus: odd heads take over the even head before them".into()
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let q = Paired::of(&qkv.q)?;
        let Geometry {
            heads, kv_heads, ..
        } = *scope.geometry();
        if heads != kv_heads {
            return Ok(Qkv { q, ..qkv });
        }
        Ok(Qkv {
            q,
            k: Paired::of(&qkv.k)?,
            v: Paired::of(&qkv.v)?,
        })
    }
}
