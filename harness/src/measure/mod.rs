//! Measurements on a finished model: one file each, one line in [`measures!`](EvaluateConfig).
//!
//! A [`Measure`] is its settings, `[evaluate.ID]` of a study. It asks a model and returns [`MeasureRecord`]s, which say
//! what their numbers are: pages, tables and comparisons know no measure but through them. For every length the scheme is
//! asked for its plan at that reach; a scheme that cannot serve a length refuses in words, and the refusal becomes part of
//! the result.

pub mod grid;
pub mod long_ppl;
pub mod perplexity;
mod subject;
pub mod task;
pub mod words;

pub use subject::{Subject, Tick};

pub(crate) use subject::{rows_per_pass, windows_batch};

use crate::Result;
use crate::config::Rules;
use crate::config::types::{StudyConfig, TaskConfig};
use crate::model::Architecture;
use crate::source::Source;
use farspan_pe::{AnyScheme, Registry};
use farspan_reports::record::{MeasureRecord, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

/// A measurement: its settings, and how a model is asked.
///
/// The struct's fields are the settings. Derive `Serialize`, `Deserialize` and `JsonSchema`, put
/// `#[serde(deny_unknown_fields)]` on it and give every field a default and a doc comment.
pub trait Measure: Debug + Send + Sync {
    /// Whether a study can be asked for it; if not, why, in words that follow "a study with task …".
    fn suits(study: &Kind<'_>) -> std::result::Result<(), String>
    where
        Self: Sized;

    /// The settings of a study that asks for no measure in particular; `None` if it is left out then.
    fn by_default(study: &Kind<'_>) -> Option<Self>
    where
        Self: Sized;

    /// Fills in what follows from the rest of the study, where `absent` says that nobody set a key. `lengths` are those
    /// to be measured unless others are given.
    fn complete(&mut self, study: &TaskConfig, lengths: &[usize], absent: &dyn Fn(&str) -> bool);

    /// Reports settings that cannot be met; keys start at the measure's own table.
    fn check(&self, study: &StudyConfig, rules: &mut Rules<'_>);

    /// Lengths that it measures at, in tokens, rising.
    fn lengths(&self) -> &[usize];

    /// The windows that are read, so that work and memory can be told beforehand. Fails if the data cannot give what is
    /// asked for.
    fn passes(&self, given: &Given<'_>) -> Result<Vec<Pass>>;

    /// Other models that it lets read.
    fn others(&self, _: &Given<'_>) -> Result<Vec<Other>> {
        Ok(Vec::new())
    }

    /// Hashes of what it reads beside the study's data (files of prompts, filler): a part of what a cell depends on.
    fn reads(&self, _: &Given<'_>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Asks the model. `tick` is called after each pass with the number of tokens fed and says whether to go on; `None`
    /// if not.
    fn run(
        &self,
        subject: &Subject<'_>,
        given: &Given<'_>,
        tick: Tick<'_>,
    ) -> Result<Option<Measured>>;
}

/// What a study is, as far as it decides which measures suit it.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// What its models are trained on.
    pub task: &'a TaskConfig,
    /// Whether they are read from a checkpoint.
    pub checkpoint: bool,
    /// Whether there is text to read: a checkpoint can be asked in words alone.
    pub text: bool,
}

/// What a measure of a cell can draw on.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What the models of the study read.
    pub source: &'a Source,
    /// The schemes that there are.
    pub registry: &'a Registry,
    /// Folder that relative paths of files start from.
    pub root: &'a Path,
    /// Folder of the checkpoint, if the weights come from one.
    pub checkpoint: Option<&'a Path>,
    /// Embeddings of the model.
    pub vocab: usize,
    /// Seed of what is drawn: the same for every scheme.
    pub seed: u64,
}

/// Windows that are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// Tokens fed in each.
    pub length: usize,
    /// How many.
    pub windows: f64,
}

/// A model that reads in order to measure another one.
#[derive(Debug)]
pub struct Other {
    /// What it is made of.
    pub architecture: Architecture,
    /// The scheme that reads its weights.
    pub scheme: Arc<dyn AnyScheme>,
    /// What it reads.
    pub passes: Vec<Pass>,
}

/// What a measure found.
#[derive(Debug, Default)]
pub struct Measured {
    /// Its records, with at least one point each.
    pub records: Vec<MeasureRecord>,
    /// Lengths the scheme cannot serve.
    pub refused: Vec<Refusal>,
    /// Every sample with what was asked, for a person to read.
    pub samples: Vec<Value>,
}

/// Declares the measures: a table of optional settings, `[evaluate]`, and the same as a list.
macro_rules! measures {
    ($($(#[$doc:meta])* $id:ident: $settings:ty,)*) => {
        /// What is measured: a table for each measure.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct EvaluateConfig {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $id: Option<$settings>,)*
        }

        /// Ids of all measures.
        pub const IDS: &[&str] = &[$(stringify!($id)),*];

        impl EvaluateConfig {
            /// What is asked for, by id.
            pub fn asked(&self) -> Vec<(&'static str, &dyn Measure)> {
                let mut asked: Vec<(&'static str, &dyn Measure)> = Vec::new();
                $(asked.extend(self.$id.as_ref().map(|m| (stringify!($id), m as &dyn Measure)));)*
                asked
            }

            /// Hashes of what all of them read beside the data.
            pub(crate) fn reads(&self, given: &Given<'_>) -> Result<Vec<String>> {
                let mut all = Vec::new();
                for (_, measure) in self.asked() {
                    all.extend(measure.reads(given)?);
                }
                Ok(all)
            }

            /// The same, to be filled in.
            pub(crate) fn asked_mut(&mut self) -> Vec<(&'static str, &mut dyn Measure)> {
                let mut asked: Vec<(&'static str, &mut dyn Measure)> = Vec::new();
                $(asked.extend(self.$id.as_mut().map(|m| (stringify!($id), m as &mut dyn Measure)));)*
                asked
            }

            /// Adds the measures that `study` has unless it says otherwise.
            pub(crate) fn add_defaults(&mut self, study: &Kind<'_>) {
                $(if self.$id.is_none() && <$settings>::suits(study).is_ok() {
                    self.$id = <$settings>::by_default(study);
                })*
            }
        }

        /// Why `study` cannot be asked for the measure `id`, if it cannot.
        pub(crate) fn unfit(id: &str, study: &Kind<'_>) -> Option<String> {
            match id {
                $(stringify!($id) => <$settings>::suits(study).err(),)*
                _ => None,
            }
        }
    };
}

measures! {
    /// Perplexity on held-out text, with loss by position.
    perplexity: perplexity::Perplexity,
    /// Perplexity of the tokens that need a long context.
    long_ppl: long_ppl::LongPpl,
    /// Whether the examples of the study's own task are answered.
    task: task::TaskGrid,
    /// Prompts in words, for a checkpoint.
    words: words::Words,
}
