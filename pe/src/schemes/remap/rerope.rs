//! ReRoPE keeps distances inside a window and shows all farther ones as the window's edge.
//!
//! δ(i, j) = min(i − j, w);  scores times max(1, ln(i + 1)/ln L)
//!
//! Source: Su 2023, kexue.fm/archives/9708 ("ReRoPE").
//!
//! Code: the released patches always multiply queries by the log-n factor (`log_n`), which the formula for δ does not
//! have. Their window is 512 for L = 4096.

use super::frame::{at_least, at_most_half, nearer_than, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::schemes::scaling::log_n;
use farspan_attention::expr::{Expr, number, raw};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of ReRoPE.
    ReRope {
        /// Distances up to w are kept. Left out: 512, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Multiply scores by max(1, ln(i + 1)/ln L), as the released patch does.
        log_n: bool = true,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 2))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for ReRope {
    const ID: &'static str = "rerope";
    const CARD: Card = Card {
        title: "ReRoPE",
        paper: Paper {
            authors: "Su (kexue.fm/archives/9708)",
            year: 2023,
            arxiv: "",
            section: "ReRoPE",
        },
        family: Family::Remap,
        idea: "Keep distances inside a window exact and show every farther token at the window's \
               edge.",
        formula: "distance seen = min(q-k, w)",
        latex: r"\delta_{ij} = \min(i-j,\ w)",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("window", self.window, 1)?;
        at_least("trained_length", self.trained_length, 2)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let trained = trained_length(self.trained_length, model)?;
        let window = at_most_half(self.window, 512, trained);
        let far = turn_at(&rotary, &inv_freq, whole(window), number(0.0));
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(far);
        plan.score = nearer_than(window, raw(), Expr::Raw(1));
        plan.query_scale = log_n_scale(self.log_n, trained)?;
        Ok(plan)
    }
}

/// max(1, ln(q + 1)/ln L) where asked for.
pub(super) fn log_n_scale(asked: bool, trained: usize) -> Result<Option<Expr>, PlanError> {
    Ok(if asked {
        Some(number(1.0).max(log_n::factor(trained)?))
    } else {
        None
    })
}
