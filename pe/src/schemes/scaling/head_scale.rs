//! HeadScale gives each head of a trained NoPE model a learned sharpness, to be fine-tuned at the target length.
//!
//! score = raw · λ_h, λ_h ≥ 1
//!
//! Paper: Wang et al. 2024, arXiv 2404.12224, section 4.
//!
//! Code: one λ per layer and head, from 1.6 (for 8 000 tokens, trained with 2048) or 1.7 (for 16 000), put back to at least 1
//! after every step (`minimum`). The authors freeze everything else and take a learning rate of 0.1 for 200 steps; that
//! is a matter of the fine-tuning, not of the plan.

use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::param;
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of HeadScale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeadScale {
    /// Factor λ of every head before training; at least `minimum`.
    #[schemars(range(min = 0))]
    pub scale: f64,
    /// Smallest factor that training may reach.
    #[schemars(range(min = 0))]
    pub minimum: f64,
}

impl Default for HeadScale {
    fn default() -> HeadScale {
        HeadScale {
            scale: 1.6,
            minimum: 1.0,
        }
    }
}

impl Scheme for HeadScale {
    const ID: &'static str = "head-scale";
    const CARD: Card = Card {
        title: "HeadScale",
        paper: Paper {
            authors: "Wang et al.",
            year: 2024,
            arxiv: "2404.12224",
            section: "4",
        },
        family: Family::Scaling,
        idea: "Give each attention head of a trained NoPE model a learned sharpness of at least 1.",
        formula: "factor of head h: λ[h] >= 1",
        latex: r"\lambda_h \ge 1",
        needs: Needs::Base(Family::None),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let least = |key, x: f64| check(key, x, "at least 0 and finite", x >= 0.0 && x.is_finite());
        least("scale", self.scale)?;
        least("minimum", self.minimum)?;
        let rule = format!("at most scale = {}", self.scale);
        check("minimum", self.minimum, &rule, self.minimum <= self.scale)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        Ok(Plan {
            query_scale: Some(param("scale")),
            params: vec![ParamSpec {
                name: "scale".into(),
                shape: vec![model.heads],
                init: Init::Constant(self.scale),
                learned: true,
                per_layer: true,
                clamp: Some((self.minimum, f64::INFINITY)),
            }],
            ..Plan::default()
        })
    }
}
