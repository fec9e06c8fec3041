//! CoPE (clipped RoPE) fades the slowest pairs out, for they never finish a turn in training; a hard cut would ring.
//!
//! θ′_p = θ_p · ½(1 + cos τ_i) for the i-th of the `clip` slowest pairs, τ from 0 to π in equal steps; the others stay
//!
//! Paper: Li et al. 2026, arXiv 2602.05258, section 4.
//!
//! Code: as the paper, 20 pairs or all if there are fewer. `hard` sets the block to 0. The released file applies it after
//! any other scaling and reads the number of pairs even where the option is off (an error there). Not the contextual
//! position encoding of the same name.

use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use std::f64::consts::PI;

rotary_settings! {
    /// Settings of clipped RoPE.
    CopeClip {
        /// How many of the slowest pairs fade ("clip_low_n"); all of them if there are fewer.
        #[schemars(range(min = 1))]
        clip: usize = 20,
        /// Stop these pairs instead of fading them.
        hard: bool = false,
    }
}

impl Scheme for CopeClip {
    const ID: &'static str = "cope-clip";
    const CARD: Card = Card {
        title: "CoPE (clipped RoPE)",
        paper: Paper {
            authors: "Li et al.",
            year: 2026,
            arxiv: "2602.05258",
            section: "4",
        },
        family: Family::Rotary,
        idea: "Fade out the slowest pairs, which never finish a turn in training.",
        formula: "θ_p = b^(-2p/d) · (1 + cos τ)/2, τ from 0 to π over the slowest c pairs, 0 before",
        latex: r"\theta_p = b^{-2p/d}\, \tfrac12 (1 + \cos \tau_p)",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check("clip", self.clip, "at least 1", self.clip >= 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let mut inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let clip = self.clip.min(inv_freq.len());
        let first = inv_freq.len() - clip;
        let steps = (clip - 1).max(1) as f64;
        for (i, theta) in inv_freq[first..].iter_mut().enumerate() {
            *theta *= match self.hard {
                true => 0.0,
                // Exactly 0 at the end, which the cosine of a rounded π is not.
                false if i + 1 == clip && clip > 1 => 0.0,
                false => 0.5 * (1.0 + (PI * i as f64 / steps).cos()),
            };
        }
        Ok(self.rotary().plan(inv_freq, 1.0))
    }
}
