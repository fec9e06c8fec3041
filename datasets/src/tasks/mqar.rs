//! Multi-query associative recall (Arora et al. 2023, Zoology, arXiv 2312.04927, and their code).
//!
//! ```text
//! BOS  key value  key value  …   other  key value  other other  key value  …
//! ```
//!
//! First the pairs, keys and values all different; then every key once more, each answered with its value, at gaps with
//! P(g) ∝ g^(a−1): with a = 0.01 most come soon, with a = 1 all gaps are equally likely. Between them stand random
//! symbols of both kinds, as in the newer releases, or one blank. The number of pairs is a factor, so that it and the
//! length vary apart; an example takes at least four tokens for each pair, as published.
//!
//! Where this departs from the code: an answer is fed behind its key (there the next token is filler, and the answer is
//! only predicted); there is a BOS; random symbols between are never keys of this example, which there they can be by
//! chance. Published alphabet: 4095 keys, 4096 values; (length, pairs) of (64, 4), (128, 8), (256, 16), (512, 64).

use super::draw::{power, weighted};
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const BLANK: usize = 1;
const KEY: usize = 2;
const VALUE: usize = 3;

/// What stands between the questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Keys and values that are not those of the pairs; blanks if there is no other.
    Random,
    /// One blank symbol.
    Blank,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mqar {
    /// Different keys.
    pub keys: usize,
    /// Different values.
    pub values: usize,
    /// Exponent a of the law of gaps, g^(a−1).
    pub a: f64,
    /// What stands between the questions.
    pub others: Others,
}

impl Default for Mqar {
    fn default() -> Mqar {
        Mqar {
            keys: 255,
            values: 256,
            a: 0.01,
            others: Others::Random,
        }
    }
}

impl Task for Mqar {
    const ID: &'static str = "mqar";
    const CARD: Card = Card {
        title: "Multi-query associative recall",
        paper: "Arora et al. 2023 (Zoology), arXiv 2312.04927, and their code",
        idea: "Pairs of keys and values come first; then each key is asked for its value.",
        longer: "symbols between the questions",
        reading: "Fix the pairs and lengthen: a fall is one of length. Fix the length and add pairs: a fall is one \
                  of capacity.",
        rule: Rule::Each,
        quantity: "values recalled",
    };

    fn check(&self) -> Result<(), DataError> {
        within("keys", self.keys, 1..=1_000_000)?;
        within("values", self.values, 1..=1_000_000)?;
        match self.a > 0.0 && self.a <= 1.0 {
            true => Ok(()),
            false => refuse("a", "above 0, at most 1", self.a),
        }
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("blank"), 1),
            (Look::Upper, self.keys),
            (Look::Number, self.values),
        ])
    }

    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "pairs",
            title: "pairs",
            share: false,
            values: vec![4.0, 8.0, 16.0, 32.0],
        }]
    }

    fn least(&self, at: &[f64]) -> usize {
        let pairs = at[0] as usize;
        match pairs <= self.keys.min(self.values) {
            true => 4 * pairs,
            false => usize::MAX,
        }
    }

    fn why(&self) -> &'static str {
        "four for each pair, as published; every key and every value is another"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        let abc = self.alphabet();
        let pairs = at[0] as usize;
        let keys = abc.draw_different(rng, KEY, pairs);
        let values = abc.draw_different(rng, VALUE, pairs);
        // Questions stand at even places behind the pairs.
        let slots = (length - 2 * pairs) / 2;
        let mut asked = vec![None; slots];
        let mut weights: Vec<f64> = (1..=slots).map(|g| power(g as f64, self.a - 1.0)).collect();
        for i in 0..pairs {
            let slot = weighted(rng, &weights);
            weights[slot] = 0.0;
            asked[slot] = Some(i);
        }
        let mut tokens = vec![abc.id(BOS, 0)];
        for (key, value) in keys.iter().zip(&values) {
            tokens.extend([key, value]);
        }
        let others = self.others(&abc, &keys, &values);
        let mut answers = Vec::with_capacity(pairs);
        for slot in asked {
            match slot {
                Some(i) => {
                    tokens.extend([keys[i], values[i]]);
                    answers.push(Answer::new(tokens.len() - 1..tokens.len()));
                }
                None => tokens
                    .extend([0; 2].map(|_: usize| others[rng.below(others.len() as u64) as usize])),
            }
        }
        Example {
            distance: (pairs == 1).then(|| answers[0].at.start - 2),
            answers,
            tokens,
            lures: Vec::new(),
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.values as f64
    }

    fn describe(&self) -> String {
        let others = match self.others {
            Others::Random => "random symbols",
            Others::Blank => "blanks",
        };
        format!(
            "recall of {} keys and {} values, gaps by a law of power {} − 1, {others} between",
            self.keys, self.values, self.a
        )
    }
}

impl Mqar {
    /// Symbols that may stand between the questions.
    fn others(&self, abc: &Alphabet, keys: &[u32], values: &[u32]) -> Vec<u32> {
        let blank = vec![abc.id(BLANK, 0)];
        if self.others == Others::Blank {
            return blank;
        }
        let mut taken = vec![false; abc.size()];
        for &token in keys.iter().chain(values) {
            taken[token as usize] = true;
        }
        let all = abc.ids(KEY).chain(abc.ids(VALUE));
        let free: Vec<u32> = all.filter(|token| !taken[*token as usize]).collect();
        if free.is_empty() { blank } else { free }
    }
}
