//! Leaky ReRoPE keeps distances inside a window and lets those beyond grow more slowly.
//!
//! δ(i, j) = i − j if i − j < w, else w + (i − j − w)/s;  scores times max(1, ln(i + 1)/ln L)
//!
//! Source: Su 2023, kexue.fm/archives/9708 ("Leaky ReRoPE").
//!
//! Code: the second rotation has frequencies θ/s with queries at i + w(s − 1), which is the same angle. The released
//! patches always multiply queries by the log-n factor (`log_n`).

use super::frame::{at_least, at_most_half, nearer_than, turn_at};
use super::rerope::log_n_scale;
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, raw};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of Leaky ReRoPE.
    LeakyReRope {
        /// Distances below w are kept. Left out: 512, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Past the window, s tokens count as one ("scaling_factor").
        #[schemars(range(min = 1))]
        factor: f64 = 16.0,
        /// Multiply scores by max(1, ln(i + 1)/ln L), as the released patch does.
        log_n: bool = true,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 2))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for LeakyReRope {
    const ID: &'static str = "leaky-rerope";
    const CARD: Card = Card {
        title: "Leaky ReRoPE",
        paper: Paper {
            authors: "Su (kexue.fm/archives/9708)",
            year: 2023,
            arxiv: "",
            section: "Leaky ReRoPE",
        },
        family: Family::Remap,
        idea: "Keep distances inside a window exact and let distances beyond it grow more slowly.",
        formula: "distance seen = q-k if q-k < w, else w + (q-k-w)/s",
        latex: r"\delta_{ij} = i-j\ (i-j < w),\quad w + (i-j-w)/s\ (\text{else})",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("window", self.window, 1)?;
        let holds = self.factor >= 1.0 && self.factor.is_finite();
        check("factor", self.factor, "at least 1 and finite", holds)?;
        at_least("trained_length", self.trained_length, 2)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let trained = trained_length(self.trained_length, model)?;
        let window = at_most_half(self.window, 512, trained);
        let slow: Vec<f64> = inv_freq.iter().map(|theta| theta / self.factor).collect();
        let shifted = Expr::Query + window as f64 * (self.factor - 1.0);
        let far = turn_at(&rotary, &slow, shifted, Expr::Key);
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(far);
        plan.score = nearer_than(window, raw(), Expr::Raw(1));
        plan.query_scale = log_n_scale(self.log_n, trained)?;
        Ok(plan)
    }
}
