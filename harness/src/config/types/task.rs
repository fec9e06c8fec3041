//! What a study trains its models on: text, or a task over tokens with its settings.

use farspan_datasets::DataError;
use farspan_datasets::tasks::{AnyTask, BUILTIN, find};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

/// The name of what is no task over tokens.
const TEXT: &str = "text";

/// What may stand as `task`.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    [TEXT]
        .into_iter()
        .chain(BUILTIN.iter().map(|t| t.id))
        .collect()
});

/// What a model is trained on and asked: `"text"`, the id of a task, or `{ ID = { its settings } }`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TaskConfig {
    /// Next-token prediction on text.
    #[default]
    Text,
    /// A task over tokens, with loss on the answers only.
    Of(TaskSettings),
}

/// A task over tokens and its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSettings {
    /// Its id.
    pub id: String,
    /// Its settings, a JSON object; what is left out gets its default.
    pub settings: Value,
}

impl TaskSettings {
    /// The task itself, if its settings are sound.
    pub fn open(&self) -> Result<Box<dyn AnyTask>, DataError> {
        self.with(&Map::new())
    }

    /// The task with some other settings.
    pub fn with(&self, other: &Map<String, Value>) -> Result<Box<dyn AnyTask>, DataError> {
        let mut settings = self.settings.clone();
        if let Value::Object(settings) = &mut settings {
            settings.extend(other.clone());
        }
        let entry = find(&self.id).ok_or_else(|| DataError::Setting {
            key: "task",
            expected: format!("one of {}", NAMES.join(", ")),
            found: self.id.clone(),
        })?;
        entry.parse(settings)
    }
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

impl Serialize for TaskConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            TaskConfig::Text => TEXT.serialize(to),
            TaskConfig::Of(task) => task.serialize(to),
        }
    }
}

impl Serialize for TaskSettings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Map::from_iter([(self.id.clone(), self.settings.clone())]).serialize(to)
    }
}

impl<'de> Deserialize<'de> for TaskConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TaskConfig, D::Error> {
        from.deserialize_any(Named)
    }
}

impl<'de> Deserialize<'de> for TaskSettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TaskSettings, D::Error> {
        match TaskConfig::deserialize(from)? {
            TaskConfig::Of(task) => Ok(task),
            TaskConfig::Text => Err(D::Error::custom(
                "expected a task over tokens, found \"text\"",
            )),
        }
    }
}

struct Named;

impl Named {
    fn of<E: Error>(id: &str, settings: Value) -> Result<TaskConfig, E> {
        let id = find(id).ok_or_else(|| E::unknown_variant(id, &NAMES))?.id;
        Ok(TaskConfig::Of(TaskSettings {
            id: id.into(),
            settings,
        }))
    }
}

impl<'de> Visitor<'de> for Named {
    type Value = TaskConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a task, or { NAME = { its settings } }")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<TaskConfig, E> {
        match id {
            TEXT => Ok(TaskConfig::Text),
            id => Named::of(id, json!({})),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TaskConfig, A::Error> {
        let one = || A::Error::custom("expected one table, named after a task");
        let (id, settings) = map
            .next_entry::<String, Map<String, Value>>()?
            .ok_or_else(one)?;
        match map.next_key::<String>()? {
            Some(_) => Err(one()),
            None => Named::of(&id, Value::Object(settings)),
        }
    }
}

impl JsonSchema for TaskConfig {
    fn schema_name() -> Cow<'static, str> {
        "TaskConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let with_settings = BUILTIN.iter().map(|task| {
            let mut schema = task.schema();
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("$schema");
            }
            (task.id.to_string(), schema)
        });
        json_schema!({
            "description": "What is trained and asked: text, or a task over tokens.",
            "oneOf": [
                { "enum": *NAMES },
                {
                    "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                    "properties": with_settings.collect::<Map<String, Value>>(),
                },
            ],
        })
    }
}
