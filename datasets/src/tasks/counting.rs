//! Counting in a program (Golovneva et al. 2024, CoPE, arXiv 2405.18719, synthetic tasks).
//!
//! ```text
//! BOS  <set> A  <pass>  <inc> A  <pass> <pass>  <set> B  …  <print> A value
//! ```
//!
//! Statements set a variable to zero, add one to it, or do nothing; at the end one that exists is printed. The first
//! statement sets one. A statement that would count an unset variable, or one beyond the cap, is none: it is drawn
//! again as one that does nothing.
//!
//! Published: 3 or 5 variables, weights 1, 50 and 7, values up to 10, 3 to 512 statements, blocks of 512 tokens;
//! statements written out as code.

use super::draw::{size, weighted};
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const SET: usize = 1;
const INCREMENT: usize = 2;
const PASS: usize = 3;
const PRINT: usize = 4;
const VARIABLE: usize = 5;
const VALUE: usize = 6;

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Counting {
    /// Different variables.
    pub variables: usize,
    /// Largest value.
    pub cap: usize,
    /// Weight of statements that set a variable to zero.
    pub set: f64,
    /// Weight of statements that add one.
    pub increment: f64,
    /// Weight of statements that do nothing.
    pub pass: f64,
}

impl Default for Counting {
    fn default() -> Counting {
        Counting {
            variables: 3,
            cap: 10,
            set: 1.0,
            increment: 7.0,
            pass: 50.0,
        }
    }
}

impl Task for Counting {
    const ID: &'static str = "counting";
    const CARD: Card = Card {
        title: "Counting",
        paper: "Golovneva et al. 2024 (CoPE), arXiv 2405.18719, synthetic tasks",
        idea: "A program sets and increments variables; the value of one is asked for at the end.",
        longer: "statements, most of which do nothing",
        reading: "Published: rotary and absolute positions fail beyond the trained length; positions that count what \
                  matters hold.",
        rule: Rule::All,
        quantity: "values right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("variables", self.variables, 1..=1000)?;
        within("cap", self.cap, 1..=1_000_000)?;
        let weights = [
            ("set", self.set),
            ("increment", self.increment),
            ("pass", self.pass),
        ];
        for (key, weight) in weights {
            if !(0.0..=1e6).contains(&weight) {
                return refuse(key, "0 to 1000000", weight);
            }
        }
        match weights.iter().any(|(_, weight)| *weight > 0.0) {
            true => Ok(()),
            false => refuse("pass", "a weight above 0, as the others are 0", self.pass),
        }
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("set"), 1),
            (Look::Mark("inc"), 1),
            (Look::Mark("pass"), 1),
            (Look::Mark("print"), 1),
            (Look::Upper, self.variables),
            (Look::Number, self.cap + 1),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        5
    }

    fn why(&self) -> &'static str {
        "one statement and the question"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let mut value = vec![None; self.variables];
        let mut tokens = vec![abc.id(BOS, 0)];
        while tokens.len() < length - 2 {
            let kind = match tokens.len() {
                1 => SET,
                n if n == length - 3 => PASS,
                _ => 1 + weighted(rng, &[self.set, self.increment, self.pass]),
            };
            let which = rng.below(self.variables as u64) as usize;
            match (kind, value[which]) {
                (SET, _) => value[which] = Some(0),
                (INCREMENT, Some(now)) if now < self.cap => value[which] = Some(now + 1),
                _ => {
                    tokens.push(abc.id(PASS, 0));
                    continue;
                }
            }
            tokens.extend([abc.id(kind, 0), abc.id(VARIABLE, which)]);
        }
        let known: Vec<(usize, usize)> = (0..self.variables)
            .filter_map(|which| Some((which, value[which]?)))
            .collect();
        let (which, now) = known[rng.below(known.len() as u64) as usize];
        tokens.extend([
            abc.id(PRINT, 0),
            abc.id(VARIABLE, which),
            abc.id(VALUE, now),
        ]);
        Example {
            answers: vec![Answer::new(length..length + 1)],
            tokens,
            ..Example::default()
        }
    }

    /// Programs of all lengths.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let length = size(rng, Task::least(self, &[]), length);
        self.example(rng, length, &[])
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / (self.cap + 1) as f64
    }

    fn describe(&self) -> String {
        format!(
            "counting up to {} in {} variables, weights {} to set, {} to add, {} to pass",
            self.cap, self.variables, self.set, self.increment, self.pass
        )
    }
}
