//! Giraffe's power basis slows the slow pairs by more than the fast ones.
//!
//! θ′_p = (θ_p / s) · (1 − p/h)^κ, h = d/2 pairs
//!
//! Paper: Pal et al. 2023, arXiv 2308.10882, section 3.
//!
//! Code: `interpolate.py` of the authors; the division by s comes first. κ = 0.5 is the value that their README discusses.

use super::pi::check_stretch;
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of Giraffe's power basis.
    GiraffePower {
        /// Stretch s; divides all frequencies first.
        #[schemars(range(min = 1))]
        factor: f64 = 1.0,
        /// Exponent κ.
        #[schemars(range(min = 0))]
        power: f64 = 0.5,
    }
}

impl Scheme for GiraffePower {
    const ID: &'static str = "giraffe-power";
    const CARD: Card = Card {
        title: "Giraffe, power basis",
        paper: Paper {
            authors: "Pal et al.",
            year: 2023,
            arxiv: "2308.10882",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Slow the slow pairs by more than the fast ones, by a power of their place.",
        formula: "θ_p = b^(-2p/d)/s · (1 - 2p/d)^κ",
        latex: r"\theta_p = \frac{b^{-2p/d}}{s} \left(1 - \frac{2p}{d}\right)^\kappa",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        let holds = self.power >= 0.0 && self.power.is_finite();
        check("power", self.power, "at least 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let mut inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let pairs = inv_freq.len() as f64;
        for (p, theta) in inv_freq.iter_mut().enumerate() {
            *theta *= (1.0 - p as f64 / pairs).powf(self.power) / self.factor;
        }
        Ok(self.rotary().plan(inv_freq, 1.0))
    }
}
