//! DPE groups positions as SelfExtend does, but each group of channel pairs by a factor of its own.
//!
//! pair in group g, factor f_g: δ(i, j) = i − j if i − j < W, else ⌊i/f_g⌋ + W − W/f_g − ⌊j/f_g⌋
//!
//! Paper: Lu et al. 2025, arXiv 2504.18857, section 3.
//!
//! Code: prefill divides W/f truly, decoding rounds it down; equal if f divides W, as all published factors do. The
//! authors apply the factors only to the 48 of 64 pairs of each layer and head that weigh most in measured scores; here
//! one choice (`pairs`) serves all layers and heads, for positions are either per head or per pair. Published factors:
//! Llama-3-8B [2, 8, 2, 8, 32, 32, 32, 4] (the default), Mistral [4, 16, 2, 16, 32, 16, 16, 2], Llama-3.1
//! [2, 32, 32, 2, 2, 2, 2, 1], Qwen-2.5 [2, 16, 8, 8, 32, 8, 2, 4].

use super::frame::{at_least, at_most_half, floor, nearer_than, turn};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, raw};
use farspan_attention::plan::{Geometry, Plan, Positions};

rotary_settings! {
    /// Settings of DPE.
    Dpe {
        /// Factor of each group of pairs, from the fastest pairs to the slowest; groups are as equal as can be.
        #[schemars(inner(range(min = 1)), length(min = 1))]
        factors: Vec<usize> = vec![2, 8, 2, 8, 32, 32, 32, 4],
        /// Distances below W are kept. Left out: 1024, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Pairs that the factors apply to, from 0 on; the others keep their distances. Left out: all.
        #[serde(skip_serializing_if = "Option::is_none")]
        pairs: Option<Vec<usize>> = None,
    }
}

impl Scheme for Dpe {
    const ID: &'static str = "dpe";
    const CARD: Card = Card {
        title: "DPE (dimension-wise positional embedding manipulation)",
        paper: Paper {
            authors: "Lu et al.",
            year: 2025,
            arxiv: "2504.18857",
            section: "3",
        },
        family: Family::Remap,
        idea: "Group far positions by a factor of its own for each group of channel pairs, for \
               pairs differ in the distances that they bear.",
        formula: "pair p with factor f: distance seen = q-k if q-k < W, else \
                  ⌊q/f⌋ + W - W/f - ⌊k/f⌋",
        latex: concat!(
            r"\delta^{(p)}_{ij} = i-j\ (i-j < W),\quad ",
            r"\lfloor i/f_p \rfloor + W - W/f_p - \lfloor j/f_p \rfloor\ (\text{else})"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let shown = || format!("{:?}", self.factors);
        let holds = !self.factors.is_empty() && self.factors.iter().all(|f| *f >= 1);
        check(
            "factors",
            shown(),
            "at least one whole number, each at least 1",
            holds,
        )?;
        at_least("window", self.window, 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let window = at_most_half(self.window, 1024, model.trained_length) as f64;
        let factors = self.of_pairs(inv_freq.len())?;
        let (query, key) = factors
            .into_iter()
            .map(|factor| match factor {
                1 => (Expr::Query, Expr::Key),
                f => {
                    let f = f as f64;
                    let query = floor(Expr::Query / f) + (window - window / f);
                    (query, floor(Expr::Key / f))
                }
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
        plan.score = nearer_than(window as usize, raw(), Expr::Raw(1));
        Ok(plan)
    }
}

impl Dpe {
    /// The factor of each of so many pairs.
    fn of_pairs(&self, pairs: usize) -> Result<Vec<usize>, PlanError> {
        let groups = self.factors.len();
        let rule = format!("at most the number of channel pairs, {pairs}");
        check_model("number of factors", groups, &rule, groups <= pairs)?;
        let chosen = self.pairs.as_deref();
        if let Some(pair) = chosen.and_then(|chosen| chosen.iter().find(|pair| **pair >= pairs)) {
            let rule = format!("below the number of channel pairs, {pairs}");
            check_model("a pair of `pairs`", pair, &rule, false)?;
        }
        let factor = |pair: usize| match chosen {
            Some(chosen) if !chosen.contains(&pair) => 1,
            _ => self.factors[pair * groups / pairs],
        };
        Ok((0..pairs).map(factor).collect())
    }
}
