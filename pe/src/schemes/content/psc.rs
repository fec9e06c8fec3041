//! PSC lets a small network per head rescale the channels of q and k before they are turned, to make up for
//! frequencies that an extension fixed beforehand.
//!
//! x′ = x ⊙ (1 + ½·tanh(SiLU(x·U_h)·D_h)), for q and k apart, U_h and D_h of each head [head_dim, head_dim]
//!
//! Paper: Zhu et al. 2024 (EMNLP), arXiv 2505.12423, section 3.
//!
//! Code: U starts at zero, so that training starts at the extension itself, D uniformly in ±1/head_dim. The authors
//! train both together with LoRA of rank 8 on top of Position Interpolation or YaRN (`under`); here all weights
//! are fine-tuned. Attention stays fused.

use crate::angles::{PairingSchema, Rotary};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::{pi::Pi, yarn::Yarn};
use crate::tensor::ops::learned;
use crate::tensor::rotation::by_head;
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Pairing, Plan};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of PSC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Psc {
    /// Base b of the frequencies; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair; the base scheme's unless set.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share of each head's channels that turn, from the first; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub partial: f64,
    /// The extension that is calibrated.
    pub under: Under,
    /// Stretch s of that extension.
    #[schemars(range(min = 1))]
    pub factor: f64,
}

/// What PSC calibrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Under {
    /// Position Interpolation.
    Pi,
    /// YaRN with its defaults.
    Yarn,
}

impl Default for Psc {
    fn default() -> Psc {
        let Rotary {
            base,
            pairing,
            partial,
        } = Rotary::DEFAULT;
        Psc {
            base,
            pairing,
            partial,
            under: Under::Yarn,
            factor: 2.0,
        }
    }
}

impl Psc {
    fn pi(&self) -> Pi {
        Pi {
            base: self.base,
            pairing: self.pairing,
            partial: self.partial,
            factor: self.factor,
            ..Pi::default()
        }
    }

    fn yarn(&self) -> Yarn {
        Yarn {
            base: self.base,
            pairing: self.pairing,
            partial: self.partial,
            factor: self.factor,
            ..Yarn::default()
        }
    }
}

impl Scheme for Psc {
    const ID: &'static str = "psc";
    const CARD: Card = Card {
        title: "PSC",
        paper: Paper {
            authors: "Zhu et al.",
            year: 2024,
            arxiv: "2505.12423",
            section: "3",
        },
        family: Family::Content,
        idea: "Let a small network per head rescale the channels of q and k before an extension's \
               rotation, to calibrate its frequencies.",
        formula: "x' = x * (1 + tanh(SiLU(x U) D) / 2)",
        latex: r"x' = x \odot \left(1 + \tfrac{1}{2}\tanh(\mathrm{SiLU}(x U)\, D)\right)",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        match self.under {
            Under::Pi => self.pi().check(),
            Under::Yarn => self.yarn().check(),
        }
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        let extension = match self.under {
            Under::Pi => self.pi().plan(model, context_len)?,
            Under::Yarn => self.yarn().plan(model, context_len)?,
        };
        let mut params = Vec::new();
        for (side, heads) in [("q", model.heads), ("k", model.kv_heads)] {
            let bound = 1.0 / model.head_dim as f64;
            let spec = |part: &str, init| {
                let shape = [heads, model.head_dim, model.head_dim];
                learned(&format!("psc.{side}.{part}"), &shape, init)
            };
            params.push(spec("up", Init::Constant(0.0)));
            params.push(spec("down", Init::Uniform(-bound, bound)));
        }
        Ok(Plan {
            hooks: vec![HookRef::new(Calibration)],
            params,
            ..extension
        })
    }
}

#[derive(Debug)]
struct Calibration;

impl Calibration {
    /// `x` (batch, heads, tokens, head_dim), calibrated by the networks of `side`.
    fn of(scope: &Scope<'_>, side: &str, x: &Tensor) -> Result<Tensor> {
        let part = |part: &str| scope.param(&format!("psc.{side}.{part}"));
        let hidden = by_head(x, &part("up")?)?.silu()?;
        let factor = by_head(&hidden, &part("down")?)?.tanh()?.affine(0.5, 1.0)?;
        x.mul(&factor)
    }
}

impl Hook for Calibration {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        "psc: q and k times 1 + tanh(SiLU(x U) D) / 2".into()
    }

    fn params(&self) -> Vec<String> {
        let side = |side| ["up", "down"].map(|part| format!("psc.{side}.{part}"));
        ["q", "k"].map(side).concat()
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        Ok(Qkv {
            q: Calibration::of(scope, "q", &qkv.q)?,
            k: Calibration::of(scope, "k", &qkv.k)?,
            v: qkv.v,
        })
    }
}
