//! N-back recall (MQRAR-N-back; Yang et al. 2025, PaTH, arXiv 2505.16381, section 4.1).
//!
//! ```text
//! BOS  A 5 B 8 A 2 A 9 B 1 …  <ask> n  A value  B value
//! ```
//!
//! Keys are given new values over and over; then each is asked, in random order, for its n-th last value: n = 1 is the
//! last. A longer example has more assignments. The last values of a key are different, so that no other n gives the
//! same answer.
//!
//! Published: n is fixed, one training for each of 1 to 4; here one model is asked for all, and told which. 32 pairs,
//! 768 tokens.

use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ASK: usize = 1;
const BACK: usize = 2;
const KEY: usize = 3;
const VALUE: usize = 4;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NBack {
    /// Largest n that can be asked for.
    pub back: usize,
    /// Keys in an example, and different keys.
    pub keys: usize,
    /// Different values.
    pub values: usize,
}

impl Default for NBack {
    fn default() -> NBack {
        NBack {
            back: 4,
            keys: 4,
            values: 32,
        }
    }
}

impl Task for NBack {
    const ID: &'static str = "n-back";
    const CARD: Card = Card {
        title: "N-back recall",
        paper: "Yang et al. 2025 (PaTH), arXiv 2505.16381, section 4.1",
        idea: "Keys are given new values over and over, and each is asked for its n-th last one.",
        longer: "assignments",
        reading: "Published: rotary fails as n grows, since it must count occurrences and not places.",
        rule: Rule::Each,
        quantity: "values found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("back", self.back, 1..=1000)?;
        within("keys", self.keys, 1..=1000)?;
        within("values", self.values, self.back + 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("ask"), 1),
            (Look::Ordinal, self.back),
            (Look::Upper, self.keys),
            (Look::Number, self.values),
        ])
    }

    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "n",
            title: "values back",
            share: false,
            values: (1..=self.back.min(8)).map(|n| n as f64).collect(),
        }]
    }

    /// Every key has as many values as can be asked for, whatever is: the prompt does not tell.
    fn least(&self, at: &[f64]) -> usize {
        match at[0] as usize <= self.back {
            true => 2 + 2 * self.keys * (self.back + 1),
            false => usize::MAX,
        }
    }

    fn why(&self) -> &'static str {
        "two for each value that can be asked for, two for each question; n is at most the largest one"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        let abc = self.alphabet();
        let n = at[0] as usize;
        let least = self.keys * self.back;
        let count = least + (length - Task::least(self, at)) / 2;
        let mut whose: Vec<usize> = (0..least).map(|i| i % self.keys).collect();
        whose.extend((least..count).map(|_| rng.below(self.keys as u64) as usize));
        rng.shuffle(&mut whose);
        let mut given: Vec<Vec<u32>> = vec![Vec::new(); self.keys];
        let mut tokens = vec![abc.id(BOS, 0)];
        for key in whose {
            let mine = &mut given[key];
            let recent = &mine[mine.len().saturating_sub(self.back)..];
            let value = loop {
                let value = abc.draw(rng, VALUE);
                if !recent.contains(&value) {
                    break value;
                }
            };
            tokens.extend([abc.id(KEY, key), value]);
            mine.push(value);
        }
        tokens.extend([abc.id(ASK, 0), abc.id(BACK, n - 1)]);
        let order = rng.choose_distinct(self.keys, self.keys);
        let mut answers = Vec::with_capacity(self.keys);
        for &key in &order {
            tokens.extend([abc.id(KEY, key), given[key][given[key].len() - n]]);
            answers.push(Answer::new(tokens.len() - 1..tokens.len()));
        }
        let last = given[order[0]].iter().rev().take(self.back).enumerate();
        Example {
            answers,
            distance: None,
            tokens,
            lures: last
                .filter(|(ago, _)| ago + 1 != n)
                .map(|(ago, &value)| (value, (ago + 1).abs_diff(n) as f64))
                .collect(),
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.values as f64
    }

    fn describe(&self) -> String {
        format!(
            "values of {} keys up to {} back, {} values",
            self.keys, self.back, self.values
        )
    }
}
