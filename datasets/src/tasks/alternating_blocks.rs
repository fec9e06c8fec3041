//! Alternating blocks (Yang, Cadilhac & Chiang 2025, Knee-deep in C-RASP, arXiv 2506.16055, experiments).
//!
//! ```text
//! fed       BOS  a  a  b  b  b  a  b  b      k = 4
//! asked          0  0  0  0  0  0  1  1
//! ```
//!
//! A string of k blocks of a and b in turn, beginning with a. After each symbol it is asked whether the string so far
//! has all k blocks; that mark is not fed. All strings of a length are equally likely.
//!
//! Published: k from 3 to 12, one head, 1 to 12 layers, trained on lengths 101 to 150 (`shortest = 101`, windows of
//! 151), tested up to 300, 1000 strings each, the whole string right. In theory d layers without positions solve k up
//! to d + 2 and no more.

use super::draw::size;
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const SYMBOL: usize = 1;
const MARK: usize = 2;
const END: usize = 3;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlternatingBlocks {
    /// Blocks k of a string.
    pub blocks: usize,
    /// Symbols of the shortest string in training.
    pub shortest: usize,
}

impl Default for AlternatingBlocks {
    fn default() -> AlternatingBlocks {
        AlternatingBlocks {
            blocks: 4,
            shortest: 1,
        }
    }
}

impl Task for AlternatingBlocks {
    const ID: &'static str = "alternating-blocks";
    const CARD: Card = Card {
        title: "Alternating blocks",
        paper: "Yang, Cadilhac & Chiang 2025, arXiv 2506.16055, experiments",
        idea: "After each symbol of a string of k alternating blocks it is asked whether the k-th has begun.",
        longer: "symbols in the blocks",
        reading: "Without positions, d layers should solve k ≤ d + 2 at all lengths and no larger k; an encoding \
                  that moves the bound adds power.",
        rule: Rule::All,
        quantity: "strings right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("blocks", self.blocks, 1..=1000)?;
        within("shortest", self.shortest, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Lower, 2),
            (Look::Number, 2),
            (Look::Mark("end"), 1),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        1 + self.blocks
    }

    fn why(&self) -> &'static str {
        "a symbol for each block"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let symbols = length - 1;
        // Where blocks but the first begin.
        let mut begins = rng.choose_distinct(symbols - 1, self.blocks - 1);
        begins.sort_unstable();
        let mut tokens = vec![abc.id(BOS, 0)];
        let mut say = Vec::with_capacity(symbols);
        for place in 0..symbols {
            let before = begins.partition_point(|&begin| begin < place);
            tokens.push(abc.id(SYMBOL, before % 2));
            say.push(abc.id(MARK, usize::from(before + 1 == self.blocks)));
        }
        tokens.push(abc.id(END, 0));
        Example {
            answers: vec![Answer {
                at: 2..length + 1,
                say,
                ..Answer::default()
            }],
            tokens,
            ..Example::default()
        }
    }

    /// Strings of all lengths from the shortest on.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let shortest = self.shortest.max(self.blocks);
        let symbols = size(rng, shortest, length - 1);
        self.example(rng, symbols + 1, &[])
    }

    fn chance(&self, length: usize, _at: &[f64]) -> f64 {
        0.5f64.powf((length - 1) as f64)
    }

    fn describe(&self) -> String {
        format!(
            "strings of {} alternating blocks, of {} symbols or more in training",
            self.blocks, self.shortest
        )
    }
}
