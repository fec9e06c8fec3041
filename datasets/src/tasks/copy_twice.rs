//! Copy twice (cmc2x: Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks; duplicate string: Delétang et al.
//! 2022, arXiv 2207.02098).
//!
//! ```text
//! BOS  c a b  <to>  c a b <to> c a b <end>
//! ```
//!
//! n symbols make 3n + 3 tokens. The mark between the copies is part of the answer. Published (Kazemnejad): 100
//! symbols, sources of up to 20 in training and up to 40 in the test. Published (Delétang): `symbols = 2`, no mark
//! between, up to 40 and up to 500, counted by symbol.

use super::draw::size;
use super::{Alphabet, Card, Example, Rule, Task, strings};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CopyTwice {
    /// Different symbols.
    pub symbols: usize,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for CopyTwice {
    fn default() -> CopyTwice {
        CopyTwice {
            symbols: 26,
            shortest: 1,
        }
    }
}

impl Task for CopyTwice {
    const ID: &'static str = "copy-twice";
    const CARD: Card = Card {
        title: "Copy twice",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466; Delétang et al. 2022, arXiv 2207.02098",
        idea: "A sequence is to be repeated twice.",
        longer: "symbols",
        reading: "As copying, and the second time the same symbol stands in two places: a model that copies from the \
                  wrong one still is right.",
        rule: Rule::All,
        quantity: "copies right",
    };

    fn check(&self) -> Result<(), DataError> {
        strings::check(self.symbols, self.shortest)
    }

    fn alphabet(&self) -> Alphabet {
        strings::alphabet(self.symbols)
    }

    fn least(&self, _at: &[f64]) -> usize {
        6
    }

    fn why(&self) -> &'static str {
        "a symbol three times, and the marks"
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
        (self.symbols as f64).powf(-2.0 * longest(length) as f64)
    }

    fn describe(&self) -> String {
        format!("two copies of strings of {} symbols", self.symbols)
    }
}

/// Symbols of the source in an example of a length.
fn longest(length: usize) -> usize {
    (length - 3) / 3
}

impl CopyTwice {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let source = strings::source(rng, self.symbols, count);
        let mut target = source.clone();
        target.push(abc.id(strings::TO, 0));
        target.extend(&source);
        target.push(abc.id(strings::END, 0));
        strings::line(&abc, &source, &target)
    }
}
