//! Missing duplicate (Delétang et al. 2022, arXiv 2207.02098, context-sensitive tasks).
//!
//! ```text
//! BOS  a b b a  a _ b a  <to>  b
//! ```
//!
//! A string is shown twice, one after the other, with one symbol of the two hidden; it is asked for. A string of n
//! symbols makes 2n + 2 tokens. Published: `symbols = 2`, both together 1 to 40 long in training and up to 500 in the
//! test; odd lengths are filled up with a blank there, and are one token short here.

use super::draw::size;
use super::{Alphabet, Card, Example, Look, Rule, Task, strings};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In the place of the end mark, which a single symbol does not need.
const HOLE: usize = strings::END;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MissingDuplicate {
    /// Different symbols.
    pub symbols: usize,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for MissingDuplicate {
    fn default() -> MissingDuplicate {
        MissingDuplicate {
            symbols: 2,
            shortest: 1,
        }
    }
}

impl Task for MissingDuplicate {
    const ID: &'static str = "missing-duplicate";
    const CARD: Card = Card {
        title: "Missing duplicate",
        paper: "Delétang et al. 2022, arXiv 2207.02098, context-sensitive tasks",
        idea: "A string is shown twice with one symbol hidden, which is asked for.",
        longer: "symbols",
        reading: "The symbol is found at one distance, half the length: the sharpest of the string tasks for telling \
                  encodings apart.",
        rule: Rule::Symbols,
        quantity: "symbols right",
    };

    fn check(&self) -> Result<(), DataError> {
        strings::check(self.symbols, self.shortest)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("to"), 1),
            (Look::Mark("hole"), 1),
            (Look::Lower, self.symbols),
        ])
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

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.symbols as f64
    }

    fn describe(&self) -> String {
        format!(
            "missing one of two copies of strings of {} symbols",
            self.symbols
        )
    }
}

/// Symbols of the source in an example of a length.
fn longest(length: usize) -> usize {
    (length - 2) / 2
}

impl MissingDuplicate {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let source = strings::source(rng, self.symbols, count);
        let mut both = source.repeat(2);
        let hidden = rng.below(both.len() as u64) as usize;
        let symbol = std::mem::replace(&mut both[hidden], abc.id(HOLE, 0));
        Example {
            // The first of the hidden symbol and its twin stands in the first copy.
            distance: Some(2 * count + 1 - hidden % count),
            ..strings::line(&abc, &both, &[symbol])
        }
    }
}
