//! Access by place: the i-th symbol from the front or from the end (house form; "Your context is not an array",
//! Ebrahimi et al. 2024, arXiv 2408.05506, asks for it by index and by content).
//!
//! ```text
//! BOS  c a a d b …  <ask> i symbol
//! ```
//!
//! i is one symbol, not a numeral. Places from the front are told apart by absolute position, those from the end by
//! distance. Training windows hold sequences of all lengths: were all of one length, both would be the same.

use super::draw::size;
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ASK: usize = 1;
const INDEX: usize = 2;
const SYMBOL: usize = 3;

/// Where places are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// 1 is the first symbol.
    Front,
    /// 1 is the last symbol.
    End,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomAccess {
    /// Where places are counted from.
    pub from: From,
    /// Places that have an index. One beyond the longest training window is a symbol that no training saw.
    pub indices: usize,
    /// Different symbols.
    pub symbols: usize,
}

impl Default for RandomAccess {
    fn default() -> RandomAccess {
        RandomAccess {
            from: From::Front,
            indices: 32,
            symbols: 16,
        }
    }
}

impl Task for RandomAccess {
    const ID: &'static str = "random-access";
    const CARD: Card = Card {
        title: "Access by place",
        paper: "House form, after Ebrahimi et al. 2024, arXiv 2408.05506",
        idea: "The symbol at a given place of a random sequence is asked for.",
        longer: "symbols",
        reading: "From the end, a scheme of distances should be right at any length; from the front, one of absolute \
                  positions. Whichever falls with the length does not know the other.",
        rule: Rule::All,
        quantity: "symbols found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("indices", self.indices, 1..=1_000_000)?;
        within("symbols", self.symbols, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("ask"), 1),
            (Look::Ordinal, self.indices),
            (Look::Lower, self.symbols),
        ])
    }

    fn factors(&self) -> Vec<Factor> {
        let powers = (0..20).map(|n| 1 << n).take_while(|i| *i <= self.indices);
        vec![Factor {
            name: "index",
            title: "place asked for",
            share: false,
            values: powers.map(|i| i as f64).collect(),
        }]
    }

    fn least(&self, at: &[f64]) -> usize {
        match at[0] as usize {
            index if index <= self.indices => index + 3,
            _ => usize::MAX,
        }
    }

    fn why(&self) -> &'static str {
        "as many symbols as the index says, and the question; the index is one of those there are"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        self.build(rng, length - 3, at[0] as usize)
    }

    /// Sequences of all lengths and every place of them.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let symbols = size(rng, 1, length - 3);
        let index = size(rng, 1, symbols.min(self.indices));
        self.build(rng, symbols, index)
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.symbols as f64
    }

    fn describe(&self) -> String {
        let from = match self.from {
            From::Front => "front",
            From::End => "end",
        };
        format!(
            "one of the first {} places from the {from}, {} symbols",
            self.indices, self.symbols
        )
    }
}

impl RandomAccess {
    fn build(&self, rng: &mut Stream, count: usize, index: usize) -> Example {
        let abc = self.alphabet();
        let mut tokens = vec![abc.id(BOS, 0)];
        tokens.extend(abc.draw_many(rng, SYMBOL, count));
        let found = match self.from {
            From::Front => index,
            From::End => count + 1 - index,
        };
        tokens.extend([abc.id(ASK, 0), abc.id(INDEX, index - 1)]);
        let asked = tokens.len();
        tokens.push(tokens[found]);
        Example {
            answers: vec![Answer::new(asked..asked + 1)],
            distance: Some(asked - found),
            tokens,
            lures: Vec::new(),
        }
    }
}
