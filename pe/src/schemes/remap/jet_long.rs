//! Jet-Long is SelfExtend whose groups grow with the text: no position that far pairs see is past the trained length.
//!
//! T ≤ L: RoPE;  else G = ⌈T/L⌉ and δ(i, j) = i − j if i − j ≤ W, else ⌊i/G⌋ − ⌊j/G⌋
//!
//! Paper: Jet-Long 2026, arXiv 2607.07740, section 3.
//!
//! Code: as released for Qwen3 ("bifocal dynamic self-extend"): neighbours up to W tokens away, that one included, are seen
//! exactly, and far positions are not shifted to join them, so that distances fall by W − W/G at the edge. The code can put
//! YaRN's frequencies under it as well; that form is not offered.

use super::frame::{at_least, at_most_half, floor, nearer_than, turn_at};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, raw};
use farspan_attention::plan::{Cache, Geometry, Plan};

rotary_settings! {
    /// Settings of Jet-Long.
    JetLong {
        /// Distances up to W are kept ("w_0"). Left out: 2048, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Length L that the weights were trained with, if not the model's ("w").
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for JetLong {
    const ID: &'static str = "jet-long";
    const CARD: Card = Card {
        title: "Jet-Long",
        paper: Paper {
            authors: "NVIDIA",
            year: 2026,
            arxiv: "2607.07740",
            section: "3",
        },
        family: Family::Remap,
        idea: "Show far tokens in groups that grow with the text, so that no position is past the trained length, and \
               neighbours exactly.",
        formula: "distance seen = q-k if q-k ≤ W or T ≤ L, else ⌊q/G⌋ - ⌊k/G⌋ with G = ⌈T/L⌉",
        latex: concat!(
            r"\delta_{ij} = i-j\ (i-j \le W),\quad ",
            r"\lfloor i/G \rfloor - \lfloor j/G \rfloor\ (\text{else}),\quad G = \lceil T/L \rceil"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("window", self.window, 1)?;
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 1", length >= 1)
        })
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let trained = trained_length(self.trained_length, model)?;
        let group = context_len.0.div_ceil(trained);
        let mut plan = rotary.plan(inv_freq.clone(), 1.0);
        // Groups grow with the text, so no turned key can be kept.
        plan.cache = Cache::Unrotated;
        if group > 1 {
            let grouped = |position: Expr| floor(position / group as f64);
            let (query, key) = (grouped(Expr::Query), grouped(Expr::Key));
            plan.rotations.push(turn_at(&rotary, &inv_freq, query, key));
            let window = at_most_half(self.window, 2048, trained);
            plan.score = nearer_than(window + 1, raw(), Expr::Raw(1));
        }
        Ok(plan)
    }
}
