//! Position Interpolation squeezes positions so that the longest one falls inside the trained range.
//!
//! θ′_p = θ_p / s, which is the same as positions i / s. Dynamic: s = max(1, T / L) for T positions in use.
//!
//! Paper: Chen et al. 2023, arXiv 2306.15595, section 2.3 (and kaiokendev in the same month).
//!
//! Code: Hugging Face divides the frequencies ("linear"), the paper the positions; equal but for rounding.

use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Geometry, Plan};

rotary_settings! {
    /// Settings of Position Interpolation.
    Pi {
        /// Stretch s: positions are divided by it. Leave it out if `dynamic`.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// Let the stretch follow the length in use, s = max(1, T / L), instead of `factor`.
        dynamic: bool = false,
        /// Length L that the weights were trained with, if not the model's; only read if `dynamic`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for Pi {
    const ID: &'static str = "pi";
    const CARD: Card = Card {
        title: "Position Interpolation",
        paper: Paper {
            authors: "Chen et al.",
            year: 2023,
            arxiv: "2306.15595",
            section: "2.3",
        },
        family: Family::Rotary,
        idea: "Divide all positions of a RoPE model by the stretch, so that the longest falls \
               inside the trained range.",
        formula: "θ_p = b^(-2p/d) / s",
        latex: r"\theta_p = b^{-2p/d} / s",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, self.dynamic, Pi::default().factor)?;
        check_trained_length(self.trained_length)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let stretch = if self.dynamic {
            dynamic_stretch(context_len, trained_length(self.trained_length, model)?)
        } else {
            self.factor
        };
        let inv_freq = inv_freq(self.base, dim)
            .into_iter()
            .map(|theta| theta / stretch)
            .collect();
        let cache = if self.dynamic {
            Cache::Unrotated
        } else {
            Cache::Rotated
        };
        Ok(Plan {
            cache,
            ..self.rotary().plan(inv_freq, 1.0)
        })
    }
}

/// A fixed stretch of at least 1, or none but the default beside `dynamic`, where it would be dropped in silence.
pub(in crate::schemes) fn check_stretch(
    factor: f64,
    dynamic: bool,
    default: f64,
) -> Result<(), PlanError> {
    check(
        "factor",
        factor,
        "at least 1",
        factor >= 1.0 && factor.is_finite(),
    )?;
    let rule = "left out beside dynamic = true, where the stretch follows the length";
    check("factor", factor, rule, !dynamic || factor == default)
}

pub(in crate::schemes) fn check_trained_length(length: Option<usize>) -> Result<(), PlanError> {
    length.map_or(Ok(()), |length| {
        check("trained_length", length, "at least 1", length >= 1)
    })
}

/// s = max(1, T / L)
pub(in crate::schemes::rotary) fn dynamic_stretch(context_len: Len, trained: usize) -> f64 {
    (context_len.0 as f64 / trained as f64).max(1.0)
}
