//! DroPE trains under RoPE, then drops the rotation, recalibrates at the trained length, and reads longer texts as NoPE.
//!
//! score = raw · λ
//!
//! Paper: Gelberg et al. 2025, arXiv 2512.12167, section 4.
//!
//! Code: cos = 1 and sin = 0 in every layer of a model trained under RoPE, then a short training at the original length
//! (2 of 16 billion tokens at learning rate 1e-3 for the paper's small model): give it a `finetune`. The softmax may be
//! sharpened at test time (`scale`).

use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of DroPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drope {
    /// Factor λ of all scores.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
}

impl Default for Drope {
    fn default() -> Drope {
        Drope { scale: 1.0 }
    }
}

impl Scheme for Drope {
    const ID: &'static str = "drope";
    const CARD: Card = Card {
        title: "DroPE",
        paper: Paper {
            authors: "Gelberg et al.",
            year: 2025,
            arxiv: "2512.12167",
            section: "4",
        },
        family: Family::None,
        idea: "Take the rotation away from a model trained under RoPE and recalibrate it briefly \
               at the trained length.",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let holds = self.scale > 0.0 && self.scale.is_finite();
        check("scale", self.scale, "above 0 and finite", holds)
    }

    fn plan(&self, _model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        Ok(Plan {
            softmax_scale: self.scale,
            ..Plan::default()
        })
    }
}
