//! Tasks over tokens whose examples are made from a seed: one file each, one line in [`BUILTIN`].
//!
//! A [`Task`] is its settings. It says which symbols it has, draws one example of a given length and of given
//! [factors](Factor), and marks which of its tokens are answers. All else follows and is told once: batches for training
//! with loss on the answers only ([`train_batch`]), the prompts of a grid ([`grid`]), and whether a model was right
//! ([`score`]).
//!
//! An example has at most `length + 1` tokens; a model is fed all but the last and predicts all but the first. Answers
//! are read under the true tokens before them (teacher forcing). Where all of an example's answers must be right,
//! greedy decoding gives the same verdict: at its first wrong symbol it would have left the answer, and before that
//! both see the same.
//!
//! What a token is to be answered with need not be fed next: an answer can hold its own symbols ([`Answer::say`]).

pub mod addition;
pub mod alternating_blocks;
mod any;
mod ask;
pub mod common_words;
pub mod copy;
pub mod copy_twice;
pub mod correlated;
pub mod counting;
mod draw;
pub mod flip_flop;
pub mod frequent_words;
mod ids;
pub mod key_value;
pub mod kth_occurrence;
pub mod missing_duplicate;
pub mod mqar;
pub mod multi_query;
pub mod multi_value;
pub mod n_back;
pub mod needle;
pub mod odds_first;
pub mod parity;
pub mod passkey;
pub mod random_access;
pub mod reverse;
pub mod rewritten_keys;
pub mod selective_copy;
pub mod sort;
mod strings;
pub mod summation;
mod symbols;
pub mod variable_tracking;
pub mod word_problem;

pub use any::{AnyTask, Entry, add, all, find};
pub use ask::{Asked, Point, Trial, grid, score, train_batch};
pub use draw::Filler;
pub use ids::{COUPLED, PLACES, given_ids, none as no_ids};
pub use symbols::{Alphabet, Look};

use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::ops::Range;

/// All tasks, in the order of lists and documentation.
pub const BUILTIN: &[Entry] = &[
    Entry::of::<passkey::Passkey>(),
    Entry::of::<needle::Needle>(),
    Entry::of::<multi_value::MultiValue>(),
    Entry::of::<multi_query::MultiQuery>(),
    Entry::of::<variable_tracking::VariableTracking>(),
    Entry::of::<common_words::CommonWords>(),
    Entry::of::<frequent_words::FrequentWords>(),
    Entry::of::<key_value::KeyValue>(),
    Entry::of::<mqar::Mqar>(),
    Entry::of::<rewritten_keys::RewrittenKeys>(),
    Entry::of::<kth_occurrence::KthOccurrence>(),
    Entry::of::<n_back::NBack>(),
    Entry::of::<random_access::RandomAccess>(),
    Entry::of::<flip_flop::FlipFlop>(),
    Entry::of::<counting::Counting>(),
    Entry::of::<word_problem::WordProblem>(),
    Entry::of::<alternating_blocks::AlternatingBlocks>(),
    Entry::of::<selective_copy::SelectiveCopy>(),
    Entry::of::<copy::Copy>(),
    Entry::of::<copy_twice::CopyTwice>(),
    Entry::of::<reverse::Reverse>(),
    Entry::of::<odds_first::OddsFirst>(),
    Entry::of::<missing_duplicate::MissingDuplicate>(),
    Entry::of::<sort::Sort>(),
    Entry::of::<summation::Summation>(),
    Entry::of::<addition::Addition>(),
    Entry::of::<parity::Parity>(),
    Entry::of::<correlated::Correlated>(),
];

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

    /// The symbols, by kind. Token ids lie below its [size](Alphabet::size).
    fn alphabet(&self) -> Alphabet;

    /// What examples of one length can differ in, with the values that are asked for by default. Not a setting: a
    /// training draws examples of all kinds, a measurement asks for each.
    fn factors(&self) -> Vec<Factor> {
        Vec::new()
    }

    /// Fewest tokens that are fed in an example at these values of the factors; `usize::MAX` if no length will do (more
    /// keys than symbols).
    fn least(&self, at: &[f64]) -> usize;

    /// Most tokens that the symbols suffice for. Longer examples would not be filled, so none is made.
    fn most(&self, _at: &[f64]) -> usize {
        usize::MAX
    }

    /// The rule behind [`least`](Task::least) and [`most`](Task::most), in words (`two for each pair, two for each
    /// question`).
    fn why(&self) -> &'static str {
        "its symbols"
    }

    /// One example that fills `length` tokens, or as many of them as the task's own structure can: `at` holds a value of
    /// each factor, which it [takes](Factor::takes). Pure but for `rng`. `length` is from [`least`](Task::least) to
    /// [`most`](Task::most).
    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example;

    /// Fewest tokens of a training window: some example of [`practice`](Task::practice) fits.
    fn shortest(&self) -> usize {
        let points = points(&self.factors());
        let least = points.iter().map(|at| self.least(at)).min();
        least.unwrap_or(usize::MAX)
    }

    /// One example for training windows of `length` tokens: of which lengths and factors is the task's own choice. By
    /// default one that fills the window as far as it can, with each factor drawn from its default values that fit.
    /// `length` is at least [`shortest`](Task::shortest).
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let factors = self.factors();
        loop {
            let draw = |f: &Factor| f.values[rng.below(f.values.len() as u64) as usize];
            let at: Vec<f64> = factors.iter().map(draw).collect();
            if self.least(&at) <= length {
                return self.example(rng, length.min(self.most(&at)), &at);
            }
        }
    }

    /// What tells the examples of a length and of factors from others, in the label of their random stream. Two points
    /// with one label would ask the same: a grid refuses them.
    fn label(&self, length: usize, at: &[f64]) -> String {
        let values: Vec<String> = at.iter().map(f64::to_string).collect();
        format!("{length}/{}", values.join("/"))
    }

    /// Share of examples (of answers, of symbols: by the [`Rule`]) that are right if, of each symbol that is asked for,
    /// its [kind](Alphabet::kind) is known and nothing else.
    fn chance(&self, length: usize, at: &[f64]) -> f64;

    /// Ids of the tokens beside their order, for encodings that read them ([`PLACES`], [`COUPLED`] or a kind of one's
    /// own), or why there are none. `tokens` are the beginning of an example, all of its prompt at least: ids of answers
    /// tell nothing that the tokens before them do not.
    fn ids(&self, kind: &str, tokens: &[u32]) -> Result<Vec<u32>, String> {
        let _ = tokens;
        no_ids(Self::ID, kind, "none are defined")
    }

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
    /// Whether it is a share from 0 to 1: then a number in a config asks for so many values, evenly spaced. Else it is
    /// a whole number, 1 or more.
    pub share: bool,
    /// Values that are asked for by default, rising.
    pub values: Vec<f64>,
}

impl Factor {
    /// Whether `value` is one that it can have.
    pub fn takes(&self, value: f64) -> bool {
        match self.share {
            true => (0.0..=1.0).contains(&value),
            false => (1.0..=1e6).contains(&value) && value.fract() == 0.0,
        }
    }
}

/// `count` shares from 0 to 1, evenly spaced; ½ if there is one.
pub fn shares(count: usize) -> Vec<f64> {
    match count {
        1 => vec![0.5],
        _ => (0..count).map(|i| i as f64 / (count - 1) as f64).collect(),
    }
}

/// All combinations of the default values of some factors.
pub(crate) fn points(factors: &[Factor]) -> Vec<Vec<f64>> {
    let none = vec![Vec::new()];
    factors.iter().fold(none, |points, factor| {
        let longer = |point: &Vec<f64>| {
            let point = point.clone();
            let one = move |value: &f64| [point.clone(), vec![*value]].concat();
            factor.values.iter().map(one).collect::<Vec<_>>()
        };
        points.iter().flat_map(longer).collect()
    })
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
    /// The right symbol of each place, if that is not the token that stands there and is fed next: a mark given to each
    /// token that was read. Empty otherwise.
    pub say: Vec<u32>,
}

impl Answer {
    /// The answer that stands at `at`.
    pub fn new(at: Range<usize>) -> Answer {
        Answer {
            at,
            ..Answer::default()
        }
    }

    /// Answers of one symbol each, the first at `from`, that are right in any order: at each place, any symbol that has
    /// not yet been named.
    pub(crate) fn any_order(from: usize, symbols: &[u32]) -> Vec<Answer> {
        let one = |i: usize| Answer {
            at: from + i..from + i + 1,
            or: symbols[i + 1..].to_vec(),
            say: Vec::new(),
        };
        (0..symbols.len()).map(one).collect()
    }

    /// The right symbol of each of its places.
    pub fn right<'a>(&'a self, tokens: &'a [u32]) -> &'a [u32] {
        match self.say.is_empty() {
            true => &tokens[self.at.clone()],
            false => &self.say,
        }
    }
}

/// A setting that must lie within bounds.
pub fn within(
    key: &'static str,
    value: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), DataError> {
    if range.contains(&value) {
        return Ok(());
    }
    refuse(key, format!("{} to {}", range.start(), range.end()), value)
}

/// A setting that must be a share.
pub(crate) fn share(key: &'static str, value: f64) -> Result<(), DataError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    refuse(key, "0 to 1", value)
}

/// A setting that does not go with the others.
pub(crate) fn refuse<T>(
    key: &'static str,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<T, DataError> {
    Err(DataError::Setting {
        key,
        expected: expected.into(),
        found: found.to_string(),
    })
}
