//! SelfExtend keeps the distances of neighbours and shows everything farther in groups, joined at the window's edge.
//!
//! δ(i, j) = i − j if i − j < W, else ⌊i/G⌋ + W − W/G − ⌊j/G⌋
//!
//! Paper: Jin et al. 2024, arXiv 2401.01325, section 3.
//!
//! Code: the current Llama patch divides W/G truly, older ones and the decoding of Phi round it down
//! (`shift = "floor"`); equal if G divides W. The patches can multiply queries by max(1, ln(i + 1)/ln S) (`scale_base`).
//! Distances are not relative: past the window they may differ by one with i mod G.

use super::frame::{at_most_half, floor, nearer_than, turn_at};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, Unary, number, raw};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

rotary_settings! {
    /// Settings of SelfExtend.
    SelfExtend {
        /// Tokens in a group, G ("group_size_1").
        #[schemars(range(min = 1))]
        group: usize = 8,
        /// Distances below W are kept ("group_size_2"). Left out: 1024, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// How W is divided by G in the shift of far queries.
        shift: Shift = Shift::Exact,
        /// Multiply scores by max(1, ln(i + 1)/ln S) with this S.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(extend("exclusiveMinimum" = 1))]
        scale_base: Option<f64> = None,
    }
}

/// How SelfExtend divides the window by the size of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// W/G, a fraction if G does not divide W: the current Llama patch.
    Exact,
    /// ⌊W/G⌋: older patches.
    Floor,
}

impl Scheme for SelfExtend {
    const ID: &'static str = "self-extend";
    const CARD: Card = Card {
        title: "SelfExtend",
        paper: Paper {
            authors: "Jin et al.",
            year: 2024,
            arxiv: "2401.01325",
            section: "3",
        },
        family: Family::Remap,
        idea: "Keep the distances of neighbours exact and see everything farther in groups that \
               share a position.",
        formula: "distance seen = q-k if q-k < W, else ⌊q/G⌋ + W - W/G - ⌊k/G⌋",
        latex: concat!(
            r"\delta_{ij} = i-j\ (i-j < W),\quad ",
            r"\lfloor i/G \rfloor + W - W/G - \lfloor j/G \rfloor\ (\text{else})"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check("group", self.group, "at least 1", self.group >= 1)?;
        super::frame::at_least("window", self.window, 1)?;
        self.scale_base.map_or(Ok(()), |base| {
            check(
                "scale_base",
                base,
                "above 1 and finite",
                base > 1.0 && base.is_finite(),
            )
        })
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let window = at_most_half(self.window, 1024, model.trained_length);
        let group = self.group as f64;
        let divided = match self.shift {
            Shift::Exact => window as f64 / group,
            Shift::Floor => (window / self.group) as f64,
        };
        let query = floor(Expr::Query / group) + (window as f64 - divided);
        let far = turn_at(&rotary, &inv_freq, query, floor(Expr::Key / group));
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(far);
        plan.score = nearer_than(window, raw(), Expr::Raw(1));
        plan.query_scale = self
            .scale_base
            .map(|base| number(1.0).max((Expr::Query + 1.0).unary(Unary::Ln) / base.ln()));
        Ok(plan)
    }
}
