//! Llama 3's scaling: NTK-by-parts in turns, without temperature.
//!
//! λ_p = 2π/θ_p;  θ′_p = θ_p/s if λ_p > L/lo;  θ_p if λ_p < L/hi;  else (1 − w)·θ_p/s + w·θ_p,
//! w = (L/λ_p − lo)/(hi − lo)
//!
//! Paper: Grattafiori et al. 2024, arXiv 2407.21783, section 3.4.2 gives the base; the rule is in the released code.
//!
//! Code: Meta's and Hugging Face's (`llama3`) agree. Llama 3.1 has s = 8, Llama 3.2 s = 32, both b = 500000, L = 8192.

use super::ntk_by_parts::by_turns;
use super::pi::{check_stretch, check_trained_length};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of Llama 3's scaling.
    Llama3 {
        /// Stretch s.
        #[schemars(range(min = 1))]
        factor: f64 = 8.0,
        /// Length L that the weights were trained with, if not the model's ("original_max_position_embeddings").
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
        /// Pairs with fewer turns in L are interpolated fully; below `high_freq_factor`.
        #[schemars(extend("exclusiveMinimum" = 0))]
        low_freq_factor: f64 = 1.0,
        /// Pairs with more turns in L are kept.
        #[schemars(extend("exclusiveMinimum" = 0))]
        high_freq_factor: f64 = 4.0,
    }
}

impl Scheme for Llama3 {
    const ID: &'static str = "llama3";
    const CARD: Card = Card {
        title: "Llama 3 scaling",
        paper: Paper {
            authors: "Grattafiori et al.",
            year: 2024,
            arxiv: "2407.21783",
            section: "3.4.2, and the released code",
        },
        family: Family::Rotary,
        idea: "Interpolate the pairs that turn less than once within the trained length, keep \
               those that turn more than four times, and blend between.",
        formula: "θ_p = ((1-w_p)/s + w_p)·b^(-2p/d)\n\
                  w_p = clip((L·b^(-2p/d)/2π - lo)/(hi - lo), 0, 1)",
        latex: concat!(
            r"\theta_p = \left(\frac{1-w_p}{s} + w_p\right) b^{-2p/d},\quad ",
            r"w_p = \mathrm{clip}\!\left(\frac{L\,b^{-2p/d}/2\pi - l}{h-l},0,1\right)"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        check_trained_length(self.trained_length)?;
        let (low, high) = (self.low_freq_factor, self.high_freq_factor);
        let positive = high > 0.0 && high.is_finite();
        check("high_freq_factor", high, "above 0 and finite", positive)?;
        let rule = format!("above 0 and below high_freq_factor = {high}");
        check("low_freq_factor", low, &rule, low > 0.0 && low < high)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let theta = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let ends = (self.low_freq_factor, self.high_freq_factor);
        let trained = trained_length(self.trained_length, model)?;
        let scaled = by_turns(&theta, self.factor, ends, trained);
        Ok(self.rotary().plan(scaled, 1.0))
    }
}
