//! SELF is SelfExtend with groups that grow: the farther from the text's beginning, the more tokens share a position, along
//! a logistic curve.
//!
//! δ(i, j) = i − j if i − j < W, else W + f(i − W) − f(j);  f numbers the groups: one of g tokens for each whole number in
//! [y(g), y(g + 1)), y(g) = (ln(g·(C − 1)) − ln(C − g))/r, from g = 1 on; all from the last on have C − 1 tokens
//!
//! Paper: Dang et al. 2025, arXiv 2505.17296, section 3.
//!
//! Code: as in `logistic.cu`, in which the first group has one token more (index x falls into the group of x − 1). Its
//! defaults are r = 0.02 and C = 33; the files for single models pass other capacities, one of them the window. A rate so
//! high that some size has no group is refused, where the code would skip tokens.

use super::frame::{at_least, at_most_half, floor, nearer_than, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, number, raw, select_less};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of SELF.
    SelfLogistic {
        /// Distances below W are kept. Left out: 1024, or half of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        window: Option<usize> = None,
        /// Rate r of the logistic curve: the higher, the sooner groups grow.
        #[schemars(extend("exclusiveMinimum" = 0))]
        rate: f64 = 0.02,
        /// Capacity C: no group has more than C − 1 tokens.
        #[schemars(range(min = 3, max = 128))]
        capacity: usize = 33,
    }
}

/// Groups of one size: the first number and the first token (but for the shift by one) of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    tokens: usize,
    first_group: f64,
    first_token: f64,
}

impl SelfLogistic {
    /// Groups by size, from 1 token on.
    fn runs(&self) -> Result<Vec<Run>, PlanError> {
        let capacity = self.capacity as f64;
        let edge = |size: usize| {
            let size = size as f64;
            ((size * capacity - size).ln() - (capacity - size).ln()) / self.rate
        };
        let mut runs = Vec::new();
        let mut first_token = 0.0;
        for tokens in 1..self.capacity - 1 {
            let (first, next) = (edge(tokens).ceil(), edge(tokens + 1).ceil());
            let rule = format!("so low that some group has {tokens} tokens");
            check("rate", self.rate, &rule, next > first)?;
            runs.push(Run {
                tokens,
                first_group: first,
                first_token,
            });
            first_token += (next - first) * tokens as f64;
        }
        runs.push(Run {
            tokens: self.capacity - 1,
            first_group: edge(self.capacity - 1).ceil(),
            first_token,
        });
        Ok(runs)
    }
}

/// f(x) for the token `x`.
fn group_of(x: &Expr, runs: &[Run]) -> Expr {
    if let [run] = runs {
        let within = (x.clone() - 1.0 - run.first_token) / run.tokens as f64;
        return floor(within) + run.first_group;
    }
    // Halving keeps the depth logarithmic.
    let (low, high) = runs.split_at(runs.len() / 2);
    let bound = number(high[0].first_token + 1.0);
    select_less(x.clone(), bound, group_of(x, low), group_of(x, high))
}

impl Scheme for SelfLogistic {
    const ID: &'static str = "self";
    const CARD: Card = Card {
        title: "SELF",
        paper: Paper {
            authors: "Dang et al.",
            year: 2025,
            arxiv: "2505.17296",
            section: "3",
        },
        family: Family::Remap,
        idea: "Keep the distances of neighbours exact and see everything farther in groups whose sizes grow along a \
               logistic curve.",
        formula: "distance seen = q-k if q-k < W, else W + f(q-W) - f(k), f the number of the group\n\
                  groups of g tokens from number (ln(g(C-1)) - ln(C-g))/r on",
        latex: concat!(
            r"\delta_{ij} = i-j\ (i-j < W),\quad W + f(i-W) - f(j)\ (\text{else}),\quad ",
            r"y(g) = \frac{\ln(g(C-1)) - \ln(C-g)}{r}"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("window", self.window, 1)?;
        let fits = self.rate > 0.0 && self.rate.is_finite();
        check("rate", self.rate, "above 0 and finite", fits)?;
        let fits = (3..=128).contains(&self.capacity);
        check("capacity", self.capacity, "from 3 to 128", fits)?;
        self.runs().map(|_| ())
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let window = at_most_half(self.window, 1024, model.trained_length);
        let runs = self.runs()?;
        // No token lies before the first.
        let group = |x: Expr| group_of(&x.max(number(0.0)), &runs).max(number(0.0));
        let query = group(Expr::Query - window as f64) + whole(window);
        let far = turn_at(&rotary, &inv_freq, query, group(Expr::Key));
        let mut plan = rotary.plan(inv_freq, 1.0);
        plan.rotations.push(far);
        plan.score = nearer_than(window, raw(), Expr::Raw(1));
        Ok(plan)
    }
}
