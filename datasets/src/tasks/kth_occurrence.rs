//! The value at the k-th occurrence of a key (house form over tokens of multi-round coreference: MRCR, OpenAI 2025,
//! after Vodrahalli et al. 2024, arXiv 2409.12640).
//!
//! ```text
//! BOS  filler A 5 filler B 8 B 2 filler A 9 …  <ask> k A value
//! ```
//!
//! Keys occur several times each, every time with another value, among filler; asked for is the value at the k-th
//! occurrence of one of them, counted from the first. Published are 2, 4 or 8 equal requests in a long conversation. A
//! wrong answer shows how many occurrences it is off.

use super::draw::{Filler, insert, places};
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ASK: usize = 1;
const ORDINAL: usize = 2;
const KEY: usize = 3;
const VALUE: usize = 4;
const FILLER: usize = 5;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KthOccurrence {
    /// Times that each key occurs.
    pub times: usize,
    /// Keys in an example, and different keys.
    pub keys: usize,
    /// Different values.
    pub values: usize,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for KthOccurrence {
    fn default() -> KthOccurrence {
        KthOccurrence {
            times: 4,
            keys: 2,
            values: 64,
            fillers: 16,
        }
    }
}

impl Task for KthOccurrence {
    const ID: &'static str = "kth-occurrence";
    const CARD: Card = Card {
        title: "k-th occurrence",
        paper: "House form over tokens of MRCR (OpenAI 2025; Vodrahalli et al. 2024, arXiv 2409.12640)",
        idea: "A key occurs several times with different values, and the value at its k-th occurrence is asked for.",
        longer: "filler",
        reading: "The first and the last occurrence can be found without counting; those between cannot.",
        rule: Rule::All,
        quantity: "values found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("times", self.times, 1..=1000)?;
        within("keys", self.keys, 1..=1000)?;
        within("values", self.values, 1..=1_000_000)?;
        within("fillers", self.fillers, 1..=1_000_000)?;
        let pairs = self.times * self.keys;
        match pairs <= self.values {
            true => Ok(()),
            false => refuse(
                "values",
                format!("at least {pairs}, as all differ"),
                self.values,
            ),
        }
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("ask"), 1),
            (Look::Ordinal, self.times),
            (Look::Upper, self.keys),
            (Look::Number, self.values),
            (Look::Lower, self.fillers),
        ])
    }

    fn factors(&self) -> Vec<Factor> {
        let all = 1..=self.times.min(8);
        vec![Factor {
            name: "k",
            title: "occurrence asked for",
            share: false,
            values: all.map(|k| k as f64).collect(),
        }]
    }

    fn least(&self, at: &[f64]) -> usize {
        match at[0] as usize <= self.times {
            true => 4 + 2 * self.times * self.keys,
            false => usize::MAX,
        }
    }

    fn why(&self) -> &'static str {
        "two for each occurrence, and the question; k is at most the times that a key occurs"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        let abc = self.alphabet();
        let k = at[0] as usize;
        let room = length - Task::least(self, at);
        let mut whose: Vec<usize> = (0..self.times * self.keys).map(|i| i % self.keys).collect();
        rng.shuffle(&mut whose);
        let values = abc.draw_different(rng, VALUE, whose.len());
        let hay = Filler::Random.fill(rng, &abc, FILLER, room);
        let places = places(rng, room, whose.len());
        let pairs = whose.iter().zip(&values);
        let pairs = pairs.map(|(&key, &value)| vec![abc.id(KEY, key), value]);
        let what: Vec<(usize, Vec<u32>)> = places.into_iter().zip(pairs).collect();
        let mut tokens = vec![abc.id(BOS, 0)];
        insert(&mut tokens, &hay, 1, &what);
        let key = rng.below(self.keys as u64) as usize;
        let mine: Vec<usize> = (0..whose.len()).filter(|&i| whose[i] == key).collect();
        let right = mine[k - 1];
        tokens.extend([abc.id(ASK, 0), abc.id(ORDINAL, k - 1), abc.id(KEY, key)]);
        let asked = tokens.len();
        tokens.push(values[right]);
        let others = mine.iter().enumerate().filter(|(i, _)| i + 1 != k);
        Example {
            answers: vec![Answer::new(asked..asked + 1)],
            // Which occurrence it is depends on those before, so on no one place.
            distance: None,
            tokens,
            lures: others
                .map(|(i, &at)| (values[at], (i + 1).abs_diff(k) as f64))
                .collect(),
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.values as f64
    }

    fn describe(&self) -> String {
        format!(
            "{} keys, {} times each, {} values, in filler of {} symbols",
            self.keys, self.times, self.values, self.fillers
        )
    }
}
