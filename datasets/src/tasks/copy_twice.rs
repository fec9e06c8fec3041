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

use super::strings::{END, Rewrite, TO};
use super::{Alphabet, Card, Rule};
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

impl Rewrite for CopyTwice {
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
    const TIMES: usize = 2;
    const MARKS: usize = 3;

    fn sizes(&self) -> (usize, usize) {
        (self.symbols, self.shortest)
    }

    fn target(&self, abc: &Alphabet, source: &[u32]) -> Vec<u32> {
        let [to, end] = [TO, END].map(|mark| abc.id(mark, 0));
        [source, &[to], source, &[end]].concat()
    }

    fn describe(&self) -> String {
        format!("two copies of strings of {} symbols", self.symbols)
    }
}
