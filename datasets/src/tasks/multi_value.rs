//! All values of one name (RULER's niah_multivalue; Hsieh et al. 2024, arXiv 2404.06654, section 3.1).
//!
//! ```text
//! BOS  filler …  NAME v₁  filler …  NAME v₂  filler …  NAME v₁ v₂ …
//! ```
//!
//! One name stands at random places, each time with another value, and is asked for all of them. RULER counts the share
//! of values that occur anywhere in what is generated, in any order. Here a model is shown them in the order of the
//! prompt, and at each place any value that has not yet been named is right.

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
pub struct MultiValue {
    /// Values of the name.
    pub asked: usize,
    /// Different names.
    pub names: usize,
    /// Different values.
    pub values: usize,
    /// What stands around the needles.
    pub filler: Filler,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for MultiValue {
    fn default() -> MultiValue {
        MultiValue {
            asked: 4,
            names: 32,
            values: 32,
            filler: Filler::Random,
            fillers: 50,
        }
    }
}

impl Task for MultiValue {
    const ID: &'static str = "multi-value";
    const CARD: Card = Card {
        title: "All values of a name",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.1",
        idea: "A name occurs several times in filler, each time with another value, and is asked for all of them.",
        longer: "filler",
        reading: "The share of values found. If one needle is found and this falls short, a model attends to one place of \
                  several, often the nearest.",
        rule: Rule::Each,
        quantity: "values found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("asked", self.asked, 1..=1000)?;
        within("names", self.names, 1..=1_000_000)?;
        within("values", self.values, 1..=1_000_000)?;
        within("fillers", self.fillers, 1..=1_000_000)?;
        if self.asked > self.values {
            let rule = format!("at least {}, as all that are asked for differ", self.asked);
            return refuse("values", rule, self.values);
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
        1 + 3 * self.asked
    }

    fn why(&self) -> &'static str {
        "two for each value, and as many answers"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let room = length - Task::least(self, &[]);
        let name = abc.draw(rng, NAME);
        let values = abc.draw_different(rng, VALUE, self.asked);
        let hay = self.filler.fill(rng, &abc, FILLER, room);
        let places = places(rng, room, self.asked);
        let pieces = values.iter().map(|&value| vec![name, value]);
        let what: Vec<(usize, Vec<u32>)> = places.into_iter().zip(pieces).collect();
        let mut tokens = vec![abc.id(BOS, 0)];
        let starts = insert(&mut tokens, &hay, 1, &what);
        tokens.push(name);
        let asked = tokens.len();
        tokens.extend(&values);
        Example {
            answers: Answer::any_order(asked, &values),
            distance: (self.asked == 1).then(|| asked - (starts[0] + 1)),
            tokens,
            lures: Vec::new(),
        }
    }

    /// The i-th answer of n may be any of n − i + 1 values.
    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.asked + 1) as f64 / (2 * self.values) as f64
    }

    fn describe(&self) -> String {
        format!(
            "all {} of {} values of a name in {} of {} symbols",
            self.asked,
            self.values,
            self.filler.words(),
            self.fillers
        )
    }
}
