//! Windowed RoPE rotates nearby keys as usual and shows all others at one constant distance.
//!
//! δ(i, j) = i − j if i − j < w or j < s, else c
//!
//! Paper: He et al. 2025 (A²ATS), arXiv 2502.12665, section 3.
//!
//! Code: the authors score far keys this way in order to choose which of them to read; here it is the score itself, for
//! every pair. With which rotation their offloading kernel then attends to the chosen keys could not be confirmed,
//! hence experimental. Their constants are w = 64, s = 8 and c = 2048.

use super::frame::{at_least, at_most_half, nearer_than, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, number, raw, select_less};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of windowed RoPE.
    WindowedRope {
        /// Distances below w are kept. Left out: 64, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Distance c of everything farther. Left out: 2048, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        far: Option<usize> = None,
        /// First tokens whose distances are always kept, s.
        #[schemars(range(min = 0))]
        sinks: usize = 8,
    }
}

impl Scheme for WindowedRope {
    const ID: &'static str = "windowed-rope";
    const CARD: Card = Card {
        title: "Windowed RoPE (A²ATS)",
        paper: Paper {
            authors: "He et al.",
            year: 2025,
            arxiv: "2502.12665",
            section: "3",
        },
        family: Family::Remap,
        idea: "Rotate nearby keys as usual and show all others at one constant distance, so that \
               their scores need no rotation of their own.",
        formula: "distance seen = q-k if q-k < w or k < s, else c",
        latex: r"\delta_{ij} = i-j\ (i-j < w \lor j < s),\quad c\ (\text{else})",
        needs: Needs::Base(Family::Rotary),
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("window", self.window, 1)?;
        at_least("far", self.far, 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let window = at_most_half(self.window, 64, model.trained_length);
        let far = at_most_half(self.far, 2048, model.trained_length);
        let constant = turn_at(&rotary, &inv_freq, whole(far), number(0.0));
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(constant);
        let beyond = select_less(Expr::Key, whole(self.sinks), raw(), Expr::Raw(1));
        plan.score = nearer_than(window, raw(), beyond);
        Ok(plan)
    }
}
