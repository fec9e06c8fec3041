//! Copy (cmc and rsc: Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks).
//!
//! ```text
//! BOS  c a b  <to>  c a b <end>
//! ```
//!
//! n symbols make 2n + 2 tokens. Published: sources of up to 20 symbols of 100, with repeats, in training (`symbols =
//! 100`) and up to 40 in the test; all of the target and its end right. With `alike`, all symbols of a source are the
//! same (rsc), and what is tested is counting.

use super::draw::size;
use super::{Alphabet, Card, Example, Rule, Task, strings};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Copy {
    /// Different symbols.
    pub symbols: usize,
    /// Whether all symbols of a source are the same.
    pub alike: bool,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for Copy {
    fn default() -> Copy {
        Copy {
            symbols: 26,
            alike: false,
            shortest: 1,
        }
    }
}

impl Task for Copy {
    const ID: &'static str = "copy";
    const CARD: Card = Card {
        title: "Copy",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466",
        idea: "A sequence is to be repeated.",
        longer: "symbols",
        reading: "A model that has learned it copies everything within the trained length; beyond it none or T5 hold \
                  longest, and rotary and absolute fail at once. A right start with a wrong end is a wrong count.",
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
        let alike = if self.alike { "equal" } else { "random" };
        format!(
            "copies of strings of {alike} symbols, {} of them",
            self.symbols
        )
    }
}

/// Symbols of the source in an example of a length.
fn longest(length: usize) -> usize {
    (length - 2) / 2
}

impl Copy {
    fn build(&self, rng: &mut Stream, count: usize) -> Example {
        let abc = self.alphabet();
        let source = strings::source(rng, self.symbols, count);
        let source = match self.alike {
            true => vec![source[0]; count],
            false => source,
        };
        let target = [&source[..], &[abc.id(strings::END, 0)]].concat();
        strings::line(&abc, &source, &target)
    }
}
