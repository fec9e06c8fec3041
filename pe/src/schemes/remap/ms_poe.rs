//! Ms-PoE squeezes positions a little, each head by a ratio of its own, so that some heads see the middle as nearer.
//!
//! head h: δ(i, j) = (i − j)/ρ_h, ρ_h = ρ_min + (ρ_max − ρ_min)·r/H for the rank r of the head among H
//!
//! Paper: Zhang et al. 2024, arXiv 2403.04797, section 3.
//!
//! Code: the rank is that of the head's share of outlier keys in the first prompt, and the released code looks it up the
//! wrong way round (the inverse of the permutation). An order that follows content is not a plan; here it is the head's
//! index, or the reversed index, which is the code's option "normal". With fewer key heads than query heads the released
//! code turns the queries of a group by ratios of their own and its keys by the first one's, so that scores no longer
//! depend on distances; here a group shares the ratio of its first head unless `per_query_head`. The code leaves the
//! first two layers alone; here all layers are alike.

use super::frame::turn;
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::Expr;
use farspan_attention::plan::{Geometry, Plan, Positions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

rotary_settings! {
    /// Settings of Ms-PoE.
    MsPoe {
        /// Ratio of the head of rank 0.
        #[schemars(range(min = 1))]
        min_ratio: f64 = 1.2,
        /// Ratio that the head after the last one would have; at least `min_ratio`.
        #[schemars(range(min = 1))]
        max_ratio: f64 = 1.8,
        /// Which head has which rank.
        order: Order = Order::Index,
        /// Where several query heads share a key head: let each query head have its own ratio, as the released code
        /// does, although its keys then turn by another one.
        per_query_head: bool = false,
    }
}

/// Ranks of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The first head has rank 0.
    Index,
    /// The last head has rank 0.
    Reversed,
}

impl Scheme for MsPoe {
    const ID: &'static str = "ms-poe";
    const CARD: Card = Card {
        title: "Ms-PoE (multi-scale positional encoding)",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2024,
            arxiv: "2403.04797",
            section: "3",
        },
        family: Family::Remap,
        idea: "Divide positions by a small ratio that differs from head to head.",
        formula: "distance seen by head h = (q-k)/ρ_h, ρ_h = ρ_min + (ρ_max-ρ_min)·r_h/H",
        latex: concat!(
            r"\delta^{(h)}_{ij} = (i-j)/\rho_h,\quad ",
            r"\rho_h = \rho_{\min} + (\rho_{\max}-\rho_{\min})\,r_h/H"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let ratio = |key, x: f64| check(key, x, "at least 1 and finite", x >= 1.0 && x.is_finite());
        ratio("min_ratio", self.min_ratio)?;
        ratio("max_ratio", self.max_ratio)?;
        let rule = format!("at least min_ratio = {}", self.min_ratio);
        check(
            "max_ratio",
            self.max_ratio,
            &rule,
            self.max_ratio >= self.min_ratio,
        )
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let group = model.heads / model.kv_heads.max(1);
        let at = |position: Expr, head: usize| position / self.ratio(head, model.heads);
        let query = (0..model.heads).map(|head| {
            let first = if self.per_query_head {
                head
            } else {
                head - head % group.max(1)
            };
            at(Expr::Query, first)
        });
        let key = (0..model.kv_heads).map(|head| at(Expr::Key, head * group));
        let turn = turn(
            &rotary,
            &inv_freq,
            Positions::PerHead(query.collect()),
            Positions::PerHead(key.collect()),
        );
        Ok(Plan {
            rotations: vec![turn],
            ..Plan::default()
        })
    }
}

impl MsPoe {
    fn ratio(&self, head: usize, heads: usize) -> f64 {
        let rank = match self.order {
            Order::Index => head,
            Order::Reversed => heads - 1 - head,
        };
        self.min_ratio + (self.max_ratio - self.min_ratio) * rank as f64 / heads as f64
    }
}
