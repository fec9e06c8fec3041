//! xPos adds to RoPE a decay with distance, faster for the fast pairs, by enlarging queries and shrinking keys along the
//! text.
//!
//! ζ_p = (2p/d + γ)/(1 + γ);  q table times ζ_p^(i/B), k table times ζ_p^(−j/B): scores of pair p times ζ_p^((i−j)/B)
//!
//! Paper: Sun et al. 2022, arXiv 2212.10554, section 3.2.
//!
//! Code: torchscale counts the exponent from the middle of the text (`origin = "middle"`), so that cached keys no longer
//! fit queries of a longer text; scores of one text do not change by it. Counted from the start, numbers leave f32 past
//! some tens of thousands of tokens, counted from the middle twice as late; longer texts are refused.

use crate::angles::{PairingSchema, Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Geometry, Pairing, Plan, Waves};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of xPos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct XPos {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share of each head's channels that turn, from the first.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub partial: f64,
    /// Tokens B in which pair p decays by ζ_p ("scale_base").
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale_base: f64,
    /// γ: the larger, the slower the fast pairs decay.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gamma: f64,
    /// Where the exponent is 0.
    pub origin: Origin,
}

/// Where xPos's exponent is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// At the first token.
    Start,
    /// In the middle of the text: the released code.
    Middle,
}

impl Default for XPos {
    fn default() -> XPos {
        XPos {
            base: 10000.0,
            pairing: Pairing::Interleaved,
            partial: 1.0,
            scale_base: 512.0,
            gamma: 0.4,
            origin: Origin::Start,
        }
    }
}

/// Largest exponent of e that a factor may have: both sides' factors and a raw score stay within f32.
const LARGEST: f64 = 80.0;

impl Scheme for XPos {
    const ID: &'static str = "xpos";
    const CARD: Card = Card {
        title: "xPos",
        paper: Paper {
            authors: "Sun et al.",
            year: 2022,
            arxiv: "2212.10554",
            section: "3.2",
        },
        family: Family::Rotary,
        idea: "Add to RoPE a decay with distance, faster for the fast pairs, so that far tokens \
               are seen at a coarse grain.",
        formula: "θ_p = b^(-2p/d), ζ_p = (2p/d + γ)/(1 + γ)\nterm of pair p times ζ_p^((q-k)/B)",
        latex: concat!(
            r"\theta_p = b^{-2p/d},\quad \zeta_p = \frac{2p/d + \gamma}{1+\gamma},\quad ",
            r"\text{term of pair } p \times \zeta_p^{(i-j)/B}"
        ),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        for (key, x) in [("scale_base", self.scale_base), ("gamma", self.gamma)] {
            check(key, x, "above 0 and finite", x > 0.0 && x.is_finite())?;
        }
        Ok(())
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let rates: Vec<f64> = (0..dim / 2)
            .map(|p| self.zeta(p, dim).ln() / self.scale_base)
            .collect();
        let origin = match self.origin {
            Origin::Start => 0.0,
            Origin::Middle => (context_len.0 as f64 / 2.0).ceil(),
        };
        let farthest = (context_len.0 as f64 - origin).max(origin);
        let limit = LARGEST / -rates[0];
        if farthest > limit {
            return Err(PlanError::NotServed {
                asked: context_len.0,
                limit: (limit * context_len.0 as f64 / farthest) as usize,
                why: "past it the factors of keys leave the range of f32".into(),
            });
        }
        let mut plan = self.rotary().plan(inv_freq(self.base, dim), 1.0);
        let turn = &mut plan.rotations[0];
        let minus = rates.iter().map(|rate| -rate).collect();
        turn.query.waves = Waves::Growing { rates, origin };
        turn.key.waves = Waves::Growing {
            rates: minus,
            origin,
        };
        if self.origin == Origin::Middle {
            plan.cache = Cache::Unrotated;
        }
        Ok(plan)
    }
}

impl XPos {
    fn rotary(&self) -> Rotary {
        Rotary {
            base: self.base,
            pairing: self.pairing,
            partial: self.partial,
        }
    }

    /// ζ_p: by how much pair p decays in B tokens.
    fn zeta(&self, pair: usize, dim: usize) -> f64 {
        (2.0 * pair as f64 / dim as f64 + self.gamma) / (1.0 + self.gamma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_whose_factors_leave_f32_are_refused() {
        let model = Geometry {
            layers: 1,
            width: 64,
            heads: 1,
            kv_heads: 1,
            head_dim: 64,
            trained_length: 512,
        };
        let served = |origin, length| {
            let scheme = XPos {
                origin,
                ..XPos::default()
            };
            Scheme::plan(&scheme, &model, Len(length)).is_ok()
        };
        assert!(served(Origin::Start, 32_000) && !served(Origin::Start, 33_000));
        assert!(served(Origin::Middle, 65_000) && !served(Origin::Middle, 66_000));
    }
}
