//! StreamingLLM keeps the first tokens and the last ones in the cache and numbers positions inside the cache.
//!
//! visible: i − j < w or j < s;  δ(i, j) = i − j if i − j < w, else min(i, s + w − 1) − j
//!
//! Paper: Xiao et al. 2023, arXiv 2309.17453, section 3.2.
//!
//! Code: at each step cached keys are numbered 0 … s + w − 1 anew and the query has the last number. For the w last keys
//! that leaves distances as they are; a first token j stands at j, before a query at s + w − 1. So scoring a whole text
//! at once gives what a cache that drops one token per step gives. The optional learned sink token is not here.

use super::frame::{at_least, hidden, nearer_than, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, raw, select_less};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of StreamingLLM.
    StreamingLlm {
        /// First tokens that stay in the cache, s.
        #[schemars(range(min = 0))]
        sinks: usize = 4,
        /// Last tokens that stay, the query's own included, w. Left out: 2000, or what the trained length leaves beside
        /// the sinks if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
    }
}

impl Scheme for StreamingLlm {
    const ID: &'static str = "streaming-llm";
    const CARD: Card = Card {
        title: "StreamingLLM",
        paper: Paper {
            authors: "Xiao et al.",
            year: 2023,
            arxiv: "2309.17453",
            section: "3.2",
        },
        family: Family::Remap,
        idea: "Keep only the first few tokens as attention sinks and the most recent ones, with \
               positions counted inside the cache.",
        formula: "visible: q-k < w or k < s\n\
                  distance seen = q-k if q-k < w, else min(q, s+w-1) - k",
        latex: concat!(
            r"V_{ij} = [i-j < w \lor j < s],\quad ",
            r"\delta_{ij} = i-j\ (i-j < w),\quad \min(i,\ s+w-1) - j\ (\text{else})"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("window", self.window, 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let room = model.trained_length.saturating_sub(self.sinks).max(1);
        let window = self.window.unwrap_or(room.min(2000));
        let last = Expr::Query.min(whole(self.sinks + window - 1));
        let sink = turn_at(&rotary, &inv_freq, last, Expr::Key);
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(sink);
        let first = select_less(Expr::Key, whole(self.sinks), Expr::Raw(1), hidden());
        plan.score = nearer_than(window, raw(), first);
        Ok(plan)
    }
}
