//! The settings of prompts in words.

use super::super::grid::Axis;
use crate::Result;
use crate::config::types::{Named, named};
use farspan_datasets::DataError;
use farspan_datasets::words::{
    AnyWordTask, BUILTIN, PromptFile, Reading, Scorer, find, read_prompts,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Prompts in words. The same for every scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Words {
    /// What is asked: tasks in words, or files of prompts.
    pub tasks: Vec<Wanted>,
    /// Lengths of prompt and answer in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length. Prompts of a
    /// file have their own.
    pub lengths: Vec<usize>,
    /// Prompts per length and value of each factor.
    pub prompts: usize,
    /// Values of the tasks' factors: a list, or so many from 0 to 1 for a share. Default: the task's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grid: BTreeMap<String, Axis>,
    /// How an answer is had.
    pub by: By,
    /// How an answer that was written is scored. Default: as the task's authors do; `all` for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scorer: Option<Scorer>,
    /// Share that must be right for a length to count as served.
    pub at_least: f64,
}

/// A task in words, or files of prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a task in words, { NAME = { its settings } }, or { prompts = FILES }"
)]
pub enum Wanted {
    /// Prompts that somebody else wrote.
    File(PromptsFrom),
    /// A task.
    Task(Named),
}

/// A task as it can be asked, or prompts as their files say.
#[derive(Debug)]
pub(super) enum Opened {
    /// Files by their names.
    Files(Vec<(String, PromptFile)>),
    /// A task.
    Task(Box<dyn AnyWordTask>),
}

/// Files of prompts: JSON lines as RULER, lm-evaluation-harness and HELMET write them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptsFrom {
    /// One file, or one for each length.
    pub prompts: Files,
    /// Tokens that an answer may take. Default: what the file says, or what is known of the task it is called after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
}

/// One file or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How an answer is had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The model writes it, greedily.
    #[default]
    Generation,
    /// Where the prompt names choices: the sought one is the likeliest of them, as a whole. Else each token of the sought
    /// answer is the likeliest after those before it, as if it were written greedily and nothing else were taken.
    Likelihood,
}

impl JsonSchema for Wanted {
    fn schema_name() -> Cow<'static, str> {
        "Wanted".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let tasks = BUILTIN
            .iter()
            .map(|task| (task.id.to_string(), task.schema()));
        let tasks = named::schema(&[], tasks);
        schemars::json_schema!({ "anyOf": [generator.subschema_for::<PromptsFrom>(), tasks] })
    }
}

impl Default for Words {
    /// No lengths yet: they follow from the trained length.
    fn default() -> Words {
        Words {
            tasks: Vec::new(),
            lengths: Vec::new(),
            prompts: 20,
            grid: BTreeMap::new(),
            by: By::Generation,
            scorer: None,
            at_least: 0.8,
        }
    }
}

impl Files {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Files::One(one) => std::slice::from_ref(one),
            Files::Many(many) => many,
        }
    }
}

impl Wanted {
    /// Paths start from `root`.
    pub(super) fn open(&self, root: &Path) -> Result<Opened> {
        Ok(match self {
            Wanted::File(from) => Opened::Files(from.read(root)?),
            Wanted::Task(task) => Opened::Task(task.word_task()?),
        })
    }
}

impl Named {
    /// The task in words that is meant.
    pub(super) fn word_task(&self) -> std::result::Result<Box<dyn AnyWordTask>, DataError> {
        let known = || BUILTIN.iter().map(|t| t.id).collect::<Vec<_>>().join(", ");
        let entry = find(&self.id).ok_or_else(|| DataError::Setting {
            key: "tasks",
            expected: format!("a task in words ({}) or {{ prompts = FILES }}", known()),
            found: format!("{:?}", self.id),
        })?;
        entry.parse(Value::Object(self.settings.clone()))
    }
}

impl PromptsFrom {
    fn read(&self, root: &Path) -> Result<Vec<(String, PromptFile)>> {
        let reading = Reading {
            max_new_tokens: self.max_new_tokens,
        };
        let read = |name: &String| Ok((name.clone(), read_prompts(&root.join(name), &reading)?));
        self.prompts.all().iter().map(read).collect()
    }
}
