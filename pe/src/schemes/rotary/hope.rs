//! HoPE (high-frequency) stops the pairs that make no full turn within the trained length: they learn a pattern of
//! positions that does not carry over to longer texts.
//!
//! θ_p = b^(−2p/d) if that is at least 2π/L, else 0
//!
//! Paper: Chen et al. 2024, arXiv 2410.21216, section 4.
//!
//! Code: none was found. The idea is in the abstract; that the limit is one full turn within the trained length could not
//! be confirmed, hence `experimental`.

use super::extended::pi::check_trained_length;
use crate::angles::{inv_freq, rotary_settings, trained_length, turns};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of HoPE.
    Hope {
        /// Length L, if not the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
        /// Pairs with fewer turns in L stop.
        #[schemars(extend("exclusiveMinimum" = 0))]
        least_turns: f64 = 1.0,
    }
}

impl Scheme for Hope {
    const ID: &'static str = "hope";
    const CARD: Card = Card {
        title: "HoPE (high-frequency RoPE)",
        paper: Paper {
            authors: "Chen et al.",
            year: 2024,
            arxiv: "2410.21216",
            section: "4",
        },
        family: Family::Rotary,
        idea: "Stop the pairs that make no full turn within the trained length, whose patterns do \
               not carry over to longer texts.",
        formula: "θ_p = b^(-2p/d) if b^(-2p/d) ≥ 2π/L, else 0",
        latex: r"\theta_p = b^{-2p/d}\ (b^{-2p/d} \ge 2\pi/L),\quad 0\ \text{(else)}",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_trained_length(self.trained_length)?;
        let holds = self.least_turns > 0.0 && self.least_turns.is_finite();
        check("least_turns", self.least_turns, "above 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let trained = trained_length(self.trained_length, model)?;
        let turning = |theta: f64| turns(theta, trained) >= self.least_turns;
        let stopped = inv_freq(self.base, dim)
            .into_iter()
            .map(|theta| if turning(theta) { theta } else { 0.0 });
        Ok(self.rotary().plan(stopped.collect(), 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With base 10000 and 16 channels, a pair makes a turn in 64 tokens if 10000^(−p/8) ≥ 2π/64, that is up to
    /// p = 8·ln(64/2π)/ln 10000 = 2.016.
    #[test]
    fn slow_pairs_stand_still() {
        let model = Geometry {
            layers: 1,
            width: 32,
            heads: 2,
            kv_heads: 2,
            head_dim: 16,
            trained_length: 64,
        };
        let plan = Scheme::plan(&Hope::default(), &model, Len(256)).unwrap();
        let found = &plan.rotations[0].query.inv_freq;
        assert!(found[..3].iter().all(|theta| *theta > 0.0), "{found:?}");
        assert!(found[3..].iter().all(|theta| *theta == 0.0), "{found:?}");
    }
}
