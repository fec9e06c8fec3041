//! Sum modulo a number (Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks).
//!
//! ```text
//! BOS  3 8 1  <to>  =2
//! ```
//!
//! Numbers from 1 to the modulus less one are added; the sum modulo it is asked for. n numbers make n + 2 tokens.
//! Published: `modulus = 10`, up to 8 numbers in training and up to 16 in the test, with plus signs between. (Delétang
//! et al. 2022, arXiv 2207.02098, modular arithmetic: `modulus = 5`, with minus and times as well.)

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
pub struct Summation {
    /// What the sum is taken modulo of.
    pub modulus: usize,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for Summation {
    fn default() -> Summation {
        Summation {
            modulus: 10,
            shortest: 1,
        }
    }
}

impl Task for Summation {
    const ID: &'static str = "summation";
    const CARD: Card = Card {
        title: "Sum modulo a number",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466",
        idea: "Numbers are added, and the sum modulo ten is asked for.",
        longer: "symbols",
        reading: "Near chance beyond the trained length for every scheme at small sizes: a negative control.",
        rule: Rule::All,
        quantity: "sums right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("modulus", self.modulus, 2..=1_000_000)?;
        within("shortest", self.shortest, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("to"), 1),
            (Look::Number, self.modulus),
            (Look::Named("="), self.modulus),
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
        1.0 / self.modulus as f64
    }

    fn describe(&self) -> String {
        format!("sums modulo {}", self.modulus)
    }
}

impl Summation {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let terms = (0..count).map(|_| 1 + rng.below(self.modulus as u64 - 1) as usize);
        let terms: Vec<usize> = terms.collect();
        let source: Vec<u32> = terms.iter().map(|&term| abc.id(NUMBER, term)).collect();
        let sum = terms.iter().sum::<usize>() % self.modulus;
        strings::line(&abc, &source, &[abc.id(ANSWER, sum)])
    }
}
