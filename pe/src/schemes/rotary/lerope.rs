//! LeRoPE learns the frequencies of RoPE: training moves the logarithm of each from where RoPE has it.
//!
//! θ′_p = e^{α_p}·b^(−2p/d),  α = 0 before training
//!
//! Paper: arXiv 2607.10134 (2026), known from a transcription.
//!
//! One α per pair serves all layers and heads, as in the paper; `shared` gives each layer, or each key head of each
//! layer, its own, as AdaRoPE (arXiv 2607.19363) does, whose scale by length is not known. There is no weight decay on
//! it, as on no parameter of a scheme. Angles are computed in f64: the rounding of a frequency grows with the position.
//! Attention stays fused.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::tensor::rotation::Angles;
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of LeRoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeRope {
    /// Base b of the frequencies that training starts from.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// What learns the same frequencies.
    pub shared: Shared,
}

/// What shares a set of learned frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shared {
    /// All layers and heads.
    All,
    /// The heads of a layer.
    Layer,
    /// The queries that read one key head of a layer.
    KeyHead,
}

impl Default for LeRope {
    fn default() -> LeRope {
        LeRope {
            base: Rotary::DEFAULT.base,
            shared: Shared::All,
        }
    }
}

impl LeRope {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

const SHIFT: &str = "lerope.log_shift";

impl Scheme for LeRope {
    const ID: &'static str = "lerope";
    const CARD: Card = Card {
        title: "LeRoPE",
        paper: Paper {
            authors: "Authors not found",
            year: 2026,
            arxiv: "2607.10134",
            section: "abstract",
        },
        family: Family::Rotary,
        idea: "Learn the frequencies of the rotation, each as a shift of the logarithm of RoPE's.",
        formula: "θ_p = e^(α_p)·b^(-2p/d)",
        latex: r"\theta_p = e^{\alpha_p}\,b^{-2p/d}",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let dim = self.rotary().dim(model, 2)?;
        let sets = match self.shared {
            Shared::KeyHead => model.kv_heads,
            Shared::All | Shared::Layer => 1,
        };
        let shift = ParamSpec {
            name: SHIFT.into(),
            shape: vec![sets, dim / 2],
            init: Init::Constant(0.0),
            learned: true,
            per_layer: self.shared != Shared::All,
            clamp: None,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(Learned {
                base: self.base,
                dim,
            })],
            params: vec![shift],
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Learned {
    /// Base of the frequencies before training.
    base: f64,
    /// Channels that turn.
    dim: usize,
}

impl Hook for Learned {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        let (base, pairs) = (self.base, self.dim / 2);
        format!("learned frequencies of {pairs} pairs, from those of base {base}")
    }

    fn params(&self) -> Vec<String> {
        vec![SHIFT.into()]
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let shift = scope.param(SHIFT)?.to_dtype(DType::F64)?;
        let start = Tensor::from_vec(
            inv_freq(self.base, self.dim),
            (1, self.dim / 2),
            &shift.device(),
        )?;
        // (1, sets, pairs): one set serves all heads.
        let speeds = shift.exp()?.broadcast_mul(&start)?.unsqueeze(0)?;
        let for_queries = if speeds.dim(1)? == 1 {
            speeds.clone()
        } else {
            scope.repeated(&speeds)?
        };
        let dtype = qkv.q.dtype();
        let queries = Angles::learned(&scope.query_positions(), &for_queries, dtype)?;
        let keys = Angles::learned(&scope.key_positions(), &speeds, dtype)?;
        Ok(Qkv {
            q: queries.turn(&qkv.q)?,
            k: keys.turn(&qkv.k)?,
            v: qkv.v,
        })
    }
}
