//! A language whose tokens depend on what stands a known distance back (house form; the aim is that of data with a
//! tunable range of correlation, Garnier-Brun et al. 2024, arXiv 2408.15138).
//!
//! Each token is, with probability p, the one r places before it, and is else drawn uniformly from V symbols; the first
//! r are all drawn. So the useful context is known: of n ≥ r tokens of context the r-th last alone tells something, and
//! of fewer none does. There the best prediction gives it p + (1 − p)/V, every other symbol (1 − p)/V, hence per token
//!
//! ```text
//! H = −(p + (1−p)/V) ln(p + (1−p)/V) − (V−1)(1−p)/V ln((1−p)/V)   nats
//! ```
//!
//! and ln V before ([`Correlated::entropy`]). All tokens but the first are scored.

use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, share, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Correlated {
    /// Distance r to what is copied, tokens.
    pub range: usize,
    /// Share p of tokens that are copies.
    pub copies: f64,
    /// Different symbols V.
    pub symbols: usize,
}

impl Default for Correlated {
    fn default() -> Correlated {
        Correlated {
            range: 16,
            copies: 0.9,
            symbols: 16,
        }
    }
}

impl Task for Correlated {
    const ID: &'static str = "correlated";
    const CARD: Card = Card {
        title: "Language of a known range",
        paper: "House form, after Garnier-Brun et al. 2024, arXiv 2408.15138",
        idea: "Each token is mostly the one a fixed distance back, so it is known how much context helps.",
        longer: "text",
        reading: "A model that uses the context reaches the best accuracy from the range on, at every length. Beyond \
                  the trained length only the encoding can fail: nothing farther away is needed.",
        rule: Rule::Symbols,
        quantity: "tokens right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("range", self.range, 1..=1_000_000)?;
        share("copies", self.copies)?;
        within("symbols", self.symbols, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([(Look::Lower, self.symbols)])
    }

    /// One token that can be a copy.
    fn least(&self, _at: &[f64]) -> usize {
        self.range
    }

    fn why(&self) -> &'static str {
        "one token that can be a copy"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let mut tokens: Vec<u32> = Vec::with_capacity(length + 1);
        for place in 0..=length {
            let copy = place >= self.range && rng.uniform() < self.copies;
            tokens.push(match copy {
                true => tokens[place - self.range],
                false => rng.below(self.symbols as u64) as u32,
            });
        }
        Example {
            answers: vec![Answer::new(1..length + 1)],
            distance: None,
            tokens,
            lures: Vec::new(),
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.symbols as f64
    }

    fn describe(&self) -> String {
        format!(
            "each token with probability {} the one {} back, of {} symbols",
            self.copies, self.range, self.symbols
        )
    }
}

impl Correlated {
    /// What the best predictor loses at a target with so many tokens of context, nats.
    pub fn entropy(&self, context: usize) -> f64 {
        let all = self.symbols as f64;
        if context < self.range {
            return all.ln();
        }
        let other = (1.0 - self.copies) / all;
        let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        term(self.copies + other) + (all - 1.0) * term(other)
    }

    /// Share of targets that the best predictor gets right in examples of a length.
    pub fn best(&self, length: usize) -> f64 {
        let other = 1.0 / self.symbols as f64;
        let known = (length + 1).saturating_sub(self.range) as f64 / length as f64;
        other + known.min(1.0) * self.copies * (1.0 - other)
    }
}
