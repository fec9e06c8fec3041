//! Giraffe's truncated basis keeps the fast pairs, turns the middle ones all at one slow frequency, and stops the slow
//! ones.
//!
//! f = θ_p / s, ω = 2π/t;  θ′_p = f if f ≥ ω;  2π/(16·t) if ω/8 ≤ f < ω;  else 0
//!
//! Paper: Pal et al. 2023, arXiv 2308.10882, section 3.
//!
//! Code: `interpolate.py` of the authors, whose `t` is given in tokens. Several pairs become alike and some stop: it is
//! meant for fine-tuning.

use super::pi::check_stretch;
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use std::f64::consts::TAU;

rotary_settings! {
    /// Settings of Giraffe's truncated basis.
    GiraffeTruncated {
        /// Stretch s; divides all frequencies first.
        #[schemars(range(min = 1))]
        factor: f64 = 1.0,
        /// Longest wavelength t that is kept, in tokens. Left out: the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        cutoff: Option<usize> = None,
    }
}

impl Scheme for GiraffeTruncated {
    const ID: &'static str = "giraffe-truncated";
    const CARD: Card = Card {
        title: "Giraffe, truncated basis",
        paper: Paper {
            authors: "Pal et al.",
            year: 2023,
            arxiv: "2308.10882",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Keep the fast pairs, turn the middle ones all at one slow frequency, stop the slow ones.",
        formula: "f = b^(-2p/d)/s, ω = 2π/t\nθ_p = f (f ≥ ω), ω/16 (ω/8 ≤ f < ω), else 0",
        latex: concat!(
            r"f = b^{-2p/d}/s,\ \omega = 2\pi/t,\quad ",
            r"\theta_p = f\ (f \ge \omega),\ \omega/16\ (\omega/8 \le f < \omega),\ 0\ \text{(else)}"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        self.cutoff
            .map_or(Ok(()), |t| check("cutoff", t, "at least 1", t >= 1))
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let omega = TAU / trained_length(self.cutoff, model)? as f64;
        let scaled = inv_freq(self.base, dim)
            .into_iter()
            .map(|theta| match theta / self.factor {
                f if f >= omega => f,
                f if f >= omega / 8.0 => omega / 16.0,
                _ => 0.0,
            });
        Ok(self.rotary().plan(scaled.collect(), 1.0))
    }
}
