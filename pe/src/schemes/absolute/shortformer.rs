//! Position-infused attention adds sinusoids to what queries and keys are made from in every layer, not to the stream.
//!
//! q_i = W_q·(x_i + PE(i)),  k_j = W_k·(x_j + PE(j)),  v_j = W_v·x_j,  x the layer's input after its norm
//!
//! Paper: Press et al. 2020, arXiv 2012.15832 (Shortformer), section 5.1.
//!
//! Code: the authors add fairseq's sinusoids, all sines first, in pre-norm layers after the norm. Values and outputs
//! know no positions, so that the layer inputs of earlier windows can be cached and put at new positions; that cache is
//! not part of this scheme. The paper's other half, training with short windows first, is the scheme `staged`.

use super::sinusoidal::{Convention, Sinusoidal};
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of position-infused attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shortformer {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Order of channels and spacing of frequencies.
    pub convention: Convention,
    /// Multiplies the sinusoid.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
}

impl Default for Shortformer {
    fn default() -> Shortformer {
        Shortformer {
            base: 10000.0,
            convention: Convention::Tensor2tensor,
            scale: 1.0,
        }
    }
}

impl Shortformer {
    fn sinusoid(&self) -> Sinusoidal {
        Sinusoidal {
            base: self.base,
            convention: self.convention,
            scale: self.scale,
        }
    }
}

impl Scheme for Shortformer {
    const ID: &'static str = "shortformer";
    const CARD: Card = Card {
        title: "Position-infused attention (Shortformer)",
        paper: Paper {
            authors: "Press et al.",
            year: 2020,
            arxiv: "2012.15832",
            section: "5.1",
        },
        family: Family::Absolute,
        idea: "Add sinusoids to what queries and keys are made from in every layer, and leave \
               values and the stream without positions.",
        formula: "q_i = W_q (x_i + PE(i)), k_j = W_k (x_j + PE(j)), v_j = W_v x_j",
        latex: concat!(
            r"q_i = W_q (x_i + \mathrm{PE}(i)),\quad k_j = W_k (x_j + \mathrm{PE}(j)),",
            r"\quad v_j = W_v x_j"
        ),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        Scheme::check(&self.sinusoid())
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        Ok(Plan {
            infused: true,
            ..Scheme::plan(&self.sinusoid(), model, context_len)?
        })
    }
}
