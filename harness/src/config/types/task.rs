//! What a study trains its models on: text, or a task over tokens with its settings.

use super::named::{self, Named};
use farspan_datasets::DataError;
use farspan_datasets::tasks::{AnyTask, all, find};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::LazyLock;

/// The name of what is no task over tokens.
const TEXT: &str = "text";

/// What may stand as `task`.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    [TEXT]
        .into_iter()
        .chain(all().iter().map(|t| t.id))
        .collect()
});

/// What a model is trained on and asked: `"text"`, the id of a task, or `{ ID = { its settings } }`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TaskConfig {
    /// Next-token prediction on text.
    #[default]
    Text,
    /// A task over tokens, with loss on the answers only.
    Of(Named),
}

impl TaskConfig {
    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            TaskConfig::Text => TEXT,
            TaskConfig::Of(task) => &task.id,
        }
    }
}

impl Named {
    /// The task over tokens of this name, if its settings, with `other` in place of some, are sound.
    pub fn task(&self, other: &Map<String, Value>) -> Result<Box<dyn AnyTask>, DataError> {
        let mut settings = self.settings.clone();
        settings.extend(other.clone());
        let entry = find(&self.id).ok_or_else(|| DataError::Setting {
            key: "task",
            expected: format!("one of {}", NAMES.join(", ")),
            found: self.id.clone(),
        })?;
        entry.parse(Value::Object(settings))
    }
}

impl Serialize for TaskConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            TaskConfig::Text => TEXT.serialize(to),
            TaskConfig::Of(task) => task.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for TaskConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TaskConfig, D::Error> {
        let task = Named::deserialize(from)?;
        match task.id.as_str() {
            TEXT if task.settings.is_empty() => Ok(TaskConfig::Text),
            id if find(id).is_some() => Ok(TaskConfig::Of(task)),
            id => Err(D::Error::unknown_variant(id, &NAMES)),
        }
    }
}

impl JsonSchema for TaskConfig {
    fn schema_name() -> Cow<'static, str> {
        "TaskConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        named::schema(
            &[TEXT],
            all().into_iter().map(|t| (t.id.to_string(), t.schema())),
        )
    }
}
