//! Rewritten keys (PI-LLM; Wang & Sun 2025, arXiv 2506.08184).
//!
//! ```text
//! BOS  A 17 filler B 4 A 90 B 33 filler …  <ask>  B 33 A 90
//! ```
//!
//! Every key is given a value again and again; the last value of each is asked for, in random order. All values are
//! different, so that a wrong answer shows how many updates ago it was true. Updates are a factor. Filler between them
//! makes up the length, so that both vary apart; published is a stream without filler, with up to 46 keys and 400
//! updates.
//!
//! Published are updates of all keys mixed, and key after key (`order = "blocks"`).

use super::draw::{Filler, insert, places};
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ASK: usize = 1;
const KEY: usize = 2;
const VALUE: usize = 3;
const FILLER: usize = 4;

/// In which order keys are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// All orders are equally likely.
    Mixed,
    /// All updates of a key in a row.
    Blocks,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RewrittenKeys {
    /// Keys in an example, and different keys.
    pub keys: usize,
    /// Different values.
    pub values: usize,
    /// In which order keys are updated.
    pub order: Order,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for RewrittenKeys {
    fn default() -> RewrittenKeys {
        RewrittenKeys {
            keys: 4,
            values: 256,
            order: Order::Mixed,
            fillers: 16,
        }
    }
}

impl Task for RewrittenKeys {
    const ID: &'static str = "rewritten-keys";
    const CARD: Card = Card {
        title: "Rewritten keys",
        paper: "Wang & Sun 2025 (PI-LLM), arXiv 2506.08184",
        idea: "Keys are given new values again and again, and each is asked for its last one.",
        longer: "filler between the updates",
        reading: "Accuracy that falls with the logarithm of the updates is the published finding. Errors of few \
                  updates show a blurred sense of order, errors spread over all show none.",
        rule: Rule::Each,
        quantity: "last values found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("keys", self.keys, 1..=1000)?;
        within("values", self.values, self.keys..=1_000_000)?;
        within("fillers", self.fillers, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("ask"), 1),
            (Look::Upper, self.keys),
            (Look::Number, self.values),
            (Look::Lower, self.fillers),
        ])
    }

    /// Updates of each key, its first value counted.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "updates",
            title: "updates of each key",
            share: false,
            values: vec![1.0, 2.0, 4.0, 8.0, 16.0],
        }]
    }

    fn least(&self, at: &[f64]) -> usize {
        let updates = at[0] as usize;
        match self.keys * updates <= self.values {
            true => 1 + 2 * self.keys * (updates + 1),
            false => usize::MAX,
        }
    }

    fn why(&self) -> &'static str {
        "two for each update, two for each question; every value is another"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        let abc = self.alphabet();
        let updates = at[0] as usize;
        let room = length - Task::least(self, at);
        let mut whose: Vec<usize> = match self.order {
            Order::Mixed => (0..self.keys * updates).map(|i| i % self.keys).collect(),
            Order::Blocks => {
                let order = rng.choose_distinct(self.keys, self.keys);
                order
                    .into_iter()
                    .flat_map(|key| vec![key; updates])
                    .collect()
            }
        };
        if self.order == Order::Mixed {
            rng.shuffle(&mut whose);
        }
        let values = abc.draw_different(rng, VALUE, whose.len());
        let hay = Filler::Random.fill(rng, &abc, FILLER, room);
        let places = places(rng, room, whose.len());
        let pairs = whose.iter().zip(&values);
        let pairs = pairs.map(|(&key, &value)| vec![abc.id(KEY, key), value]);
        let what: Vec<(usize, Vec<u32>)> = places.into_iter().zip(pairs).collect();
        let mut tokens = vec![abc.id(BOS, 0)];
        let starts = insert(&mut tokens, &hay, 1, &what);
        tokens.push(abc.id(ASK, 0));
        let mut example = Example::default();
        for key in rng.choose_distinct(self.keys, self.keys) {
            let mine: Vec<usize> = (0..whose.len())
                .rev()
                .filter(|&i| whose[i] == key)
                .collect();
            tokens.extend([abc.id(KEY, key), values[mine[0]]]);
            let at = tokens.len() - 1;
            if example.answers.is_empty() {
                let earlier = mine.iter().enumerate().skip(1);
                example.lures = earlier.map(|(ago, &i)| (values[i], ago as f64)).collect();
                example.distance = (self.keys == 1).then(|| at - (starts[mine[0]] + 1));
            }
            example.answers.push(Answer::new(at..at + 1));
        }
        Example { tokens, ..example }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.values as f64
    }

    fn describe(&self) -> String {
        let order = match self.order {
            Order::Mixed => "mixed",
            Order::Blocks => "one after the other",
        };
        format!(
            "last values of {} keys, updated {order}, {} values, in filler of {} symbols",
            self.keys, self.values, self.fillers
        )
    }
}
