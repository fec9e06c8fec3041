//! SWAN: a full layer without positional encoding, then three that rotate within a sliding window, and so on; past the
//! trained length the full layers' scores grow with the logarithm of the position.
//!
//! layer l (from 0): NoPE and full if l mod n = 0, its scores times log_a(a + i); else RoPE over the last `window` keys
//!
//! Paper: Puvvada et al. 2025, arXiv 2504.08719, sections 2 and 4.
//!
//! The base a of the logarithm is fitted on long texts; its published value could not be confirmed, hence experimental.
//! `log_base` leaves it out unless set.

use super::windowed;
use crate::angles::trained_length;
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::rope::Rope;
use farspan_attention::expr::{Expr, Unary, number};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of SWAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Swan {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Every how many layers, from the first, one is full and without positional encoding.
    #[schemars(range(min = 1))]
    pub interval: usize,
    /// Keys that the other layers see, the query's own included; half of the trained length unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub window: Option<usize>,
    /// Base a of the logarithm that the full layers' scores grow with; none unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub log_base: Option<f64>,
}

impl Default for Swan {
    fn default() -> Swan {
        Swan {
            base: 1e6,
            interval: 4,
            window: None,
            log_base: None,
        }
    }
}

impl Scheme for Swan {
    const ID: &'static str = "swan";
    const CARD: Card = Card {
        title: "SWAN",
        paper: Paper {
            authors: "Puvvada et al.",
            year: 2025,
            arxiv: "2504.08719",
            section: "2",
        },
        family: Family::Layerwise,
        idea: "Interleave full layers without positions and sliding windows with rotations, and \
               sharpen the full ones as the text grows.",
        formula: "layers 0, n, …: full, NoPE, score·ln(a+i)/ln a; others: q - k < window, θ_p = b^(-2p/d)",
        latex: r"s_{ij} \log_a(a+i)\ \text{if}\ l \bmod n = 0",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rope().check()?;
        check("interval", self.interval, "at least 1", self.interval >= 1)?;
        self.window.map_or(Ok(()), |window| {
            check("window", window, "at least 1", window >= 1)
        })?;
        let holds = |a: f64| a > 1.0 && a.is_finite();
        self.log_base.map_or(Ok(()), |a| {
            check("log_base", a, "above 1 and finite", holds(a))
        })
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.layer_plan(model, context_len, 0)
    }

    fn layer_plan(
        &self,
        model: &Geometry,
        context_len: Len,
        layer: usize,
    ) -> Result<Plan, PlanError> {
        self.check()?;
        let half = trained_length(None, model)?.div_ceil(2);
        if layer.is_multiple_of(self.interval) {
            let growth = |a: f64| (number(a) + Expr::Query).unary(Unary::Ln) / a.ln();
            return Ok(Plan {
                query_scale: self.log_base.map(growth),
                ..Plan::default()
            });
        }
        Ok(Plan {
            score: windowed(self.window.unwrap_or(half)),
            ..self.rope().plan(model, context_len)?
        })
    }
}

impl Swan {
    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            ..Rope::default()
        }
    }
}
