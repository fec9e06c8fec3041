//! UniformScale sharpens the attention of a trained NoPE model by one factor for all heads and layers.
//!
//! score = raw · λ;  or, with `slope` a, raw · (1 + a·ln(max(1, i/L))) for the query at position i
//!
//! Paper: Wang et al. 2024, arXiv 2404.12224, section 3.
//!
//! Code: the scripts take λ ≈ 1.2 for twice the trained length and 1.6 to 1.8 for 8 000 to 18 000 tokens of a model trained
//! with 2048; the best λ grows with length, and the notebook fits a to it. The fitted value was not published.

use crate::angles::trained_length;
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, Unary, number};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of UniformScale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UniformScale {
    /// Factor λ of all scores. Leave it out beside `slope`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
    /// Let the factor grow with the position past the trained length, 1 + a·ln(i/L), instead of `scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub slope: Option<f64>,
    /// Length L that the weights were trained with, if not the model's; only read beside `slope`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub trained_length: Option<usize>,
}

impl Default for UniformScale {
    fn default() -> UniformScale {
        UniformScale {
            scale: 1.2,
            slope: None,
            trained_length: None,
        }
    }
}

impl Scheme for UniformScale {
    const ID: &'static str = "uniform-scale";
    const CARD: Card = Card {
        title: "UniformScale",
        paper: Paper {
            authors: "Wang et al.",
            year: 2024,
            arxiv: "2404.12224",
            section: "3",
        },
        family: Family::Scaling,
        idea: "Sharpen the attention of a trained NoPE model by one factor for all heads.",
        formula: "factor: λ, or 1 + a·ln(max(1, q/L))",
        latex: r"\lambda,\quad \text{or}\quad \lambda_i = 1 + a \ln \max(1,\ i/L)",
        needs: Needs::Base(Family::None),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let positive = |key, x: f64| check(key, x, "above 0 and finite", x > 0.0 && x.is_finite());
        positive("scale", self.scale)?;
        self.slope
            .map_or(Ok(()), |slope| positive("slope", slope))?;
        let rule = "left out beside slope, which gives the factor";
        let left_out = self.slope.is_none() || self.scale == UniformScale::default().scale;
        check("scale", self.scale, rule, left_out)?;
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 1", length >= 1)
        })
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let Some(slope) = self.slope else {
            return Ok(Plan {
                softmax_scale: self.scale,
                ..Plan::default()
            });
        };
        let trained = trained_length(self.trained_length, model)? as f64;
        let past = number(1.0).max(Expr::Query / trained).unary(Unary::Ln);
        Ok(Plan {
            query_scale: Some(number(1.0) + past * slope),
            ..Plan::default()
        })
    }
}
