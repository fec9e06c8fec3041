//! Odds first (Delétang et al. 2022, arXiv 2207.02098, context-sensitive tasks).
//!
//! ```text
//! BOS  a b c d e  <to>  a c e b d
//! ```
//!
//! First the symbols at odd places, the first being 1, then those at even places. n symbols make 2n + 1 tokens.
//! Published: `symbols = 2`, sources of 1 to 40 in training and up to 500 in the test, counted by symbol; no end mark.

use super::draw::size;
use super::{Alphabet, Card, Example, Rule, Task, strings};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OddsFirst {
    /// Different symbols.
    pub symbols: usize,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for OddsFirst {
    fn default() -> OddsFirst {
        OddsFirst {
            symbols: 2,
            shortest: 1,
        }
    }
}

impl Task for OddsFirst {
    const ID: &'static str = "odds-first";
    const CARD: Card = Card {
        title: "Odds first",
        paper: "Delétang et al. 2022, arXiv 2207.02098, context-sensitive tasks",
        idea: "The symbols at odd places are to be repeated, then those at even places.",
        longer: "symbols",
        reading: "Needs steps of two: positions are read, not only order. Symbols by the half they are in show which \
                  of both fails.",
        rule: Rule::Symbols,
        quantity: "symbols right",
    };

    fn check(&self) -> Result<(), DataError> {
        strings::check(self.symbols, self.shortest)
    }

    fn alphabet(&self) -> Alphabet {
        strings::alphabet(self.symbols)
    }

    fn least(&self, _at: &[f64]) -> usize {
        3
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

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.symbols as f64
    }

    fn describe(&self) -> String {
        format!("odd places first, of strings of {} symbols", self.symbols)
    }
}

/// Symbols of the source in an example of a length.
fn longest(length: usize) -> usize {
    (length - 1) / 2
}

impl OddsFirst {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let source = strings::source(rng, self.symbols, count);
        let odd = source.iter().step_by(2);
        let target: Vec<u32> = odd
            .chain(source.iter().skip(1).step_by(2))
            .copied()
            .collect();
        strings::line(&abc, &source, &target)
    }
}
