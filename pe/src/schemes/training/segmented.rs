//! Segmented training cuts a window out of a longer text as pieces that keep their true positions.
//!
//! 1/α pieces of α·L tokens each, at random places of a text of `target` tokens; learned rows or rotations.
//!
//! Paper: "Extending context window by training on segmented sequences with absolute positional embeddings", Findings
//! of NAACL 2024, paper 191. Known here from a summary only: experimental.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::recipe::{Recipe, Sampler};
use crate::scheme::{Len, Scheme};
use crate::schemes::absolute::learned::Learned;
use crate::schemes::rotary::rope::Rope;
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of segmented training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Segmented {
    /// Which encoding reads the positions.
    pub over: Over,
    /// Length of the text that pieces are taken from, as a multiple of the trained length.
    #[schemars(range(min = 1))]
    pub stretch: f64,
    /// Length of a piece as a share α of the window.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub share: f64,
}

/// Encodings whose positions can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// A learned row for each position of the target.
    Learned,
    /// Rotations.
    Rope,
}

impl Default for Segmented {
    fn default() -> Segmented {
        Segmented {
            over: Over::Learned,
            stretch: 4.0,
            share: 0.25,
        }
    }
}

impl Scheme for Segmented {
    const ID: &'static str = "segmented";
    const CARD: Card = Card {
        title: "Segmented training",
        paper: Paper {
            authors: "Findings of NAACL 2024, paper 191",
            year: 2024,
            arxiv: "",
            section: "3",
        },
        family: Family::Training,
        idea: "Train on pieces of a longer text that keep their true positions, so that all \
               positions of the target are learned from short windows.",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let holds = self.stretch >= 1.0 && self.stretch <= 1e6;
        check("stretch", self.stretch, "1 to 1000000", holds)?;
        let holds = self.share > 0.0 && self.share <= 1.0;
        check("share", self.share, "above 0 and at most 1", holds)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        match self.over {
            Over::Rope => Rope::default().plan(model, context_len),
            Over::Learned => {
                let rows = Some(self.target(model));
                Learned {
                    rows,
                    ..Learned::default()
                }
                .plan(model, context_len)
            }
        }
    }

    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        let target = self.target(model);
        Ok(Recipe {
            positions: Some(Sampler::Pieces {
                target,
                share: self.share,
            }),
            ..Recipe::default()
        })
    }
}

impl Segmented {
    fn target(&self, model: &Geometry) -> usize {
        ((self.stretch * model.trained_length as f64).round() as usize).max(2)
    }
}
