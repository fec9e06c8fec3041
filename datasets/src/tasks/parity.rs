//! Parity (Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks; parity check: Delétang et al. 2022, arXiv
//! 2207.02098).
//!
//! ```text
//! BOS  1 0 1 1  <to>  odd1
//! ```
//!
//! Whether a string of bits has an odd number of ones (`odd1`) or an even one (`odd0`). n bits make n + 2 tokens.
//! Published (Kazemnejad): up to 8 bits in training and up to 16 in the test, answered by yes or no. Published
//! (Delétang): up to 40 and up to 500.

use super::draw::size;
use super::{Alphabet, Card, Example, Look, Rule, Task, strings, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const NUMBER: usize = 2;
const ANSWER: usize = 3;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parity {
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for Parity {
    fn default() -> Parity {
        Parity { shortest: 1 }
    }
}

impl Task for Parity {
    const ID: &'static str = "parity";
    const CARD: Card = Card {
        title: "Parity",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466; Delétang et al. 2022, arXiv 2207.02098",
        idea: "It is asked whether a string of bits has an odd number of ones.",
        longer: "symbols",
        reading: "At chance beyond the trained length for every scheme at small sizes: a negative control.",
        rule: Rule::All,
        quantity: "parities right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("shortest", self.shortest, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("to"), 1),
            (Look::Number, 2),
            (Look::Named("odd"), 2),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        3
    }

    fn why(&self) -> &'static str {
        "one symbol, and the marks"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        self.build(rng, length - 2)
    }

    /// Sources of all lengths.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let count = size(rng, self.shortest, length - 2);
        self.build(rng, count)
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        0.5
    }

    fn describe(&self) -> String {
        "parity of strings of bits".into()
    }
}

impl Parity {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let source = abc.draw_many(rng, NUMBER, count);
        let ones = source
            .iter()
            .filter(|bit| **bit == abc.id(NUMBER, 1))
            .count();
        strings::line(&abc, &source, &[abc.id(ANSWER, ones % 2)])
    }
}
