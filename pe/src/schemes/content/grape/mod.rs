//! GRAPE makes position a one-parameter group of rotations whose speeds are learned, and lets content set the pace.
//!
//! q′_i = exp(Φ_i·L)·q_i,  k′_j = exp(Φ_j·L)·k_j, with L a generator: planes (p, p + d/2) at learned speeds;
//! Φ_i = i, or Φ_i = Σ_{τ < i} ω_τ with ω_t = σ((w·x_t + β)/κ) from the layer's input (`contextual`)
//!
//! Paper: Zhang et al. 2025, arXiv 2512.07805, sections 2 and 3 (multiplicative part).
//!
//! Code: speeds start at RoPE's and are stored as κ·ln θ, κ = 16, which slows their learning, but as ln θ in the
//! contextual form, where κ divides the pace; one set serves all heads of a layer (`per_head` otherwise). Turns run
//! clockwise, opposite to RoPE: the same model for weights that give the second half of the channels the other sign. Of
//! the contextual form the paper has ω = softplus(w·x + β) with β set for ω = 0.001 at first; the code, where w starts
//! at 0, keeps that β but has come to use σ(·/16), where ω starts near 0.39. Both are here (`pace`), the code's is the
//! default. The normalisation of turned q and k in the authors' decoder is no part of the encoding and left out.
//! Per-head speeds and paces belong to key heads and serve all queries that read them. Attention stays fused.

pub mod additive;
pub mod kv_shift;

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::learned;
use crate::tensor::rotation::{Angles, sigmoid, softplus, split, summed, whole_text};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{DType, Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of GRAPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grape {
    /// Base b of the frequencies that the speeds start at.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// What logarithms of speeds are multiplied with where they are stored; if `contextual`, what the pace's argument
    /// is divided by instead.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub kappa: f64,
    /// Whether each key head has its own speeds, and its own pace if `contextual`.
    pub per_head: bool,
    /// Whether the content sets the pace; positions count one by one otherwise.
    pub contextual: bool,
    /// From the layer's input to the pace, if `contextual`.
    pub pace: Pace,
}

/// How far a token moves the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// σ((w·x + β)/κ): the authors' code.
    Sigmoid,
    /// softplus(w·x + β): the paper.
    Softplus,
}

impl Default for Grape {
    fn default() -> Grape {
        Grape {
            base: Rotary::DEFAULT.base,
            kappa: 16.0,
            per_head: false,
            contextual: false,
            pace: Pace::Sigmoid,
        }
    }
}

impl Grape {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }

    fn specs(&self, model: &Geometry, pairs: usize) -> Vec<ParamSpec> {
        let sets = if self.per_head { model.kv_heads } else { 1 };
        let speeds: Vec<f64> = inv_freq(self.base, 2 * pairs)
            .iter()
            .map(|theta| self.stored() * theta.ln())
            .collect();
        let mut params = vec![learned(
            SPEED,
            &[sets, pairs],
            Init::Values(speeds.repeat(sets)),
        )];
        if self.contextual {
            // softplus(β) = FIRST_PACE.
            let bias = FIRST_PACE.exp_m1().ln();
            let weight = [sets, model.width];
            params.push(learned(WEIGHT, &weight, Init::Constant(0.0)));
            params.push(learned(BIAS, &[sets], Init::Constant(bias)));
        }
        params
    }

    /// What logarithms of speeds are multiplied with where they are stored.
    fn stored(&self) -> f64 {
        if self.contextual { 1.0 } else { self.kappa }
    }
}

const SPEED: &str = "grape.log_speed";
const WEIGHT: &str = "grape.pace";
const BIAS: &str = "grape.pace_bias";
const FIRST_PACE: f64 = 1e-3;

impl Scheme for Grape {
    const ID: &'static str = "grape";
    const CARD: Card = Card {
        title: "GRAPE",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2025,
            arxiv: "2512.07805",
            section: "3",
        },
        family: Family::Content,
        idea: "Turn q and k by a one-parameter group of rotations with learned speeds, at a pace \
               that content may set.",
        formula: "q' = exp(Φ L) q, Φ_i = i or Σ_{τ < i} ω(x_τ)",
        latex: r"q'_i = e^{\Phi_i L} q_i,\quad \Phi_i = i \text{ or } \sum_{\tau < i} \omega(x_\tau)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let positive = self.kappa > 0.0 && self.kappa.is_finite();
        check("kappa", self.kappa, "above 0 and finite", positive)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let pairs = self.rotary().dim(model, 2)? / 2;
        let params = self.specs(model, pairs);
        let hook = Group {
            kappa: self.kappa,
            stored: self.stored(),
            pace: self.contextual.then_some(self.pace),
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Group {
    kappa: f64,
    /// What logarithms of speeds are multiplied with where they are stored.
    stored: f64,
    /// `None`: positions count one by one.
    pace: Option<Pace>,
}

impl Group {
    /// Φ of every token of the text: (batch, sets, tokens, 1).
    fn phases(&self, scope: &Scope<'_>, pace: Pace) -> Result<Tensor> {
        whole_text(scope, "grape, phases set by content")?;
        let weight = scope.param(WEIGHT)?;
        let raw = ops::linear(scope.input()?, &weight)?.broadcast_add(&scope.param(BIAS)?)?;
        let step = match pace {
            Pace::Sigmoid => sigmoid(&raw.affine(1.0 / self.kappa, 0.0)?)?,
            Pace::Softplus => softplus(&raw)?,
        };
        let step = split(&step, weight.dim(0)?)?;
        summed(&step)?.sub(&step)
    }

    /// Turns `x` (batch, heads, tokens, d) clockwise by `phases` times `speeds`, both with one set for all heads or one
    /// per head.
    fn turn(&self, x: &Tensor, phases: &Tensor, speeds: &Tensor) -> Result<Tensor> {
        let angles = phases
            .to_dtype(DType::F64)?
            .broadcast_mul(&speeds.unsqueeze(1)?)?;
        Angles::new(&angles, x.dtype())?.reversed()?.turn(x)
    }
}

impl Hook for Group {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        let Group {
            kappa,
            stored,
            pace,
        } = self;
        format!("grape: kappa {kappa}, speeds stored times {stored}, pace {pace:?}")
    }

    fn params(&self) -> Vec<String> {
        let names: &[&str] = match self.pace {
            None => &[SPEED],
            Some(_) => &[SPEED, WEIGHT, BIAS],
        };
        names.iter().map(|name| name.to_string()).collect()
    }

    fn reads_input(&self) -> bool {
        self.pace.is_some()
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        // (sets, pairs), in f64: the rounding of a speed grows with the position.
        let speeds = scope.param(SPEED)?.to_dtype(DType::F64)?;
        let speeds = speeds.affine(1.0 / self.stored, 0.0)?.exp()?;
        let (at_queries, at_keys) = match self.pace {
            Some(pace) => {
                let phases = self.phases(scope, pace)?;
                (phases.clone(), phases)
            }
            None => {
                let column = |positions: Vec<f64>| {
                    let shape = (1, 1, positions.len(), 1);
                    Tensor::from_vec(positions, shape, &speeds.device())
                };
                (
                    column(scope.query_positions())?,
                    column(scope.key_positions())?,
                )
            }
        };
        // One set broadcasts over all heads; sets of key heads serve the queries that read them.
        let for_queries = |x: &Tensor, heads_axis: usize| -> Result<Tensor> {
            if x.dim(heads_axis)? == 1 {
                return Ok(x.clone());
            }
            scope.repeated(x)
        };
        let query_speeds = for_queries(&speeds.unsqueeze(0)?, 1)?.squeeze(0)?;
        Ok(Qkv {
            q: self.turn(&qkv.q, &for_queries(&at_queries, 1)?, &query_speeds)?,
            k: self.turn(&qkv.k, &at_keys, &speeds)?,
            v: qkv.v,
        })
    }
}
