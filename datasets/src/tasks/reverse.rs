//! Reverse (mc: Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks; reverse string: Delétang et al. 2022,
//! arXiv 2207.02098).
//!
//! ```text
//! BOS  c a b  <to>  b a c <end>
//! ```
//!
//! n symbols make 2n + 2 tokens. Published (Kazemnejad): 100 symbols, sources of up to 20 in training and up to 40 in
//! the test, all of the target and its end right. Published (Delétang): `symbols = 2`, up to 40 and up to 500, counted
//! by symbol.

use super::strings::{END, Order, Rewrite};
use super::{Alphabet, Card, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reverse {
    /// Different symbols.
    pub symbols: usize,
    /// Symbols of the shortest source in training.
    pub shortest: usize,
}

impl Default for Reverse {
    fn default() -> Reverse {
        Reverse {
            symbols: 26,
            shortest: 1,
        }
    }
}

impl Rewrite for Reverse {
    const ID: &'static str = "reverse";
    const CARD: Card = Card {
        title: "Reverse",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466; Delétang et al. 2022, arXiv 2207.02098",
        idea: "A sequence is to be repeated from its end to its beginning.",
        longer: "symbols",
        reading: "The first symbol asked for is near and the last far: a model that is right at first and then wrong \
                  lacks reach.",
        rule: Rule::All,
        quantity: "reversals right",
    };
    const TIMES: usize = 1;
    const MARKS: usize = 2;
    const ORDER: Option<Order> = Some(Order::Backwards);

    fn sizes(&self) -> (usize, usize) {
        (self.symbols, self.shortest)
    }

    fn target(&self, abc: &Alphabet, source: &[u32]) -> Vec<u32> {
        let mut target: Vec<u32> = source.iter().rev().copied().collect();
        target.push(abc.id(END, 0));
        target
    }

    fn describe(&self) -> String {
        format!("reversal of strings of {} symbols", self.symbols)
    }
}
