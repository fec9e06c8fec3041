//! Staged training starts with short windows and goes on with long ones.
//!
//! windows of `first` · L for the first `until` of the steps, then of L; the tokens of a step stay the same.
//!
//! Paper: Press et al. 2020, "Shortformer", arXiv 2012.15832, section 4.
//!
//! Code: the released run trains 140,100 of 286,000 updates at 128 of 512 tokens: the defaults. It uses sinusoids added
//! to q and k of every layer; the stages themselves are independent of the encoding.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::recipe::{LengthStage, Recipe};
use crate::scheme::{Len, Scheme};
use crate::schemes::absolute::sinusoidal::Sinusoidal;
use crate::schemes::bias::alibi::Alibi;
use crate::schemes::rotary::rope::Rope;
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of staged training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Staged {
    /// Which encoding is trained in stages.
    pub over: Over,
    /// Share of the steps that the first stage takes.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub until: f64,
    /// Length of its windows as a share of the trained length.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub first: f64,
}

/// Encodings that can be trained in stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// Sinusoids added to the embeddings.
    Sinusoidal,
    /// Rotations.
    Rope,
    /// Linear biases.
    Alibi,
}

impl Default for Staged {
    fn default() -> Staged {
        Staged {
            over: Over::Sinusoidal,
            until: 0.49,
            first: 0.25,
        }
    }
}

impl Scheme for Staged {
    const ID: &'static str = "staged";
    const CARD: Card = Card {
        title: "Staged training",
        paper: Paper {
            authors: "Press et al.",
            year: 2020,
            arxiv: "2012.15832",
            section: "4",
        },
        family: Family::Training,
        idea: "Train on short windows first and on full ones later, with as many tokens in each \
               step.",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let holds = self.until > 0.0 && self.until < 1.0;
        check("until", self.until, "above 0 and below 1", holds)?;
        let holds = self.first > 0.0 && self.first <= 1.0;
        check("first", self.first, "above 0 and at most 1", holds)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        match self.over {
            Over::Sinusoidal => Sinusoidal::default().plan(model, context_len),
            Over::Rope => Rope::default().plan(model, context_len),
            Over::Alibi => Alibi::default().plan(model, context_len),
        }
    }

    fn recipe(&self, _model: &Geometry) -> Result<Recipe, PlanError> {
        let stages = vec![
            LengthStage {
                until: self.until,
                length: self.first,
            },
            LengthStage {
                until: 1.0,
                length: 1.0,
            },
        ];
        Ok(Recipe {
            stages,
            ..Recipe::default()
        })
    }
}
