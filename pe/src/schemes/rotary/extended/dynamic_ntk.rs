//! Dynamic NTK leaves RoPE alone while the text is short and raises the base as it grows.
//!
//! T > L: b′ = b · (s·T/L − (s − 1))^(d/(d−2)); T ≤ L: b′ = b, for T positions in use.
//!
//! Paper: emozilla and bloc97 2023, described in Peng et al. 2023, arXiv 2309.00071, section 3.3.
//!
//! Code: the factor s is a slope, not the stretch; s = 1 gives (T/L)^…, as in the authors' class. Hugging Face keeps
//! the table of the longest call until a call shorter than L comes, and caches rotated keys of several bases side by
//! side. Here the table is a function of the length alone and keys are cached unrotated, which is what the method
//! means.

use super::pi::check_trained_length;
use crate::angles::{inv_freq, ntk_base, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Geometry, Plan};

rotary_settings! {
    /// Settings of dynamic NTK.
    DynamicNtk {
        /// Slope s with which the stretch follows T / L (Hugging Face: "factor").
        #[schemars(range(min = 1))]
        factor: f64 = 1.0,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for DynamicNtk {
    const ID: &'static str = "dynamic-ntk";
    const CARD: Card = Card {
        title: "Dynamic NTK",
        paper: Paper {
            authors: "emozilla and bloc97, described by Peng et al.",
            year: 2023,
            arxiv: "2309.00071",
            section: "3.3",
        },
        family: Family::Rotary,
        idea: "NTK-aware scaling whose stretch follows the current length, so that short texts \
               see plain RoPE.",
        formula: "θ_p = b'^(-2p/d), b' = b · (s·T/L - (s-1))^(d/(d-2)) if T > L, else b",
        latex: r"\theta_p = b'^{-2p/d},\quad b' = b\,(s\,T/L - (s-1))^{d/(d-2)}\ (T > L)",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let holds = self.factor >= 1.0 && self.factor.is_finite();
        check("factor", self.factor, "at least 1", holds)?;
        check_trained_length(self.trained_length)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 4)?;
        let trained = trained_length(self.trained_length, model)?;
        let base = if context_len.0 > trained {
            let over = context_len.0 as f64 / trained as f64;
            ntk_base(self.base, self.factor * over - (self.factor - 1.0), dim)
        } else {
            self.base
        };
        Ok(Plan {
            cache: Cache::Unrotated,
            ..self.rotary().plan(inv_freq(base, dim), 1.0)
        })
    }
}
