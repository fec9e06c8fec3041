//! NTK with mixed radices: the pairs are digits of a position, and the stretch is dealt out unevenly over the digits,
//! little to the fast ones, most to the slow ones.
//!
//! θ′_p = θ_p · exp(−a·(p + 1)^β), a = ln s / (d/2)^β;  scores of query i times max(1, ln(i + 1)/ln L)
//!
//! Source: Su 2023, kexue.fm/archives/9706 (frequencies) and 9708 (log-n).
//!
//! Code: `ntk_patch.py` of bojone/rerope, with s = 12 and β = 0.75; s is the wanted stretch with a margin. Even the
//! fastest pair is slowed a little.

use super::pi::check_stretch;
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::scaling::log_n;
use farspan_attention::expr::number;
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of NTK with mixed radices.
    NtkMixed {
        /// Stretch s of the slowest pair.
        #[schemars(range(min = 1))]
        factor: f64 = 12.0,
        /// How unevenly the stretch is dealt out; 0: all pairs alike.
        #[schemars(range(min = 0))]
        beta: f64 = 0.75,
        /// Multiply scores by max(1, ln(i + 1)/ln L), as the released patch does.
        log_n: bool = true,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 2))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for NtkMixed {
    const ID: &'static str = "ntk-mixed";
    const CARD: Card = Card {
        title: "NTK with mixed radices",
        paper: Paper {
            authors: "Su (kexue.fm/archives/9706)",
            year: 2023,
            arxiv: "",
            section: "mixed radix",
        },
        family: Family::Rotary,
        idea: "Deal the stretch out unevenly over the pairs, little to the fast ones and most to \
               the slow ones, and sharpen attention with the logarithm of the position.",
        formula: "θ_p = b^(-2p/d) · exp(-a·(p+1)^β), a = ln s/(d/2)^β",
        latex: r"\theta_p = b^{-2p/d}\, e^{-a (p+1)^\beta},\quad a = \ln s / (d/2)^\beta",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        let holds = self.beta >= 0.0 && self.beta.is_finite();
        check("beta", self.beta, "at least 0 and finite", holds)?;
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 2", length >= 2)
        })
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let mut inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let rate = self.factor.ln() / (inv_freq.len() as f64).powf(self.beta);
        for (p, theta) in inv_freq.iter_mut().enumerate() {
            *theta *= (-rate * (p as f64 + 1.0).powf(self.beta)).exp();
        }
        let mut plan = self.rotary().plan(inv_freq, 1.0);
        if self.log_n {
            let trained = trained_length(self.trained_length, model)?;
            plan.query_scale = Some(number(1.0).max(log_n::factor(trained)?));
        }
        Ok(plan)
    }
}
