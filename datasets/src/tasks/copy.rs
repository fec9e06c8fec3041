//! Copy (cmc and rsc: Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks).
//!
//! ```text
//! BOS  c a b  <to>  c a b <end>
//! ```
//!
//! n symbols make 2n + 2 tokens. Published: sources of up to 20 symbols of 100, with repeats, in training (`symbols =
//! 100`) and up to 40 in the test; all of the target and its end right. With `alike`, all symbols of a source are the
//! same (rsc), and what is tested is counting.

use super::strings::{END, Order, Rewrite};
use super::{Alphabet, Card, Rule};
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

impl Rewrite for Copy {
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
    const TIMES: usize = 1;
    const MARKS: usize = 2;
    const ORDER: Option<Order> = Some(Order::Same);

    fn sizes(&self) -> (usize, usize) {
        (self.symbols, self.shortest)
    }

    fn shown(&self, source: Vec<u32>) -> Vec<u32> {
        match self.alike {
            true => vec![source[0]; source.len()],
            false => source,
        }
    }

    fn target(&self, abc: &Alphabet, source: &[u32]) -> Vec<u32> {
        [source, &[abc.id(END, 0)]].concat()
    }

    fn describe(&self) -> String {
        let alike = if self.alike { "equal" } else { "random" };
        format!(
            "copies of strings of {alike} symbols, {} of them",
            self.symbols
        )
    }
}
