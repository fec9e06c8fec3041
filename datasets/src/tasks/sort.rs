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

use super::strings::{END, Rewrite};
use super::{Alphabet, Card, Rule};
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

impl Rewrite for Sort {
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
    const TIMES: usize = 1;
    const MARKS: usize = 2;

    fn sizes(&self) -> (usize, usize) {
        (self.symbols, self.shortest)
    }

    fn target(&self, abc: &Alphabet, source: &[u32]) -> Vec<u32> {
        let mut target = source.to_vec();
        target.sort_unstable();
        target.push(abc.id(END, 0));
        target
    }

    fn describe(&self) -> String {
        format!("sorting of strings of {} symbols", self.symbols)
    }
}
