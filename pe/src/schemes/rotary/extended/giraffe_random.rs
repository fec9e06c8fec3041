//! Giraffe's randomised positions: in training, distances between neighbours are drawn from 0 to 2 instead of being 1.
//!
//! positions: running sums of U(0, 2); if the last exceeds the window, all are scaled down to end at it
//!
//! Paper: Pal et al. 2023, arXiv 2308.10882, section 3.
//!
//! Code: `interpolate.py` of the authors; training only. Frequencies are divided by s first, as in their linear scaling.

use super::pi::check_stretch;
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::recipe::{Recipe, Sampler};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of Giraffe's randomised positions.
    GiraffeRandom {
        /// Stretch s; divides all frequencies.
        #[schemars(range(min = 1))]
        factor: f64 = 1.0,
    }
}

impl Scheme for GiraffeRandom {
    const ID: &'static str = "giraffe-random";
    const CARD: Card = Card {
        title: "Giraffe, randomised positions",
        paper: Paper {
            authors: "Pal et al.",
            year: 2023,
            arxiv: "2308.10882",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Draw the distances between neighbours from 0 to 2 in training, so that no distance \
               is met exactly twice.",
        formula: "x_t = Σ u_i, u ~ U(0, 2), scaled to at most the window; θ_p = b^(-2p/d)/s",
        latex: r"x_t = \sum_{i \le t} u_i,\ u_i \sim U(0, 2);\quad \theta_p = b^{-2p/d}/s",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let mut inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        inv_freq.iter_mut().for_each(|theta| *theta /= self.factor);
        Ok(self.rotary().plan(inv_freq, 1.0))
    }

    fn recipe(&self, _model: &Geometry) -> Result<Recipe, PlanError> {
        Ok(Recipe {
            positions: Some(Sampler::Steps),
            ..Recipe::default()
        })
    }
}
