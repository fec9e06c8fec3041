//! Flip-flop language modelling (Liu et al. 2023, arXiv 2306.00946, section 3).
//!
//! ```text
//! w 1  i 0  i 1  r 1  w 0  i 1  …  r 0
//! ```
//!
//! Pairs of an instruction and a bit: w writes it, i is to be ignored, and after r stands the bit that was last
//! written. The first instruction is w and the last is r; of the others a share `ignore` is i and the rest are w and r
//! alike. Bits are uniform. Only what is read is scored ("clean" loss).
//!
//! Published: 512 tokens, trained at `ignore = 0.8` and tested there, at 0.98 (sparse) and at 0.1 (dense). The alphabet
//! is the published one, without a BOS: T tokens are fed to predict T − 1, and the last bit is not fed.

use super::draw::weighted;
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, share};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const WRITE: usize = 0;
const READ: usize = 1;
const IGNORE: usize = 2;
const BIT: usize = 3;

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlipFlop {
    /// Share of instructions that are to be ignored.
    pub ignore: f64,
}

impl Default for FlipFlop {
    fn default() -> FlipFlop {
        FlipFlop { ignore: 0.8 }
    }
}

impl Task for FlipFlop {
    const ID: &'static str = "flip-flop";
    const CARD: Card = Card {
        title: "Flip-flop",
        paper: "Liu et al. 2023, arXiv 2306.00946, section 3",
        idea: "A bit is written, ignored and read in random order; every read must give the last write.",
        longer: "instructions",
        reading: "An error is a glitch of attention: the last write is always found by content and order. Sparse \
                  writes are far away, dense ones have many rivals.",
        rule: Rule::Each,
        quantity: "reads right",
    };

    fn check(&self) -> Result<(), DataError> {
        share("ignore", self.ignore)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("w"), 1),
            (Look::Mark("r"), 1),
            (Look::Mark("i"), 1),
            (Look::Number, 2),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        3
    }

    fn why(&self) -> &'static str {
        "a write and a read"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let pairs = length.div_ceil(2);
        let rest = (1.0 - self.ignore) / 2.0;
        let mut tokens = Vec::with_capacity(2 * pairs);
        let mut answers = Vec::new();
        let mut written = 0;
        for pair in 0..pairs {
            let instruction = match pair {
                0 => WRITE,
                _ if pair + 1 == pairs => READ,
                _ => [WRITE, READ, IGNORE][weighted(rng, &[rest, rest, self.ignore])],
            };
            let mut bit = abc.draw(rng, BIT);
            match instruction {
                WRITE => written = bit,
                READ => {
                    bit = written;
                    answers.push(Answer::new(2 * pair + 1..2 * pair + 2));
                }
                _ => {}
            }
            tokens.extend([abc.id(instruction, 0), bit]);
        }
        Example {
            answers,
            tokens,
            ..Example::default()
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        0.5
    }

    fn describe(&self) -> String {
        format!("flip-flop with a share of {} to be ignored", self.ignore)
    }
}
