//! Tasks over tokens whose examples are made from a seed: one file each, one line in [`BUILTIN`].
//!
//! A [`Task`] is its settings. It says which symbols it has, draws one example of a given length and of given
//! [factors](Factor), and marks which of its tokens are answers. All else follows and is told once, in [`ask`]: batches
//! for training with loss on the answers only, the prompts of a grid, and whether a model was right.
//!
//! An example has at most `length + 1` tokens; a model is fed all but the last and predicts all but the first. Answers are
//! read under the true tokens before them (teacher forcing). Where all of an example's answers must be right, greedy
//! decoding gives the same verdict: at its first wrong symbol it would have left the answer, and before that both see the
//! same.

mod any;
mod ask;
pub mod passkey;

pub use any::{AnyTask, Entry, find};
pub use ask::{Asked, Point, Trial, grid, score, train_batch};

use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::ops::Range;

/// All tasks, in the order of lists and documentation.
pub const BUILTIN: &[Entry] = &[Entry::of::<passkey::Passkey>()];

/// A task: its settings, and examples drawn from a seed.
///
/// The struct's fields are the settings. Derive `Serialize`, `Deserialize` and `JsonSchema`, put
/// `#[serde(deny_unknown_fields, default)]` on it and give every field a doc comment: it becomes the setting's
/// description.
pub trait Task:
    Clone
    + Debug
    + Default
    + PartialEq
    + Serialize
    + DeserializeOwned
    + JsonSchema
    + Send
    + Sync
    + 'static
{
    /// Name in configs and on the command line: kebab-case, unique.
    const ID: &'static str;
    /// What it is, where it comes from, and how to read its results.
    const CARD: Card;
    /// Raised whenever the same settings and seed begin to give other examples: a part of the data's hash.
    const VERSION: u32 = 1;

    /// Whether the settings are within their bounds and agree with each other. Errors name the setting by its key alone
    /// (`digits`).
    fn check(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// Number of symbols. Token ids lie below it.
    fn vocab(&self) -> usize;

    /// What examples of one length can differ in, with the values that are asked for by default. Not a setting: a
    /// training draws examples of all kinds, a measurement asks for each.
    fn factors(&self) -> Vec<Factor> {
        Vec::new()
    }

    /// Fewest tokens that are fed in an example at these values of the factors.
    fn least(&self, at: &[f64]) -> usize;

    /// The rule behind [`least`](Task::least), in words (`two for each pair, two for each question`).
    fn why(&self) -> &'static str {
        "its symbols"
    }

    /// One example that fills `length` tokens, or as many of them as the task's own structure can: `at` holds a value of
    /// each factor. Pure but for `rng`. `length` is at least [`least`](Task::least).
    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example;

    /// One example for training windows of `length` tokens: of which lengths and factors is the task's own choice. By
    /// default one that fills the window, with each factor drawn from its default values that fit.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let factors = self.factors();
        loop {
            let draw = |f: &Factor| f.values[rng.below(f.values.len() as u64) as usize];
            let at: Vec<f64> = factors.iter().map(draw).collect();
            if self.least(&at) <= length {
                return self.example(rng, length, &at);
            }
        }
    }

    /// What tells the examples of a length and of factors from others, in the label of their random stream. Two points
    /// with one label would ask the same: a grid refuses them.
    fn label(&self, length: usize, at: &[f64]) -> String {
        let values: Vec<String> = at.iter().map(f64::to_string).collect();
        format!("{length}/{}", values.join("/"))
    }

    /// Share of examples (or of answers, by the [`Rule`]) that are right if the kinds of symbols are known and nothing
    /// else, at these values of the factors.
    fn chance(&self, at: &[f64]) -> f64;

    /// A token as a person reads it.
    fn render(&self, token: u32) -> String;

    /// The task under these settings, in words.
    fn describe(&self) -> String;
}

/// What a task is: for lists, pages and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Full name.
    pub title: &'static str,
    /// Where it was published, with section, or `house form`.
    pub paper: &'static str,
    /// What is asked, in one sentence.
    pub idea: &'static str,
    /// What a longer example has more of.
    pub longer: &'static str,
    /// What a good and a bad result look like, and what each means.
    pub reading: &'static str,
    /// How an example is right.
    pub rule: Rule,
    /// What is counted, as the label of an axis (`keys found`).
    pub quantity: &'static str,
}

/// How an example is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// All of its answers: the example is a trial.
    All,
    /// Each answer counts by itself, whole.
    Each,
    /// Each symbol of each answer counts by itself.
    Symbols,
}

/// What examples of one length can differ in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Factor {
    /// Name in configs (`depth`).
    pub name: &'static str,
    /// For axes (`depth of the key`).
    pub title: &'static str,
    /// Whether it is a share from 0 to 1: then a number in a config asks for so many values, evenly spaced.
    pub share: bool,
    /// Values that are asked for by default, rising.
    pub values: Vec<f64>,
}

/// `count` shares from 0 to 1, evenly spaced; ½ if there is one.
pub fn shares(count: usize) -> Vec<f64> {
    match count {
        1 => vec![0.5],
        _ => (0..count).map(|i| i as f64 / (count - 1) as f64).collect(),
    }
}

/// One example.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// What is fed, and the last target: at most length + 1 tokens.
    pub tokens: Vec<u32>,
    /// What is asked, in the order of the tokens. At least one.
    pub answers: Vec<Answer>,
    /// Tokens of the smallest window, ending at the token that is read when an answer is to be predicted, that still holds
    /// what the answer depends on; where that is one place. An attention that reaches w tokens back, the present one
    /// included, can answer if this is at most w.
    pub distance: Option<usize>,
    /// What a wrong first answer can be traced to: (token that would be given, how far off it is), in the unit of the
    /// task (updates ago).
    pub lures: Vec<(u32, f64)>,
}

/// One answer of an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Where its symbols stand in the tokens; never at 0.
    pub at: Range<usize>,
    /// Symbols that are right as well, at each of its places: one of several.
    pub or: Vec<u32>,
}

impl Answer {
    /// The answer that stands at `at`.
    pub fn new(at: Range<usize>) -> Answer {
        Answer { at, or: Vec::new() }
    }
}

/// 0 → a, 25 → z, 26 → aa: symbols as words.
pub(crate) fn word(mut n: u32) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + (n % 26) as u8));
        match (n / 26).checked_sub(1) {
            Some(rest) => n = rest,
            None => return letters.into_iter().rev().collect(),
        }
    }
}

/// A setting that must lie within bounds.
pub(crate) fn within(
    key: &'static str,
    value: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), DataError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(DataError::Setting {
        key,
        expected: format!("{} to {}", range.start(), range.end()),
        found: value.to_string(),
    })
}
