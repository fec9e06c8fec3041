//! STRING shifts the positions of far tokens down, so that distances that were seen often in training stand for those
//! that were not.
//!
//! δ(i, j) = i − j if i − j < S, else i − j − S + W
//!
//! Paper: An et al. 2024, arXiv 2410.18745, section 4.
//!
//! Code: cos and sin are multiplied by 0.1·ln 2 + 1 at any length (`amplitude`). The released prefill counts the pairs at
//! distance exactly S twice, once in each band, which its own decoding does not; no score of a single pair can say that,
//! and it is a defect: here each pair counts once. The file for Qwen-2 also takes YaRN's frequencies; not here.

use super::dca::enlarged;
use super::frame::{at_least, nearer_than, turn_at};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, raw};
use farspan_attention::plan::{Geometry, Plan};
use std::f64::consts::LN_2;

rotary_settings! {
    /// Settings of STRING.
    StringShift {
        /// Distances below S are kept ("shifted_offset"). Left out: a third of the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        offset: Option<usize> = None,
        /// Distance W at which those from S on start again ("small_local_value"); at most S. Left out: 128, or half of S
        /// if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        local: Option<usize> = None,
        /// Factor of cos and sin, at any length.
        #[schemars(extend("exclusiveMinimum" = 0))]
        amplitude: f64 = 0.1 * LN_2 + 1.0,
    }
}

impl Scheme for StringShift {
    const ID: &'static str = "string";
    const CARD: Card = Card {
        title: "STRING",
        paper: Paper {
            authors: "An et al.",
            year: 2024,
            arxiv: "2410.18745",
            section: "4",
        },
        family: Family::Remap,
        idea: "Shift far distances down so that well-trained distances take the place of \
               undertrained ones.",
        formula: "distance seen = q-k if q-k < S, else q-k-S+W\namplitude A = 0.1·ln 2 + 1",
        latex: r"\delta_{ij} = i-j\ (i-j < S),\quad i-j-S+W\ (\text{else}),\quad A = 0.1\ln 2 + 1",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("offset", self.offset, 1)?;
        if let (Some(local), Some(offset)) = (self.local, self.offset) {
            check(
                "local",
                local,
                &format!("at most offset = {offset}"),
                local <= offset,
            )?;
        }
        let holds = self.amplitude > 0.0 && self.amplitude.is_finite();
        check("amplitude", self.amplitude, "above 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let offset = self.offset.unwrap_or((model.trained_length / 3).max(1));
        let local = self.local.unwrap_or((offset / 2).min(128));
        let rule = format!("at most offset = {offset}, a share of the trained length unless set");
        check_model("local", local, &rule, local <= offset)?;
        let shifted = Expr::Query - (offset - local) as f64;
        let far = turn_at(&rotary, &inv_freq, shifted, Expr::Key);
        let mut plan = rotary.plan(inv_freq, self.amplitude);
        plan.rotations.push(enlarged(far, self.amplitude));
        plan.score = nearer_than(offset, raw(), Expr::Raw(1));
        Ok(plan)
    }
}
