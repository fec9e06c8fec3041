//! Position Interpolation of a bias: distances are divided by the stretch, so that the longest text sees the distances
//! that the shortest was trained with. Over ALiBi all slopes are divided by it.
//!
//! score = raw + bias_h((i − j)/s), for ALiBi raw − (m_h/s)·(i − j);  `dynamic`: s = max(1, T/L) for T tokens
//!
//! Paper: Al-Khateeb et al. 2023, arXiv 2310.13017, section 3, for ALiBi.
//!
//! Over any bias that is added to the scores: one with buckets (T5) or a table reads the row below, FIRE's threshold
//! stretches with the distances. What multiplies scores (weighted KERPLE, BAM with its scale) is refused.

use super::{additive, stretched};
use crate::angles::trained_length;
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::over::Over;
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::pi::{check_stretch, check_trained_length};
use farspan_attention::expr::{number, raw};
use farspan_attention::plan::{Cache, Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Position Interpolation of a bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiBias {
    /// The bias that is stretched, with its settings; the base's unless set.
    #[schemars(extend("examples" = [{ "t5": {} }, { "fire": {} }]))]
    pub over: Over,
    /// Stretch s.
    #[schemars(range(min = 1))]
    pub factor: f64,
    /// Whether s is that of the text, T/L where that is above 1; `factor` must then be left out.
    pub dynamic: bool,
    /// Length L that the weights were trained with, if not the model's; read if `dynamic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub trained_length: Option<usize>,
}

impl Default for PiBias {
    fn default() -> PiBias {
        PiBias {
            over: Over::new("alibi"),
            factor: 2.0,
            dynamic: false,
            trained_length: None,
        }
    }
}

impl Scheme for PiBias {
    const ID: &'static str = "pi-bias";
    const CARD: Card = Card {
        title: "PI-ALiBi (interpolation of a bias)",
        paper: Paper {
            authors: "Al-Khateeb et al.",
            year: 2023,
            arxiv: "2310.13017",
            section: "3",
        },
        family: Family::Bias,
        idea: "Divide the distances that a trained bias sees by the stretch; for ALiBi, all slopes.",
        formula: "bias'[h](r) = bias[h](r/s)",
        latex: r"b'_h(r) = b_h(r/s)",
        needs: Needs::Base(Family::Bias),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.over.scheme(Family::Bias)?;
        check_stretch(self.factor, self.dynamic, PiBias::default().factor)?;
        check_trained_length(self.trained_length)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let (base, bias) = additive(&self.over, model, context_len)?;
        let trained = trained_length(self.trained_length, model)?;
        let stretch = if self.dynamic {
            (context_len.0 as f64 / trained as f64).max(1.0)
        } else {
            self.factor
        };
        Ok(Plan {
            score: raw() + stretched(&bias, &number(stretch)),
            // What the score is made of follows the text.
            cache: if self.dynamic {
                Cache::Unrotated
            } else {
                base.cache
            },
            ..base
        })
    }
}
