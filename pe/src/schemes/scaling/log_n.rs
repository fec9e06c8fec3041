//! Log-n scaling sharpens attention with the logarithm of how many tokens there are to choose from.
//!
//! score = raw · ln(i + 1)/ln L for the query at position i;  `clamped`: raw · max(1, ln(i + 1)/ln L)
//!
//! Paper: Su 2021, kexue.fm/archives/8823; Chiang & Cholak 2022, arXiv 2202.12172, section 5.3.
//!
//! Code: both forms are in use; the clamped one, which leaves the trained range as it was, in ReRoPE's and BiPE's. The
//! default multiplies at every position, as the derivation from constant entropy does: the first query then has factor
//! 0, which is harmless, for it sees one key.

use crate::angles::trained_length;
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::schemes::none::nope_or_rope;
use farspan_attention::expr::{Expr, Unary, number};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of log-n scaling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogN {
    /// Never scale by less than 1, so that the trained range stays as it was.
    pub clamped: bool,
    /// Length L at which the factor is 1, if not the model's trained length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub trained_length: Option<usize>,
    /// Turn queries and keys by RoPE with this base. Left out: no positional encoding below.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rope_base: Option<f64>,
}

impl Scheme for LogN {
    const ID: &'static str = "log-n";
    const CARD: Card = Card {
        title: "log-n scaling",
        paper: Paper {
            authors: "Su; Chiang & Cholak",
            year: 2022,
            arxiv: "2202.12172",
            section: "5.3",
        },
        family: Family::Scaling,
        idea: "Multiply the scores of a query by the logarithm of its position, so that attention \
               stays as sharp however many keys there are.",
        formula: "factor of the query at q: ln(q+1)/ln L",
        latex: r"\lambda_i = \ln(i+1) / \ln L",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 2", length >= 2)
        })?;
        nope_or_rope::check(self.rope_base)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let factor = factor(trained_length(self.trained_length, model)?)?;
        Ok(Plan {
            query_scale: Some(if self.clamped {
                number(1.0).max(factor)
            } else {
                factor
            }),
            ..nope_or_rope::plan(self.rope_base, model)?
        })
    }
}

/// ln(q + 1)/ln L
pub(in crate::schemes) fn factor(trained: usize) -> Result<Expr, PlanError> {
    check_model(
        "trained_length",
        trained,
        "at least 2, for log-n divides by its logarithm",
        trained >= 2,
    )?;
    Ok(visible().unary(Unary::Ln) / (trained as f64).ln())
}

/// Keys that the query sees under a causal mask, q + 1.
pub(super) fn visible() -> Expr {
    Expr::Query + 1.0
}
