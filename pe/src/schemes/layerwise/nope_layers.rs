//! RoPE in most layers and no positional encoding in every n-th, all with full attention.
//!
//! layer l (from 1): NoPE if l mod n = 0, else RoPE
//!
//! Paper: Yang et al. 2025, arXiv 2501.18795, section 3 (RNoPE), where the full-attention variant is a baseline.
//!
//! Code: SmolLM3 in Hugging Face, interval 4, base 5,000,000 in its released model; here the usual 10,000.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::rope::Rope;
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of NoPE layers among RoPE layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NopeLayers {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Every how many layers one has no positional encoding.
    #[schemars(range(min = 1))]
    pub interval: usize,
}

impl Default for NopeLayers {
    fn default() -> NopeLayers {
        NopeLayers {
            base: 10000.0,
            interval: 4,
        }
    }
}

impl Scheme for NopeLayers {
    const ID: &'static str = "nope-layers";
    const CARD: Card = Card {
        title: "NoPE layers (SmolLM3)",
        paper: Paper {
            authors: "Yang et al.",
            year: 2025,
            arxiv: "2501.18795",
            section: "3",
        },
        family: Family::Layerwise,
        idea: "Leave the rotation out of every n-th layer, so that some layers match by content \
               alone.",
        formula: "NoPE in layers n, 2n, …; θ_p = b^(-2p/d) in the others",
        latex: r"\theta_p = b^{-2p/d}\ \text{unless}\ l \bmod n = 0",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rope().check()?;
        check("interval", self.interval, "at least 1", self.interval >= 1)
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
        let rotated = self.rope().plan(model, context_len)?;
        let without = (layer + 1).is_multiple_of(self.interval);
        Ok(if without { Plan::default() } else { rotated })
    }
}

impl NopeLayers {
    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            ..Rope::default()
        }
    }
}
