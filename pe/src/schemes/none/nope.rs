//! NoPE has no positional encoding at all: the causal mask alone tells positions apart.
//!
//! score = raw
//!
//! Paper: Kazemnejad et al. 2023, arXiv 2305.19466, section 5; Haviv et al. 2022, arXiv 2203.16634.
//!
//! Code: nothing to differ in. It needs a causal mask and a first token that can be told from the others.

use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// NoPE has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nope {}

impl Scheme for Nope {
    const ID: &'static str = "nope";
    const CARD: Card = Card {
        title: "NoPE",
        paper: Paper {
            authors: "Kazemnejad et al.",
            year: 2023,
            arxiv: "2305.19466",
            section: "5",
        },
        family: Family::None,
        idea: "No positional encoding: the causal mask alone tells positions apart.",
        ..Card::BLANK
    };

    fn plan(&self, _model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        Ok(Plan::default())
    }
}
