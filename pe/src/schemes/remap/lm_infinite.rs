//! LM-Infinite shows each query the first tokens and its neighbours, and the first tokens never farther than a limit.
//!
//! visible: i − j < W or j < G;  δ(i, j) = i − j if i − j < W, else min(D, n − 1)
//!
//! Paper: Han et al. 2023, arXiv 2308.16137, section 4.
//!
//! Code: D is W unless set (`limit`); it is capped at the number of keys less one, which only a D above W can meet. The
//! released option of attending to the k best of the hidden keys in some layers is not here.

use super::frame::{at_least, hidden, nearer_than, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, number, raw, select_less};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of LM-Infinite.
    LmInfinite {
        /// First tokens that every query sees, G.
        #[schemars(range(min = 0))]
        global: usize = 10,
        /// Nearest tokens that a query sees, itself included, W. Left out: the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        local: Option<usize> = None,
        /// Distance D at which first tokens past the window appear. Left out: `local`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        limit: Option<usize> = None,
    }
}

impl Scheme for LmInfinite {
    const ID: &'static str = "lm-infinite";
    const CARD: Card = Card {
        title: "LM-Infinite",
        paper: Paper {
            authors: "Han et al.",
            year: 2023,
            arxiv: "2308.16137",
            section: "4",
        },
        family: Family::Remap,
        idea: "Attend only to the first tokens and the nearest ones, and show the first ones no \
               farther than the trained length.",
        formula: "visible: q-k < W or k < G\ndistance seen = q-k if q-k < W, else min(D, n-1)",
        latex: concat!(
            r"V_{ij} = [i-j < W \lor j < G],\quad ",
            r"\delta_{ij} = i-j\ (i-j < W),\quad \min(D,\ n-1)\ (\text{else})"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("local", self.local, 1)?;
        at_least("limit", self.limit, 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let local = self.local.unwrap_or(model.trained_length.max(1));
        let limit = self.limit.unwrap_or(local);
        // Past the window there are more than `local` keys, so that a limit up to there needs no cap.
        let at = if limit <= local {
            whole(limit)
        } else {
            whole(limit).min(Expr::Reach - 1.0)
        };
        let first = turn_at(&rotary, &inv_freq, at, number(0.0));
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(first);
        let global = select_less(Expr::Key, whole(self.global), Expr::Raw(1), hidden());
        plan.score = nearer_than(local, raw(), global);
        Ok(plan)
    }
}
