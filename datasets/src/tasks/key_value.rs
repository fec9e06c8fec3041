//! Key–value retrieval (Liu et al. 2024, Lost in the Middle, arXiv 2307.03172, section 3).
//!
//! ```text
//! BOS  key value  key value  …  key value
//! ```
//!
//! Nothing but pairs; the last key is one of those before, and its value is asked for. Keys are all different, values
//! are drawn anew each time. A longer example has more pairs.
//!
//! Published: 75, 140 or 300 pairs of 128-bit identifiers written out, which are words of many symbols here
//! (`key_symbols`, `value_symbols`).

use super::draw::{different_words, words};
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, shares, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const KEY: usize = 1;
const VALUE: usize = 2;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyValue {
    /// Different symbols of keys.
    pub keys: usize,
    /// Symbols of a key.
    pub key_symbols: usize,
    /// Different symbols of values.
    pub values: usize,
    /// Symbols of a value.
    pub value_symbols: usize,
}

impl Default for KeyValue {
    fn default() -> KeyValue {
        KeyValue {
            keys: 1024,
            key_symbols: 1,
            values: 32,
            value_symbols: 1,
        }
    }
}

impl Task for KeyValue {
    const ID: &'static str = "key-value";
    const CARD: Card = Card {
        title: "Key–value retrieval",
        paper: "Liu et al. 2024, arXiv 2307.03172, section 3",
        idea: "One key of many pairs is asked for its value.",
        longer: "pairs",
        reading: "A curve over the depth that sags in the middle is the published finding. A fall with length at \
                  every depth can be confusion among more keys as well as length.",
        rule: Rule::All,
        quantity: "values found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("keys", self.keys, 1..=1_000_000)?;
        within("key_symbols", self.key_symbols, 1..=1000)?;
        within("values", self.values, 1..=1_000_000)?;
        within("value_symbols", self.value_symbols, 1..=1000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Upper, self.keys),
            (Look::Number, self.values),
        ])
    }

    /// Depth: the place of the pair among all, from the first to the last.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "depth",
            title: "depth of the pair",
            share: true,
            values: shares(11),
        }]
    }

    fn least(&self, _at: &[f64]) -> usize {
        2 * self.unit()
    }

    fn most(&self, _at: &[f64]) -> usize {
        // One short of what another pair would take.
        let pairs = words(self.keys, self.key_symbols);
        pairs.saturating_add(2).saturating_mul(self.unit()) - 1
    }

    fn why(&self) -> &'static str {
        "a pair and the question; every key is another"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        self.build(rng, length, self.place(length, at[0]))
    }

    /// Every pair is equally likely.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let length = length.min(Task::most(self, &[]));
        let place = rng.below(self.pairs(length) as u64) as usize;
        self.build(rng, length, place)
    }

    /// Two depths that ask for one pair ask the same.
    fn label(&self, length: usize, at: &[f64]) -> String {
        format!("{length}/{}", self.place(length, at[0]))
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.values as f64).powf(-(self.value_symbols as f64))
    }

    fn describe(&self) -> String {
        format!(
            "pairs of keys of {} of {} symbols and values of {} of {} symbols",
            self.key_symbols, self.keys, self.value_symbols, self.values
        )
    }
}

impl KeyValue {
    /// Tokens of a pair.
    fn unit(&self) -> usize {
        self.key_symbols + self.value_symbols
    }

    /// Pairs in an example of a length, the question not counted.
    fn pairs(&self, length: usize) -> usize {
        length / self.unit() - 1
    }

    fn place(&self, length: usize, depth: f64) -> usize {
        (depth * (self.pairs(length) - 1) as f64).round() as usize
    }

    fn build(&self, rng: &mut Stream, length: usize, place: usize) -> Example {
        let abc = self.alphabet();
        let pairs = self.pairs(length);
        let keys = different_words(rng, (&abc, KEY, self.keys), self.key_symbols, pairs);
        let mut tokens = vec![abc.id(BOS, 0)];
        for key in &keys {
            tokens.extend(key);
            tokens.extend(abc.draw_many(rng, VALUE, self.value_symbols));
        }
        let found = 1 + place * self.unit() + self.key_symbols;
        tokens.extend(&keys[place]);
        let asked = tokens.len();
        tokens.extend_from_within(found..found + self.value_symbols);
        Example {
            answers: vec![Answer::new(asked..tokens.len())],
            distance: Some(asked - found),
            tokens,
            lures: Vec::new(),
        }
    }
}
