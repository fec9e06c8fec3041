//! Sort (single token: Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks; bucket sort: Delétang et al. 2022,
//! arXiv 2207.02098).
//!
//! ```text
//! BOS  c a b a  <to>  a a b c <end>
//! ```
//!
//! The order is that of the ids, which nothing in the input shows. n symbols make 2n + 2 tokens. Published
//! (Kazemnejad): `symbols = 50`, sources of up to 8 in training and up to 16 in the test, all of the target right.
//! Published (Delétang): `symbols = 5`, up to 40 and up to 500, counted by symbol.

use super::draw::size;
use super::{Alphabet, Card, Example, Rule, Task, strings};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sort {
    /// Different symbols.
    pub symbols: usize,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for Sort {
    fn default() -> Sort {
        Sort {
            symbols: 50,
            shortest: 1,
        }
    }
}

impl Task for Sort {
    const ID: &'static str = "sort";
    const CARD: Card = Card {
        title: "Sort",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466; Delétang et al. 2022, arXiv 2207.02098",
        idea: "A sequence is to be repeated in the order of its symbols.",
        longer: "symbols",
        reading: "Needs no positions at all but to know what was already said: a scheme that fails here disturbs \
                  content.",
        rule: Rule::All,
        quantity: "lists right",
    };

    fn check(&self) -> Result<(), DataError> {
        strings::check(self.symbols, self.shortest)
    }

    fn alphabet(&self) -> Alphabet {
        strings::alphabet(self.symbols)
    }

    fn least(&self, _at: &[f64]) -> usize {
        4
    }

    fn why(&self) -> &'static str {
        "a symbol twice, and the marks"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        self.build(rng, longest(length))
    }

    /// Sources of all lengths.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let count = size(rng, self.shortest, longest(length));
        self.build(rng, count)
    }

    fn chance(&self, length: usize, _at: &[f64]) -> f64 {
        (self.symbols as f64).powf(-(longest(length) as f64))
    }

    fn describe(&self) -> String {
        format!("sorting of strings of {} symbols", self.symbols)
    }
}

/// Symbols of the source in an example of a length.
fn longest(length: usize) -> usize {
    (length - 2) / 2
}

impl Sort {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let source = strings::source(rng, self.symbols, count);
        let mut target = source.clone();
        target.sort_unstable();
        target.push(abc.id(strings::END, 0));
        strings::line(&abc, &source, &target)
    }
}
