//! RNoPE-SWA: layers with rotations see a sliding window, every n-th layer sees everything and has no positional
//! encoding.
//!
//! layer l (from 1): NoPE and full if l mod n = 0, else RoPE over the last `window` keys
//!
//! Paper: Yang et al. 2025, arXiv 2501.18795, section 4 (Cohere's Command A, "Cohere2" in Hugging Face).
//!
//! Code: Cohere2 pairs neighbouring channels, has n = 4 and a window of 4096; the window here follows the trained
//! length, of which Cohere's is a half.

use super::windowed;
use crate::angles::{PairingSchema, trained_length};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::rope::Rope;
use farspan_attention::plan::{Geometry, Pairing, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of RNoPE-SWA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RnopeSwa {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Every how many layers one is full and without positional encoding.
    #[schemars(range(min = 1))]
    pub interval: usize,
    /// Keys that the other layers see, the query's own included; half of the trained length unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub window: Option<usize>,
}

impl Default for RnopeSwa {
    fn default() -> RnopeSwa {
        RnopeSwa {
            base: 10000.0,
            pairing: Pairing::Interleaved,
            interval: 4,
            window: None,
        }
    }
}

impl Scheme for RnopeSwa {
    const ID: &'static str = "rnope-swa";
    const CARD: Card = Card {
        title: "RNoPE-SWA",
        paper: Paper {
            authors: "Yang et al.",
            year: 2025,
            arxiv: "2501.18795",
            section: "4",
        },
        family: Family::Layerwise,
        idea: "Rotations where attention is local, no positional encoding where it is full: three \
               layers of the one to one of the other.",
        formula: "layers n, 2n, …: full, NoPE; others: q - k < window, θ_p = b^(-2p/d)",
        latex: r"\theta_p = b^{-2p/d}\ \text{and}\ i - j < w\ \text{unless}\ l \bmod n = 0",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rope().check()?;
        check("interval", self.interval, "at least 1", self.interval >= 1)?;
        self.window.map_or(Ok(()), |window| {
            check("window", window, "at least 1", window >= 1)
        })
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
        if (layer + 1).is_multiple_of(self.interval) {
            return Ok(Plan::default());
        }
        let half = trained_length(None, model)?.div_ceil(2);
        Ok(Plan {
            score: windowed(self.window.unwrap_or(half)),
            ..rotated
        })
    }
}

impl RnopeSwa {
    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            pairing: self.pairing,
            ..Rope::default()
        }
    }
}
