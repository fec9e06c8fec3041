//! NTK-aware scaling raises the base so that the slowest pair is interpolated fully and the fastest not at all.
//!
//! b′ = b · s^(d/(d−2)), hence θ′_p = θ_p · s^(−2p/(d−2))
//!
//! Paper: bloc97 2023, described in Peng et al. 2023, arXiv 2309.00071, section 3.1.
//!
//! Code: the authors' class and the formula agree. The middle pairs are under-interpolated: for a usable stretch of
//! 4 the factor is usually set to 6 or 8.

use super::pi::check_stretch;
use crate::angles::{inv_freq, ntk_base, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of NTK-aware scaling.
    Ntk {
        /// Stretch s of the slowest pair.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
    }
}

impl Scheme for Ntk {
    const ID: &'static str = "ntk";
    const CARD: Card = Card {
        title: "NTK-aware scaling",
        paper: Paper {
            authors: "bloc97, described by Peng et al.",
            year: 2023,
            arxiv: "2309.00071",
            section: "3.1",
        },
        family: Family::Rotary,
        idea: "Raise the base of a RoPE model so that slow pairs are interpolated and fast \
               pairs are left alone.",
        formula: "θ_p = b'^(-2p/d), b' = b · s^(d/(d-2))",
        latex: r"\theta_p = b'^{-2p/d},\quad b' = b\, s^{d/(d-2)}",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 4)?;
        let base = ntk_base(self.base, self.factor, dim);
        Ok(self.rotary().plan(inv_freq(base, dim), 1.0))
    }
}
