//! Log-ALiBi lowers each score by the logarithm of the distance, with one learned slope per head.
//!
//! score = raw − slope_h · ln(1 + q − k)
//!
//! Paper: yours, with section. Code: where the authors' code departs from it.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{distance, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Log-ALiBi.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogAlibi {
    /// Slope of every head before training.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub slope: f64,
}

impl Default for LogAlibi {
    fn default() -> LogAlibi {
        LogAlibi { slope: 1.0 }
    }
}

impl Scheme for LogAlibi {
    const ID: &'static str = "log-alibi";
    const CARD: Card = Card {
        title: "Log-ALiBi",
        paper: Paper {
            authors: "You",
            year: 2026,
            arxiv: "",
            section: "3",
        },
        family: Family::Bias,
        idea: "Lower each score by the logarithm of the distance, with one learned slope per head.",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("slope", self.slope, "above 0", self.slope > 0.0)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        Ok(Plan {
            score: raw() - param("slope") * distance().log1p(),
            params: vec![ParamSpec {
                name: "slope".into(),
                shape: vec![model.heads],
                init: Init::Constant(self.slope),
                learned: true,
                per_layer: true,
                clamp: Some((0.0, f64::INFINITY)),
            }],
            ..Plan::default()
        })
    }
}
