//! p-RoPE leaves the slowest pairs unturned, so that they carry content alone; the other pairs turn as in RoPE.
//!
//! θ_p = b^(−2p/d) for p < ⌊ρ·d/2⌋, else 0;  all divided by `factor`
//!
//! Paper: Barbero et al. 2024, arXiv 2410.06205, section 6 ("p-RoPE").
//!
//! Code: Hugging Face's rope type `proportional`. Not the same as a partial rotation: the exponent's denominator is the
//! whole head, and the unturned pairs are the slow ends, not the last channels. The paper's best ρ is 0.75; Gemma's
//! global layers have 0.25 with base 10⁶.

use crate::angles::{PairingSchema, Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Pairing, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of p-RoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PRope {
    /// Base b of the frequencies ("rope_theta").
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share ρ of the pairs that turn, from the fastest ("partial_rotary_factor").
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// Divides all frequencies, as Position Interpolation does.
    #[schemars(range(min = 1))]
    pub factor: f64,
}

impl Default for PRope {
    fn default() -> PRope {
        let Rotary { base, pairing, .. } = Rotary::DEFAULT;
        PRope {
            base,
            pairing,
            share: 0.75,
            factor: 1.0,
        }
    }
}

impl Scheme for PRope {
    const ID: &'static str = "p-rope";
    const CARD: Card = Card {
        title: "p-RoPE",
        paper: Paper {
            authors: "Barbero et al.",
            year: 2024,
            arxiv: "2410.06205",
            section: "6",
        },
        family: Family::Rotary,
        idea: "Turn only the fastest pairs of each head, so that the slow ones carry content alone.",
        formula: "θ_p = b^(-2p/d) / s for p < ⌊ρ·d/2⌋, else 0",
        latex: r"\theta_p = b^{-2p/d}/s \ (p < \lfloor \rho d/2 \rfloor),\quad 0\ \text{(else)}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let within = (0.0..=1.0).contains(&self.share);
        check("share", self.share, "from 0 to 1", within)?;
        super::extended::pi::check_stretch(self.factor, false, self.factor)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let turning = (self.share * dim as f64 / 2.0).floor() as usize;
        let mut inv_freq = inv_freq(self.base, dim);
        inv_freq.iter_mut().for_each(|theta| *theta /= self.factor);
        inv_freq[turning..].fill(0.0);
        Ok(self.rotary().plan(inv_freq, 1.0))
    }
}

impl PRope {
    fn rotary(&self) -> Rotary {
        Rotary {
            base: self.base,
            pairing: self.pairing,
            partial: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_only_chooses_which_pairs_turn() {
        let model = Geometry {
            layers: 1,
            width: 16,
            heads: 1,
            kv_heads: 1,
            head_dim: 16,
            trained_length: 64,
        };
        let turning = |share| {
            let scheme = PRope {
                share,
                ..PRope::default()
            };
            let plan = Scheme::plan(&scheme, &model, Len(64)).unwrap();
            plan.rotations[0].query.inv_freq.clone()
        };
        let all = turning(1.0);
        assert_eq!(all, inv_freq(10000.0, 16));
        assert_eq!(turning(0.0), [0.0; 8]);
        assert_eq!(turning(0.5)[..4], all[..4]);
        assert_eq!(turning(0.5)[4..], [0.0; 4]);
    }
}
