//! Tasks in words: prompts for models that were trained on text, and how what they say is scored.
//!
//! A [`WordTask`] is its settings: one file each, one line in [`BUILTIN`]. It draws what a prompt is about and says how the
//! prompt reads with a given amount of filler ([`Draft`]). All else is told once: a [`Writer`] finds the most filler that
//! fits a budget of tokens, in the caller's own tokenizer, and refuses where none does. Nothing is ever cut: a prompt
//! without its question, or a sentence without its end, asks for something else.
//!
//! What a model says is scored by name ([`Scorer`]), as published results of one task differ by their scorer alone.
//! Prompts that somebody else wrote come from files ([`read_prompts`]).
//!
//! ```
//! use farspan_datasets::words::{Point, Writer, find};
//! use std::path::Path;
//!
//! let task = find("passkey").unwrap().parse(serde_json::json!({ "digits": 4 })).unwrap();
//! // Here a token is a word; a model's own tokenizer counts otherwise.
//! let count = |text: &str| Ok(text.split_whitespace().count());
//! let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
//! let prompt = writer.prompt(0, &Point { length: 100, at: vec![0.5] }, 0).unwrap();
//! assert!(prompt.tokens <= 100);
//! assert!(prompt.whole().ends_with("The pass key is"));
//! ```

mod any;
mod common;
mod facts;
mod file;
mod filler;
mod fit;
mod frequent;
pub mod key_tokens;
mod kind;
mod lines;
mod needles;
mod pairs;
mod passkey;
mod score;
mod sentences;
mod tracking;

pub use crate::tasks::{Factor, Point, shares};
pub use any::{AnyWordTask, Entry, find};
pub use common::CommonWords;
pub use facts::{Facts, Question, Story};
pub use file::{Form, PromptFile, Reading, read_prompts};
pub use filler::Filler;
pub use fit::{Count, Writer};
pub use frequent::FrequentWords;
pub use kind::Kind;
pub use lines::Lines;
pub use needles::{Needles, Surroundings};
pub use pairs::Pairs;
pub use passkey::Passkey;
pub use score::{Scorer, Sought, clean};
pub use sentences::sentences;
pub use tracking::Tracking;

use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};
use std::ops::Range;

/// All tasks, in the order of lists and documentation.
pub const BUILTIN: &[Entry] = &[
    Entry::of::<Passkey>(),
    Entry::of::<Needles>(),
    Entry::of::<Tracking>(),
    Entry::of::<CommonWords>(),
    Entry::of::<FrequentWords>(),
    Entry::of::<Lines>(),
    Entry::of::<Pairs>(),
    Entry::of::<Facts>(),
];

/// A task in words: its settings, and drafts of prompts drawn from a seed.
///
/// The struct's fields are the settings. Derive `Serialize`, `Deserialize` and `JsonSchema`, put
/// `#[serde(deny_unknown_fields, default)]` on it and give every field a doc comment: it becomes the setting's
/// description.
pub trait WordTask:
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
    /// Name in configs and on the command line: kebab-case, unique among tasks in words.
    const ID: &'static str;
    /// What it is, where it comes from, and how to read its results.
    const CARD: Card;
    /// Raised whenever the same settings and seed begin to give other prompts: a part of the data's hash.
    const VERSION: u32 = 1;

    /// Whether the settings are within their bounds and agree with each other. Errors name the setting by its key alone.
    fn check(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// What prompts of one length can differ in, with the values that are asked for by default.
    fn factors(&self) -> Vec<Factor> {
        Vec::new()
    }

    /// The file of the user's text that filler is made of, as the setting names it.
    fn text(&self) -> Option<&str> {
        None
    }

    /// Whether a sentence of that text may stand in a prompt: whether it cannot be taken for a part of what is asked.
    fn may_stand(&self, _sentence: &str) -> bool {
        true
    }

    /// Tokens that an answer may take; by default what the references take and a few more.
    fn answer_tokens(&self) -> Option<usize>;

    /// What one prompt is about. `at` holds a value of each factor; `text` the sentences of the user's text, none if the
    /// task asks for no text. Pure but for `rng`.
    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        at: &[f64],
        text: &'a [String],
    ) -> Result<Draft<'a>, DataError>;

    /// Share of prompts that are right if the kinds of answers are known and nothing else.
    fn chance(&self) -> f64;

    /// The task under these settings, in words.
    fn describe(&self) -> String;
}

/// What a task is: for lists, pages and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Full name.
    pub title: &'static str,
    /// Where it was published, with section.
    pub paper: &'static str,
    /// What is asked, in one sentence.
    pub idea: &'static str,
    /// What a longer prompt has more of.
    pub longer: &'static str,
    /// What a good and a bad result look like, and what each means.
    pub reading: &'static str,
    /// How answers are scored unless another scorer is asked for.
    pub scorer: Scorer,
    /// What is counted, as the label of an axis (`keys found`).
    pub quantity: &'static str,
}

/// A prompt that still wants its filler.
pub struct Draft<'a> {
    /// Fewest units of filler with which it can be written.
    pub least: usize,
    /// Most units, and why there are no more; as many as one likes if none.
    pub most: Option<(usize, &'static str)>,
    /// How often each reference stands in the prompt; none if that differs. A prompt in which it stands elsewhere, too,
    /// is drawn again.
    pub copies: Option<usize>,
    /// The prompt with so many units of filler: the same for the same number, longer for a larger one.
    pub write: Box<dyn Fn(usize) -> Prompt + 'a>,
}

impl Debug for Draft<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Draft")
            .field("least", &self.least)
            .field("most", &self.most)
            .field("copies", &self.copies)
            .finish_non_exhaustive()
    }
}

/// One prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompt {
    /// What a model reads, up to the question's end.
    pub text: String,
    /// Beginning of the answer, which follows the text as it stands, so that a model that knows no instructions goes on
    /// with the answer. A model of conversations gets it as the beginning of its own turn.
    pub answer_prefix: String,
    /// The question alone.
    pub question: String,
    /// What is sought. At least one; of which how many are needed is the scorer's to say.
    pub references: Vec<String>,
    /// Answers that a model can choose from by their likelihood: all that the question leaves open.
    pub choices: Option<Vec<String>>,
    /// Bytes of `text` on which the answer depends, rising. Where the answer is a copy of what stands there, the copy that
    /// is nearest to the question.
    pub facts: Vec<Range<usize>>,
    /// Units of filler.
    pub units: usize,
    /// Tokens of the prompt and of what is left for its answer; 0 for a prompt of a file, as nobody counted them.
    pub tokens: usize,
    /// Of which these are left for the answer: as many may be generated.
    pub answer_tokens: usize,
}

impl Prompt {
    /// All that a model reads, to be made into tokens at once.
    pub fn whole(&self) -> String {
        [self.text.as_str(), &self.answer_prefix].concat()
    }

    /// The prompt with an answer behind it, for models that are asked how likely it is.
    pub fn answered(&self, answer: &str) -> String {
        let mut text = self.whole();
        if !text.ends_with(char::is_whitespace) {
            text.push(' ');
        }
        text + answer
    }

    /// All references, as an answer would say them.
    pub fn answer(&self) -> String {
        self.references.join(", ")
    }

    /// What a scorer compares with.
    pub fn sought(&self) -> Sought<'_> {
        Sought {
            references: &self.references,
            labels: self.choices.as_deref().unwrap_or_default(),
            question: &self.question,
        }
    }
}
