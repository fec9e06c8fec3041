//! Odds first (Delétang et al. 2022, arXiv 2207.02098, context-sensitive tasks).
//!
//! ```text
//! BOS  a b c d e  <to>  a c e b d
//! ```
//!
//! First the symbols at odd places, the first being 1, then those at even places. n symbols make 2n + 1 tokens.
//! Published: `symbols = 2`, sources of 1 to 40 in training and up to 500 in the test, counted by symbol; no end mark.

use super::strings::Rewrite;
use super::{Alphabet, Card, Rule};
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

impl Rewrite for OddsFirst {
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
    const TIMES: usize = 1;
    const MARKS: usize = 1;

    fn sizes(&self) -> (usize, usize) {
        (self.symbols, self.shortest)
    }

    fn target(&self, _: &Alphabet, source: &[u32]) -> Vec<u32> {
        let odd = source.iter().step_by(2);
        let even = source.iter().skip(1).step_by(2);
        odd.chain(even).copied().collect()
    }

    fn describe(&self) -> String {
        format!("odd places first, of strings of {} symbols", self.symbols)
    }
}
