//! Entropy-aware ABF raises the base and sharpens late queries, so that attention stays as concentrated as at the trained
//! length; the first layers, which look at everything alike, are not sharpened.
//!
//! θ′_p = b′^(−2p/d);  raw scores of the query at i times max(1, ln(i + 1)/ln L), from layer number `kept` on
//!
//! Paper: Zhang et al. 2024, arXiv 2401.07004, section 4.
//!
//! Code: as released (b′ = 500000, two layers kept), with the trained length in the place of its constant 4096.

use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::abf::{check_raised, raised};
use crate::schemes::scaling::log_n;
use farspan_attention::expr::number;
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of entropy-aware ABF.
    EntropyAbf {
        /// Base b′ instead of b. Leave it out beside `target_length`.
        #[schemars(extend("exclusiveMinimum" = 1))]
        new_base: f64 = 500_000.0,
        /// Take the critical base for texts of this many tokens instead of `new_base`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 7))]
        target_length: Option<usize> = None,
        /// Length L at which sharpening begins, if not the model's trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 2))]
        trained_length: Option<usize> = None,
        /// Layers, from the first, that are not sharpened.
        kept: usize = 2,
    }
}

impl Scheme for EntropyAbf {
    const ID: &'static str = "entropy-abf";
    const CARD: Card = Card {
        title: "Entropy-aware ABF",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2024,
            arxiv: "2401.07004",
            section: "4",
        },
        family: Family::Rotary,
        idea: "Raise the base, and sharpen queries past the trained length in all layers but the first.",
        formula: "θ_p = b'^(-2p/d); from layer `kept` on, factor of the query at q: max(1, ln(q+1)/ln L)",
        latex: r"\theta_p = b'^{-2p/d},\quad \lambda_i = \max(1, \ln(i+1)/\ln L)",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_raised(self.new_base, self.target_length)?;
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 2", length >= 2)
        })
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.layer_plan(model, context_len, 0)
    }

    fn layer_plan(
        &self,
        model: &Geometry,
        _context_len: Len,
        layer: usize,
    ) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let trained = trained_length(self.trained_length, model)?;
        let base = raised(self.new_base, self.target_length, self.base, trained)?;
        let factor = log_n::factor(trained)?;
        Ok(Plan {
            query_scale: (layer >= self.kept).then(|| number(1.0).max(factor)),
            ..self.rotary().plan(inv_freq(base, dim), 1.0)
        })
    }
}
