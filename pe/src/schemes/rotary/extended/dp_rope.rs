//! DPRoPE stretches each pair or leaves it alone, whichever keeps the distribution of its angles nearer to the one that
//! training saw.
//!
//! θ′_p = θ_p or θ_p/s, by the smaller KL(P_p ‖ Q_p); P_p is the histogram of i·θ_p mod 2π over i < L, Q_p that of i·θ′_p
//! over i < s·L
//!
//! Paper: Wu et al. 2024, arXiv 2410.01490, section 3.
//!
//! Code: as released: 360 bins, each with 2^(−14) added to its count, and of two equal divergences the pair is kept.
//! Counts are of angles in f64; the code's are in f32, which can put an angle at a bin's edge on its other side.

use super::pi::{check_stretch, check_trained_length};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use std::f64::consts::TAU;

/// Added to every count, so that no bin is empty: the smallest normal number of half precision.
const EMPTY: f64 = 1.0 / 16384.0;

rotary_settings! {
    /// Settings of DPRoPE.
    DpRope {
        /// Stretch s.
        #[schemars(range(min = 1))]
        factor: f64 = 4.0,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
        /// Bins of a turn.
        #[schemars(range(min = 2, max = 65536))]
        bins: usize = 360,
    }
}

impl Scheme for DpRope {
    const ID: &'static str = "dp-rope";
    const CARD: Card = Card {
        title: "DPRoPE",
        paper: Paper {
            authors: "Wu et al.",
            year: 2024,
            arxiv: "2410.01490",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Interpolate a pair only if that keeps the distribution of its angles nearer to what training saw.",
        formula: "θ_p = b^(-2p/d) or b^(-2p/d)/s, by the smaller KL(P_p ‖ Q_p)\n\
                  P_p: histogram of i·b^(-2p/d) mod 2π, i < L; Q_p: of i·θ_p, i < s·L",
        latex: concat!(
            r"\theta_p = \arg\min_{\theta \in \{b^{-2p/d},\, b^{-2p/d}/s\}} ",
            r"\mathrm{KL}\!\left(P_p^{L} \,\|\, Q_\theta^{sL}\right)"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, DpRope::default().factor)?;
        check_trained_length(self.trained_length)?;
        let within = (2..=65536).contains(&self.bins);
        check("bins", self.bins, "from 2 to 65536", within)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let trained = trained_length(self.trained_length, model)?;
        let target = (trained as f64 * self.factor).floor() as usize;
        let nearest = |theta: f64| {
            let seen = self.shares(theta, trained);
            let distance = |theta| divergence(&seen, &self.shares(theta, target));
            let slow = theta / self.factor;
            match distance(slow) < distance(theta) {
                true => slow,
                false => theta,
            }
        };
        let scaled = inv_freq(self.base, dim).into_iter().map(nearest).collect();
        Ok(self.rotary().plan(scaled, 1.0))
    }
}

impl DpRope {
    /// Share of the first `length` positions in each bin of the turn.
    fn shares(&self, theta: f64, length: usize) -> Vec<f64> {
        let mut counts = vec![EMPTY; self.bins];
        for position in 0..length {
            let share = (position as f64 * theta).rem_euclid(TAU) / TAU;
            let bin = (share * self.bins as f64) as usize;
            counts[bin.min(self.bins - 1)] += 1.0;
        }
        counts.iter().map(|count| count / length as f64).collect()
    }
}

/// KL(P ‖ Q)
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}
