//! CREAM fine-tunes Position Interpolation on short windows of three pieces, the middle one drawn so that the middle of
//! the target is seen more often.
//!
//! A window stands at 0 … h−1, then at consecutive positions that end at e, then at the last h of s·L. h is a third of
//! the window or 4·s, e ~ U{⌊h + (m−1)·ρ/2⌋ … ρ·L/2 − h − 1} for a middle of m tokens, and ρ is drawn from N(9, 3) cut
//! off at 2 and 2·s and rounded down. θ′_p = θ_p / s.
//!
//! Paper: Wu et al. 2024, arXiv 2406.07138, section 3.
//!
//! Code: the authors' numbers 9 and 3 are tuned to s = 8 and stay as they are; they toss the coin for h once for a batch
//! of the preprocessing, here it is tossed for each window.

use crate::angles::{PairingSchema, Rotary};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::recipe::{Recipe, Sampler};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::pi::Pi;
use farspan_attention::plan::{Geometry, Pairing, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of CREAM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cream {
    /// Base b of the frequencies; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair; the base scheme's unless set.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share of each head's channels that turn, from the first; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub partial: f64,
    /// Stretch s, a whole number.
    #[schemars(range(min = 2))]
    pub factor: usize,
}

impl Default for Cream {
    fn default() -> Cream {
        let Rotary {
            base,
            pairing,
            partial,
        } = Rotary::DEFAULT;
        Cream {
            base,
            pairing,
            partial,
            factor: 8,
        }
    }
}

impl Scheme for Cream {
    const ID: &'static str = "cream";
    const CARD: Card = Card {
        title: "CREAM",
        paper: Paper {
            authors: "Wu et al.",
            year: 2024,
            arxiv: "2406.07138",
            section: "3",
        },
        family: Family::Training,
        idea: "Fine-tune Position Interpolation on windows of a head, a middle and a tail, drawing \
               the middle's place around the centre of the target.",
        formula: "θ_p = b^(-2p/d) / s; positions head, middle ending at e, tail",
        latex: r"\theta_p = b^{-2p/d} / s",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("factor", self.factor, "at least 2", self.factor >= 2)?;
        self.linear().check()
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        self.linear().plan(model, context_len)
    }

    fn recipe(&self, _model: &Geometry) -> Result<Recipe, PlanError> {
        Ok(Recipe {
            positions: Some(Sampler::Middle {
                factor: self.factor,
            }),
            ..Recipe::default()
        })
    }
}

impl Cream {
    fn linear(&self) -> Pi {
        let &Cream {
            base,
            pairing,
            partial,
            factor,
        } = self;
        Pi {
            base,
            pairing,
            partial,
            factor: factor as f64,
            ..Pi::default()
        }
    }
}
