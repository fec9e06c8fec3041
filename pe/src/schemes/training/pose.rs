//! PoSE fine-tunes an extension on short windows whose positions skip ahead, so that all distances up to the target are
//! seen without long texts.
//!
//! A window of c tokens stands at 0 … r−1 and u+r … u+c−1, with r ~ U{1 … ⌈c/2⌉} and u ~ U{0 … s·L − c}; its text has
//! a gap at r as well, drawn independently. Frequencies are those of an extension by s.
//!
//! Paper: Zhu et al. 2023, arXiv 2309.10400, section 3.2.
//!
//! Code: the authors' sampler as it stands; an earlier version also moved the first piece. Their YaRN blends
//! wavelengths ("revised YaRN"). Training at a multiple of the window needs no scheme of its own: a fine-tuning of any
//! other extension may set `positions = { skip = { target = … } }`.

use crate::angles::{PairingSchema, Rotary};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::recipe::{Recipe, Sampler};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::{ntk::Ntk, pi::Pi, yarn};
use farspan_attention::plan::{Geometry, Pairing, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of PoSE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pose {
    /// Base b of the frequencies; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair; the base scheme's unless set.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share of each head's channels that turn, from the first; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub partial: f64,
    /// Stretch s: the target is s times the trained length.
    #[schemars(range(min = 1))]
    pub factor: f64,
    /// Which extension gives the frequencies.
    pub method: Method,
}

/// Extensions that PoSE is published with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Position Interpolation.
    Linear,
    /// NTK-aware.
    Ntk,
    /// YaRN that blends wavelengths.
    Yarn,
}

impl Default for Pose {
    fn default() -> Pose {
        let Rotary {
            base,
            pairing,
            partial,
        } = Rotary::DEFAULT;
        Pose {
            base,
            pairing,
            partial,
            factor: 2.0,
            method: Method::Yarn,
        }
    }
}

impl Scheme for Pose {
    const ID: &'static str = "pose";
    const CARD: Card = Card {
        title: "PoSE",
        paper: Paper {
            authors: "Zhu et al.",
            year: 2023,
            arxiv: "2309.10400",
            section: "3.2",
        },
        family: Family::Training,
        idea: "Fine-tune an extension on short windows whose positions skip ahead, so that every \
               distance up to the target is seen.",
        formula: "positions 0 … r-1, u+r … u+c-1; r ~ U{1 … ⌈c/2⌉}, u ~ U{0 … sL-c}",
        latex: r"0,\dots,r-1,\ u+r,\dots,u+c-1;\quad r \sim U\{1..\lceil c/2\rceil\},\ u \sim U\{0..sL-c\}",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        match self.method {
            Method::Linear => self.linear().check(),
            Method::Ntk => self.ntk().check(),
            Method::Yarn => self.yarn().check(),
        }
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        match self.method {
            Method::Linear => self.linear().plan(model, context_len),
            Method::Ntk => self.ntk().plan(model, context_len),
            Method::Yarn => self.yarn().plan(model, context_len),
        }
    }

    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        let target = (self.factor * model.trained_length as f64).round() as usize;
        Ok(Recipe {
            positions: Some(Sampler::Skip {
                target: target.max(2),
            }),
            ..Recipe::default()
        })
    }
}

impl Pose {
    fn linear(&self) -> Pi {
        let &Pose {
            base,
            pairing,
            partial,
            factor,
            ..
        } = self;
        Pi {
            base,
            pairing,
            partial,
            factor,
            ..Pi::default()
        }
    }

    fn ntk(&self) -> Ntk {
        let &Pose {
            base,
            pairing,
            partial,
            factor,
            ..
        } = self;
        Ntk {
            base,
            pairing,
            partial,
            factor,
        }
    }

    fn yarn(&self) -> yarn::Yarn {
        let &Pose {
            base,
            pairing,
            partial,
            factor,
            ..
        } = self;
        let blend = yarn::Blend::Wavelengths;
        yarn::Yarn {
            base,
            pairing,
            partial,
            factor,
            blend,
            ..yarn::Yarn::default()
        }
    }
}
