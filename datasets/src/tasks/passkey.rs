//! Passkey retrieval at the level of tokens (after Mohtashami & Jaggi 2023, arXiv 2305.16300, section 4.2, in the form
//! of the house: one information block, a question of one mark).
//!
//! An example of length T is a sequence of T + 1 tokens:
//!
//! ```text
//! BOS  filler …  MARK key END  filler …  MARK key
//! ```
//!
//! The first symbol of the key is predicted after the second MARK, each other one after the true symbols before it. The
//! last symbol of the key is never fed. Mark, digits and filler are different symbols, so the key stands nowhere else.

pub use super::Filler;
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, shares, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: u32 = 0;
const MARK: u32 = 1;
const END: u32 = 2;
/// Id of the digit 0.
const DIGIT: u32 = 3;
/// Id of the first filler symbol.
const FILLER: u32 = 13;

/// The task. All schemes must be compared under the same settings: `distinct` alone changes which look good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Passkey {
    /// Symbols of the key.
    pub digits: usize,
    /// Whether no digit comes twice in a key. A repeated digit has two successors, which slows learning.
    pub distinct: bool,
    /// What stands around the key.
    pub filler: Filler,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for Passkey {
    fn default() -> Passkey {
        Passkey {
            digits: 5,
            distinct: true,
            filler: Filler::Random,
            fillers: 50,
        }
    }
}

impl Task for Passkey {
    const ID: &'static str = "passkey";
    const CARD: Card = Card {
        title: "Passkey retrieval",
        paper: "Mohtashami & Jaggi 2023, arXiv 2305.16300, section 4.2; house form over tokens",
        idea: "A key stands somewhere in filler and is asked for at the end.",
        longer: "filler",
        reading: "A wall at the trained length for every depth is a scheme broken by length; a wall that moves with the \
                  depth is one limited by distance.",
        rule: Rule::All,
        quantity: "keys found",
    };

    fn check(&self) -> Result<(), DataError> {
        match self.distinct {
            true if !(1..=10).contains(&self.digits) => {
                return Err(DataError::Setting {
                    key: "digits",
                    expected: "1 to 10, as no digit comes twice".into(),
                    found: self.digits.to_string(),
                });
            }
            true => {}
            false => within("digits", self.digits, 1..=1000)?,
        }
        within("fillers", self.fillers, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("mark"), 1),
            (Look::Mark("end"), 1),
            (Look::Number, 10),
            (Look::Lower, self.fillers),
        ])
    }

    /// Depth: the share of the filler that stands before the key.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "depth",
            title: "depth of the key",
            share: true,
            values: shares(11),
        }]
    }

    fn least(&self, _at: &[f64]) -> usize {
        2 * self.digits + 3
    }

    fn why(&self) -> &'static str {
        "markers, key and question"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        self.build(rng, length, self.before(length, at[0]))
    }

    /// Every place of the key is equally likely.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let before = rng.below(self.room(length) as u64 + 1) as usize;
        self.build(rng, length, before)
    }

    /// Two depths that put the key at one place ask the same.
    fn label(&self, length: usize, at: &[f64]) -> String {
        format!("{length}/{}", self.before(length, at[0]))
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        match self.distinct {
            true => (0..self.digits).map(|i| 1.0 / (10 - i) as f64).product(),
            false => 0.1f64.powi(self.digits as i32),
        }
    }

    fn describe(&self) -> String {
        let Passkey {
            digits,
            distinct,
            filler,
            fillers,
        } = self;
        let kind = if *distinct {
            "distinct digits"
        } else {
            "digits drawn independently"
        };
        let filler = filler.words();
        format!("passkey of {digits} {kind} in {filler} of {fillers} symbols")
    }
}

impl Passkey {
    /// Filler tokens in an example of a length.
    fn room(&self, length: usize) -> usize {
        length - Task::least(self, &[])
    }

    /// Filler tokens before the key at a depth.
    fn before(&self, length: usize, depth: f64) -> usize {
        (depth * self.room(length) as f64).round() as usize
    }

    fn build(&self, rng: &mut Stream, length: usize, before: usize) -> Example {
        let room = self.room(length);
        let key = self.key(rng);
        let mut tokens = Vec::with_capacity(length + 1);
        let mut filler = (0..room).map(|place| match self.filler {
            Filler::Random => FILLER + rng.below(self.fillers as u64) as u32,
            Filler::Noise => FILLER + (place % self.fillers) as u32,
        });
        tokens.push(BOS);
        tokens.extend(filler.by_ref().take(before));
        tokens.push(MARK);
        tokens.extend(&key);
        tokens.push(END);
        tokens.extend(filler);
        tokens.push(MARK);
        let asked = tokens.len();
        tokens.extend(&key);
        Example {
            answers: vec![Answer::new(asked..tokens.len())],
            // The second MARK, just before `asked`, reads the first symbol of the key at before + 2.
            distance: Some(asked - (before + 2)),
            tokens,
            lures: Vec::new(),
        }
    }

    fn key(&self, rng: &mut Stream) -> Vec<u32> {
        if self.distinct {
            let digits = rng.choose_distinct(10, self.digits);
            digits
                .into_iter()
                .map(|digit| DIGIT + digit as u32)
                .collect()
        } else {
            (0..self.digits)
                .map(|_| DIGIT + rng.below(10) as u32)
                .collect()
        }
    }
}
