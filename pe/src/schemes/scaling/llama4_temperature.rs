//! Llama 4's temperature sharpens attention in steps as the position grows.
//!
//! score = raw · (1 + a·ln(1 + ⌊(i + 1)/F⌋)) for the query at position i
//!
//! Source: Meta AI 2025, Llama 4, "attention temperature tuning" (`attn_scale` a = 0.1, `floor_scale` F = 8192); after
//! Nakanishi 2025, arXiv 2501.19399.
//!
//! Code: the released model applies it to its layers without rotation only; here all layers are such, unless
//! `rope_base` turns them all.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::none::nope_or_rope;
use farspan_attention::expr::{Unary, number};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Llama 4's temperature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Llama4Temperature {
    /// Strength a ("attn_scale").
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
    /// Tokens to a step, F ("floor_scale").
    #[schemars(range(min = 1))]
    pub floor: usize,
    /// Turn queries and keys by RoPE with this base. Left out: no positional encoding below.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rope_base: Option<f64>,
}

impl Default for Llama4Temperature {
    fn default() -> Llama4Temperature {
        Llama4Temperature {
            scale: 0.1,
            floor: 8192,
            rope_base: None,
        }
    }
}

impl Scheme for Llama4Temperature {
    const ID: &'static str = "llama4-temperature";
    const CARD: Card = Card {
        title: "Llama 4 temperature",
        paper: Paper {
            authors: "Meta AI (Llama 4 code)",
            year: 2025,
            arxiv: "",
            section: "attention temperature tuning",
        },
        family: Family::Scaling,
        idea: "Sharpen attention by a factor that grows in steps with the logarithm of the \
               position.",
        formula: "factor of the query at q: 1 + a·ln(1 + ⌊(q+1)/F⌋)",
        latex: r"\lambda_i = 1 + a \ln(1 + \lfloor (i+1)/F \rfloor)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let holds = self.scale > 0.0 && self.scale.is_finite();
        check("scale", self.scale, "above 0 and finite", holds)?;
        check("floor", self.floor, "at least 1", self.floor >= 1)?;
        nope_or_rope::check(self.rope_base)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let steps = (super::log_n::visible() / self.floor as f64).unary(Unary::Floor);
        Ok(Plan {
            query_scale: Some(number(1.0) + steps.log1p() * self.scale),
            ..nope_or_rope::plan(self.rope_base, model)?
        })
    }
}
