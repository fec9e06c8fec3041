//! Resonance RoPE rounds every wavelength to a whole number of tokens, so that pairs that have made a turn meet the same
//! angles again and never new ones.
//!
//! λ_p = round(2π/θ_p), halves to even;  θ′_p = 2π/λ_p
//!
//! Paper: Wang et al. 2024, arXiv 2403.00071, section 4.
//!
//! Code: the authors also reduce positions modulo λ_p, which for whole positions is the same angle. Their YaRN variant
//! for short texts has β_fast = 2, β_slow = 1; their linear variant cannot run (a condition is swapped) and is offered
//! here as it was meant. The fastest wavelength, 2π, becomes 6: pretrained weights notice.

use super::extended::ntk::Ntk;
use super::extended::pi::{Pi, check_stretch, check_trained_length};
use super::extended::yarn::Yarn;
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

rotary_settings! {
    /// Settings of Resonance RoPE.
    Resonance {
        /// Whose frequencies are rounded.
        over: Over = Over::Rope,
        /// Stretch s of the scheme below. Leave it out over RoPE, which has none.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// YaRN: pairs that make at least so many turns in the trained length are kept.
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta_fast: f64 = 32.0,
        /// YaRN: pairs that make at most so many are interpolated fully; below `beta_fast`.
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta_slow: f64 = 1.0,
        /// YaRN: length that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

/// Schemes whose frequencies can be rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// RoPE.
    Rope,
    /// Position Interpolation.
    Pi,
    /// NTK-aware scaling.
    Ntk,
    /// YaRN.
    Yarn,
}

impl Scheme for Resonance {
    const ID: &'static str = "resonance";
    const CARD: Card = Card {
        title: "Resonance RoPE",
        paper: Paper {
            authors: "Wang et al.",
            year: 2024,
            arxiv: "2403.00071",
            section: "4",
        },
        family: Family::Rotary,
        idea: "Round every wavelength to a whole number of tokens, so that pairs that have made a \
               turn never meet a new angle.",
        formula: "θ_p = 2π/round(2π/θ'_p), θ' the frequencies of the scheme below",
        latex: r"\theta_p = 2\pi / \mathrm{round}(2\pi/\theta'_p)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        check_trained_length(self.trained_length)?;
        let rule = "left out beside over = \"rope\", which has no stretch";
        let alone = self.over != Over::Rope || self.factor == Resonance::default().factor;
        check("factor", self.factor, rule, alone)?;
        self.yarn().check()
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let (base, pairing, partial, factor) = (self.base, self.pairing, self.partial, self.factor);
        let mut plan = match self.over {
            Over::Rope => {
                let dim = self.rotary().dim(model, 2)?;
                self.rotary().plan(inv_freq(base, dim), 1.0)
            }
            Over::Pi => {
                let pi = Pi {
                    base,
                    pairing,
                    partial,
                    factor,
                    ..Pi::default()
                };
                pi.plan(model, context_len)?
            }
            Over::Ntk => Ntk {
                base,
                pairing,
                partial,
                factor,
            }
            .plan(model, context_len)?,
            Over::Yarn => self.yarn().plan(model, context_len)?,
        };
        for turn in &mut plan.rotations {
            for side in [&mut turn.query, &mut turn.key] {
                side.inv_freq
                    .iter_mut()
                    .for_each(|theta| *theta = rounded(*theta));
            }
        }
        Ok(plan)
    }
}

impl Resonance {
    fn yarn(&self) -> Yarn {
        Yarn {
            base: self.base,
            pairing: self.pairing,
            partial: self.partial,
            factor: self.factor,
            beta_fast: self.beta_fast,
            beta_slow: self.beta_slow,
            trained_length: self.trained_length,
            ..Yarn::default()
        }
    }
}

/// The frequency whose wavelength is the nearest whole number of tokens.
fn rounded(theta: f64) -> f64 {
    TAU / (TAU / theta).round_ties_even()
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn rounding_twice_changes_nothing() {
        for theta in crate::angles::inv_freq(10000.0, 64) {
            let once = rounded(theta);
            assert!((rounded(once) / once - 1.0).abs() < 1e-15);
            let wavelength = std::f64::consts::TAU / once;
            assert!((wavelength - wavelength.round()).abs() < 1e-9);
        }
    }
}
