//! Several needles, several questions (RULER's niah_multiquery; Hsieh et al. 2024, arXiv 2404.06654, section 3.1).
//!
//! ```text
//! BOS  filler …  A 3  filler …  B 7  filler …  B 7 A 3
//! ```
//!
//! Needles stand at random places; some of them are asked for, in random order. Names and values are all different.
//! RULER inserts four and asks for all four, and counts the share of values that occur anywhere in what is generated.
//! Here each answer follows its own question, so that none can be right by being said at another's place.

use super::draw::{Filler, insert, places};
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const NAME: usize = 1;
const VALUE: usize = 2;
const FILLER: usize = 3;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MultiQuery {
    /// Needles that are inserted.
    pub keys: usize,
    /// Needles that are asked for.
    pub queries: usize,
    /// Different names.
    pub names: usize,
    /// Different values.
    pub values: usize,
    /// What stands around the needles.
    pub filler: Filler,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for MultiQuery {
    fn default() -> MultiQuery {
        MultiQuery {
            keys: 4,
            queries: 4,
            names: 32,
            values: 32,
            filler: Filler::Random,
            fillers: 50,
        }
    }
}

impl Task for MultiQuery {
    const ID: &'static str = "multi-query";
    const CARD: Card = Card {
        title: "Several needles, several questions",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.1",
        idea: "Names with values are scattered over filler, and several names are asked for their values.",
        longer: "filler",
        reading: "The share of questions answered. As one needle of several, but every place of the filler is asked for in \
                  one prompt.",
        rule: Rule::Each,
        quantity: "questions answered",
    };

    fn check(&self) -> Result<(), DataError> {
        within("keys", self.keys, 1..=1000)?;
        within("queries", self.queries, 1..=self.keys)?;
        within("fillers", self.fillers, 1..=1_000_000)?;
        for (key, symbols) in [("names", self.names), ("values", self.values)] {
            within(key, symbols, 1..=1_000_000)?;
            if symbols < self.keys {
                let rule = format!("at least {}, one for each key", self.keys);
                return refuse(key, rule, symbols);
            }
        }
        Ok(())
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Upper, self.names),
            (Look::Number, self.values),
            (Look::Lower, self.fillers),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        2 * (self.keys + self.queries)
    }

    fn why(&self) -> &'static str {
        "two for each key, two for each question"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let room = length - Task::least(self, &[]);
        let names = abc.draw_different(rng, NAME, self.keys);
        let values = abc.draw_different(rng, VALUE, self.keys);
        let pairs: Vec<Vec<u32>> = names.iter().zip(values).map(|(n, v)| vec![*n, v]).collect();
        let hay = self.filler.fill(rng, &abc, FILLER, room);
        let places = places(rng, room, self.keys);
        let what: Vec<(usize, Vec<u32>)> = places.into_iter().zip(pairs.clone()).collect();
        let mut tokens = vec![abc.id(BOS, 0)];
        let starts = insert(&mut tokens, &hay, 1, &what);
        let mut answers = Vec::with_capacity(self.queries);
        let asked = rng.choose_distinct(self.keys, self.queries);
        for &i in &asked {
            tokens.extend(&pairs[i]);
            answers.push(Answer::new(tokens.len() - 1..tokens.len()));
        }
        Example {
            distance: (self.queries == 1).then(|| tokens.len() - 1 - (starts[asked[0]] + 1)),
            answers,
            tokens,
            lures: Vec::new(),
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.values as f64
    }

    fn describe(&self) -> String {
        format!(
            "{} of {} needles of {} names and {} values in {} of {} symbols",
            self.queries,
            self.keys,
            self.names,
            self.values,
            self.filler.words(),
            self.fillers
        )
    }
}
