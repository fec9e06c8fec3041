//! HiRoPE spends the fast pairs on the order of tokens and the slow ones on the order of segments.
//!
//! i − j ≤ W: all pairs turn by i − j;  beyond: fast pairs by i − j, slow ones by ⌊i/S⌋ − ⌊j/S⌋ + W − 1
//!
//! Paper: Zhang et al. 2024, arXiv 2403.19115, section 3.
//!
//! Code: none was released. Segments are functions of the source code that the model reads; for other text the paper
//! takes 128 tokens each, and so does this.

use super::frame::{at_least, at_most_half, floor, nearer_than, turn};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, raw};
use farspan_attention::plan::{Geometry, Plan, Positions};

rotary_settings! {
    /// Settings of HiRoPE.
    HiRope {
        /// Tokens in a segment, S.
        #[schemars(range(min = 1))]
        segment: usize = 128,
        /// Distances up to W are seen by all pairs as they are. Left out: 512, or half of the trained length if that is
        /// less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Share of the pairs, from the fastest, that keep the order of tokens.
        #[schemars(range(min = 0, max = 1))]
        fast: f64 = 0.5,
    }
}

impl Scheme for HiRope {
    const ID: &'static str = "hirope";
    const CARD: Card = Card {
        title: "HiRoPE",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2024,
            arxiv: "2403.19115",
            section: "3",
        },
        family: Family::Remap,
        idea: "Use the fast pairs for the order of tokens and the slow ones for the order of the \
               segments that the tokens lie in.",
        formula: "q-k <= W: distance seen = q-k; beyond: q-k by fast pairs, \
                  ⌊q/S⌋ - ⌊k/S⌋ + W - 1 by slow ones",
        latex: concat!(
            r"\delta_{ij} = i-j\ (i-j \le W \lor p\ \text{fast}),\quad ",
            r"\lfloor i/S \rfloor - \lfloor j/S \rfloor + W - 1\ (\text{else})"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check("segment", self.segment, "at least 1", self.segment >= 1)?;
        at_least("window", self.window, 1)?;
        check(
            "fast",
            self.fast,
            "from 0 to 1",
            (0.0..=1.0).contains(&self.fast),
        )
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let window = at_most_half(self.window, 512, model.trained_length);
        let segment = self.segment as f64;
        let fast = (self.fast * inv_freq.len() as f64).floor() as usize;
        let (query, key) = (0..inv_freq.len())
            .map(|pair| {
                if pair < fast {
                    return (Expr::Query, Expr::Key);
                }
                let query = floor(Expr::Query / segment) + (window as f64 - 1.0);
                (query, floor(Expr::Key / segment))
            })
            .unzip();
        let far = turn(
            &rotary,
            &inv_freq,
            Positions::PerPair(query),
            Positions::PerPair(key),
        );
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(far);
        plan.score = nearer_than(window + 1, raw(), Expr::Raw(1));
        Ok(plan)
    }
}
