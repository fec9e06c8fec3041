//! Randomised encodings place each window at a sorted random subset of a long range of positions, in training and in
//! evaluation, so that no position of a longer text is new.
//!
//! positions: `length` distinct numbers below `range`, sorted, a new draw for each window.
//!
//! Paper: Ruoss et al. 2023, arXiv 2305.16843, section 3.
//!
//! Code: the authors draw once for a batch, and for rotations anew in each layer; here once for a window, the same in
//! all layers. Their relative variants draw distances instead of positions (a different scheme; the causal one raises
//! "not implemented") and are not offered.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::recipe::{Recipe, Sampler};
use crate::scheme::{Len, Scheme};
use crate::schemes::absolute::sinusoidal::Sinusoidal;
use crate::schemes::rotary::rope::Rope;
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of randomised encodings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Randomised {
    /// Which encoding reads the positions.
    pub over: Over,
    /// Positions are drawn from 0 to this, exclusive; no longer text can be served.
    #[schemars(range(min = 1))]
    pub range: usize,
    /// Base b of its frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
}

/// Encodings whose positions can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// Rotations.
    Rope,
    /// Sinusoids added to the embeddings.
    Sinusoidal,
}

impl Default for Randomised {
    fn default() -> Randomised {
        Randomised {
            over: Over::Rope,
            range: 2048,
            base: 10000.0,
        }
    }
}

impl Scheme for Randomised {
    const ID: &'static str = "randomised";
    const CARD: Card = Card {
        title: "Randomised positions",
        paper: Paper {
            authors: "Ruoss et al.",
            year: 2023,
            arxiv: "2305.16843",
            section: "3",
        },
        family: Family::Training,
        idea: "Place each window at a sorted random subset of a long range, so that no position of \
               a longer text is new.",
        formula: "positions: sorted sample without replacement from 0 … range-1",
        latex: r"p_1 < \dots < p_T,\quad \{p_t\} \sim U\binom{[0, R)}{T}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("range", self.range, "at least 1", self.range >= 1)?;
        self.rope().check()
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        if context_len.0 > self.range {
            let why = "positions are drawn without replacement from `range` places".into();
            return Err(PlanError::NotServed {
                asked: context_len.0,
                limit: self.range,
                why,
            });
        }
        match self.over {
            Over::Rope => self.rope().plan(model, context_len),
            Over::Sinusoidal => Sinusoidal {
                base: self.base,
                ..Sinusoidal::default()
            }
            .plan(model, context_len),
        }
    }

    fn recipe(&self, _model: &Geometry) -> Result<Recipe, PlanError> {
        Ok(Recipe {
            positions: Some(Sampler::Subset { range: self.range }),
            in_evaluation: true,
            ..Recipe::default()
        })
    }
}

impl Randomised {
    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            ..Rope::default()
        }
    }
}
