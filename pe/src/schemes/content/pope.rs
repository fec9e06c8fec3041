//! PoPE keeps what a token says and where it stands apart: content sets magnitudes alone, positions set phases alone.
//!
//! μ = softplus(x);  score = Σ_c μ_q,c·μ_k,c·cos((i − j)·θ_c − β_{h,c}) / √d,  θ_c = b^(−c/d) for all d channels
//!
//! Paper: Gopalakrishnan et al. 2025, arXiv 2509.10534, section 3.
//!
//! Code: after a third-party implementation (lucidrains' PoPE-pytorch). The bias β is kept in [−2π, 0] and starts at 0;
//! `bias_init = "uniform"` draws it. As a product it is 2d channels wide, so it is computed by blocks of queries and
//! not fused. The bias belongs to the query head, which differs from one per key head only with grouped keys.

use crate::angles::Rotary;
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::tensor::rotation::{Angles, softplus};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Settings of PoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pope {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Where the learned phases β start.
    pub bias_init: BiasInit,
}

/// First values of the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BiasInit {
    /// All 0.
    Zero,
    /// Uniform in [−2π, 0).
    Uniform,
}

impl Default for Pope {
    fn default() -> Pope {
        Pope {
            base: Rotary::DEFAULT.base,
            bias_init: BiasInit::Zero,
        }
    }
}

impl Scheme for Pope {
    const ID: &'static str = "pope";
    const CARD: Card = Card {
        title: "PoPE",
        paper: Paper {
            authors: "Gopalakrishnan et al.",
            year: 2025,
            arxiv: "2509.10534",
            section: "3",
        },
        family: Family::Content,
        idea: "Let content set the magnitudes of polar coordinates alone and positions their \
               phases alone.",
        formula: "score = Σ_c softplus(q_c) softplus(k_c) cos((i - j) θ_c - β_c) / √d",
        latex: r"s_{ij} = \tfrac{1}{\sqrt d} \sum_c \mathrm{sp}(q_c)\,\mathrm{sp}(k_c) \cos((i - j)\theta_c - \beta_{h,c})",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        Rotary::of_base(self.base).check()
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let d = model.head_dim;
        let frequency = |c: usize| self.base.powf(-(c as f64) / d as f64);
        let inv_freq = (0..d).map(frequency).collect();
        Ok(Plan {
            hooks: vec![HookRef::new(Polar { inv_freq })],
            params: vec![ParamSpec {
                name: BIAS.into(),
                shape: vec![model.heads, d],
                init: match self.bias_init {
                    BiasInit::Zero => Init::Constant(0.0),
                    BiasInit::Uniform => Init::Uniform(-TAU, 0.0),
                },
                learned: true,
                per_layer: true,
                clamp: Some((-TAU, 0.0)),
            }],
            ..Plan::default()
        })
    }
}

const BIAS: &str = "pope.bias";

#[derive(Debug)]
struct Polar {
    inv_freq: Vec<f64>,
}

impl Hook for Polar {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("pope: polar product, frequencies {:?}", self.inv_freq)
    }

    fn params(&self) -> Vec<String> {
        vec![BIAS.into()]
    }

    fn scores(&self, scope: &Scope<'_>, _scores: &Tensor) -> Result<Tensor> {
        let at = |positions: &[f64]| Angles::fixed(scope, positions, &self.inv_freq);
        let q = softplus(&scope.of_queries(&scope.qkv.q)?)?;
        let k = softplus(&scope.repeated(&scope.of_keys(&scope.qkv.k)?)?)?;
        let q = at(&scope.query_positions())?.polar(&q)?;
        let k = at(&scope.key_positions())?.polar(&k)?;
        // The polar vector (x, y) of a key turned by β is (x cos β − y sin β, x sin β + y cos β).
        let (heads, channels) = scope.param(BIAS)?.dims2()?;
        let bias = scope.param(BIAS)?.reshape((1, heads, 1, channels))?;
        let k = Angles::new(&bias, k.dtype())?.turn(&k)?;
        let product = q.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        product.affine(scope.prepared.scale(), 0.0)
    }
}
