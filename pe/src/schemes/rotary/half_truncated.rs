//! Half-truncated RoPE turns half of the pairs, from one radian per token down to 1/1024, and leaves the others still; those
//! can be taken from the token before, so that a query finds what followed something in one layer.
//!
//! θ_p = s^(p/(d/4 − 1)) for the first d/4 pairs (2p, 2p + 1), 0 for the others, s = 1/1024;
//! `shift_keys`: the still channels, the second half, of k_t are those of k_{t−1}, of the first token its own
//!
//! Source: modded-nanogpt (Jordan et al. 2024 and contributors), `train_gpt.py`: class `Yarn`, `key_offset`.
//!
//! Code: keys are shifted in the layers whose window is long; here all layers see the whole text and all shift. Windows
//! that grow while training, and the frequencies and temperature that follow them, are the trainer's. Turns run
//! clockwise there, opposite to RoPE: the same model for weights that give every second channel the other sign.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::rotation::{after, whole_text};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Pairing, Plan, QkRotation};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of half-truncated RoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HalfTruncated {
    /// Frequency s of the slowest pair that turns, in radians per token.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub slowest: f64,
    /// Whether the still channels of a key are those of the token before.
    pub shift_keys: bool,
}

impl Default for HalfTruncated {
    fn default() -> HalfTruncated {
        HalfTruncated {
            slowest: 1.0 / 1024.0,
            shift_keys: true,
        }
    }
}

impl Scheme for HalfTruncated {
    const ID: &'static str = "half-truncated-rope";
    const CARD: Card = Card {
        title: "Half-truncated RoPE with shifted keys",
        paper: Paper {
            authors: "Jordan et al.",
            year: 2024,
            arxiv: "",
            section: "modded-nanogpt, train_gpt.py",
        },
        family: Family::Rotary,
        idea: "Turn half of the pairs and leave the others still, and take the still channels of keys from the token before.",
        formula: "θ_p = s^(p/(d/4-1)) for p < d/4, else 0; still channels of k from the token before",
        latex: r"\theta_p = s^{p/(d/4-1)}\ (p < d/4),\quad 0\ (\text{else})",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let fits = self.slowest > 0.0 && self.slowest <= 1.0;
        check("slowest", self.slowest, "above 0 and at most 1", fits)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = model.head_dim;
        let fits = dim.is_multiple_of(4) && dim >= 4;
        let rule = "a multiple of 4, for half of the pairs turn";
        check_model("head_dim", dim, rule, fits)?;
        let turning = dim / 4;
        let last = (turning.max(2) - 1) as f64;
        let theta = (0..2 * turning).map(|p| match p < turning {
            true => self.slowest.powf(p as f64 / last),
            false => 0.0,
        });
        let hooks = match self.shift_keys {
            true => vec![HookRef::new(Shifted)],
            false => Vec::new(),
        };
        Ok(Plan {
            rotations: vec![QkRotation::rotary(
                theta.collect(),
                1.0,
                Pairing::Interleaved,
            )],
            hooks,
            ..Plan::default()
        })
    }
}

/// The still channels of keys one token later.
#[derive(Debug)]
struct Shifted;

impl Hook for Shifted {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        "second half of the channels of keys from the token before".into()
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        whole_text(scope, "half-truncated-rope, keys of the token before")?;
        let half = scope.geometry().head_dim / 2;
        let still = qkv.k.narrow(3, half, half)?;
        // The first token has none before it and keeps its own.
        let moved = after(&still, &still.narrow(2, 0, 1)?)?;
        let k = Tensor::cat(&[&qkv.k.narrow(3, 0, half)?, &moved], 3)?;
        Ok(Qkv { k, ..qkv })
    }
}
