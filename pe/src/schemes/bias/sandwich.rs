//! Sandwich's bias is the inner product of two sinusoidal embeddings, as it depends on their distance.
//!
//! score = raw + (Σ_{m=1}^{D/2} cos((q − k)/b^(2m/D)) − D/2) · H/(8h) for the heads h = 1 … H
//!
//! Paper: Chi et al. 2022, arXiv 2212.10356, section 3.
//!
//! Code: this is NVIDIA NeMo's form (`form = "centred"`), which subtracts the value at distance 0 and so changes no
//! softmax by it. The paper's listing counts m from 0 to D/2 − 1 and subtracts nothing (`form = "paper"`). D = 128
//! (`channels`) and the 8 (`strength`) are the paper's as others report them. Head 1 has the strongest bias.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{distance, param, raw, shared_lookup};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Sandwich.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sandwich {
    /// Channels D of the embeddings whose inner product is taken; even.
    #[schemars(range(min = 2), extend("multipleOf" = 2))]
    pub channels: usize,
    /// Base b of their frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// The bias of head h is divided by this times h/H.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub strength: f64,
    /// Which sum.
    pub form: Form,
}

/// Which sum of cosines Sandwich takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// m = 1 … D/2, less the value at distance 0: NeMo.
    Centred,
    /// m = 0 … D/2 − 1: the paper's listing.
    Paper,
}

impl Default for Sandwich {
    fn default() -> Sandwich {
        Sandwich {
            channels: 128,
            base: 10000.0,
            strength: 8.0,
            form: Form::Centred,
        }
    }
}

impl Scheme for Sandwich {
    const ID: &'static str = "sandwich";
    const CARD: Card = Card {
        title: "Sandwich",
        paper: Paper {
            authors: "Chi et al.",
            year: 2022,
            arxiv: "2212.10356",
            section: "3",
        },
        family: Family::Bias,
        idea: "Add the inner product of sinusoidal embeddings as a bias without parameters.",
        formula: "cosines[r] = Σ_{m=1}^{D/2} cos(r/b^(2m/D)) - D/2\nweight[h] = H/(8h), h = 1 … H",
        latex: concat!(
            r"\mathrm{cosines}(r) = \sum_{m=1}^{D/2} \cos(r\,b^{-2m/D}) - D/2,\quad ",
            r"\mathrm{weight}_h = H/(8h)"
        ),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let even = self.channels >= 2 && self.channels.is_multiple_of(2);
        check("channels", self.channels, "even and at least 2", even)?;
        let base = self.base > 1.0 && self.base.is_finite();
        check("base", self.base, "above 1 and finite", base)?;
        let strength = self.strength > 0.0 && self.strength.is_finite();
        check("strength", self.strength, "above 0 and finite", strength)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let weight = |head| model.heads as f64 / (self.strength * head as f64);
        let constant = |name: &str, values: Vec<f64>| ParamSpec {
            name: name.into(),
            shape: vec![values.len()],
            init: Init::Values(values),
            learned: false,
            per_layer: false,
            clamp: None,
        };
        Ok(Plan {
            score: raw() + param("weight") * shared_lookup("cosines", distance()),
            params: vec![
                constant("weight", (1..=model.heads).map(weight).collect()),
                constant("cosines", self.cosines(context_len.0)),
            ],
            ..Plan::default()
        })
    }
}

impl Sandwich {
    /// One value per distance below `length`, and one if that is 0.
    fn cosines(&self, length: usize) -> Vec<f64> {
        let pairs = self.channels / 2;
        let (first, less) = match self.form {
            Form::Centred => (1, pairs as f64),
            Form::Paper => (0, 0.0),
        };
        let inv_freq: Vec<f64> = (first..first + pairs)
            .map(|m| self.base.powf(-2.0 * m as f64 / self.channels as f64))
            .collect();
        let at = |r: usize| -> f64 { inv_freq.iter().map(|theta| (r as f64 * theta).cos()).sum() };
        (0..length.max(1)).map(|r| at(r) - less).collect()
    }
}
