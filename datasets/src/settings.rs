//! Tasks by name: a line of a list, the schema of its settings, and reading them with errors that name a key.

use crate::error::DataError;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One line of a list of tasks, each with a card `C`, that become an `A`.
#[derive(Debug)]
pub struct Entry<C, A: ?Sized> {
    /// Its id.
    pub id: &'static str,
    /// What it is.
    pub card: C,
    pub(crate) parse: fn(Value) -> Result<Box<A>, DataError>,
    pub(crate) schema: fn() -> Value,
}

impl<C: Copy, A: ?Sized> Clone for Entry<C, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Copy, A: ?Sized> Copy for Entry<C, A> {}

impl<C, A: ?Sized> Entry<C, A> {
    /// The task with these settings, a JSON object; what it leaves out gets its default.
    pub fn parse(&self, settings: Value) -> Result<Box<A>, DataError> {
        (self.parse)(settings)
    }

    /// JSON Schema (draft 7) of the settings, with defaults and descriptions.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }
}

/// JSON Schema (draft 7) of the settings `T`.
pub(crate) fn schema<T: JsonSchema>(title: &str, description: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    schema.to_value()
}

/// Reads the settings of `task`, whose schema is `schema`.
pub(crate) fn parse<T: DeserializeOwned>(
    task: &'static str,
    schema: &Value,
    settings: Value,
) -> Result<T, DataError> {
    let none = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&none);
    let wrong = |key: &str, expected: String, found: String| DataError::TaskSetting {
        task,
        key: key.to_string(),
        expected,
        found,
    };
    let given = settings.as_object().ok_or_else(|| {
        let found = settings.to_string();
        wrong("", "a table of settings".into(), found)
    })?;
    if let Some(key) = given.keys().find(|key| !known.contains_key(*key)) {
        let keys: Vec<&str> = known.keys().map(String::as_str).collect();
        let expected = match keys.as_slice() {
            [] => "no settings".to_string(),
            keys => format!("one of its settings ({})", keys.join(", ")),
        };
        return Err(wrong(key, expected, "no such setting".into()));
    }
    for (key, value) in given {
        // One at a time, so that an error names its key.
        let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        serde_json::from_value::<T>(alone)
            .map_err(|error| wrong(key, expected(&error.to_string()), value.to_string()))?;
    }
    let found = settings.to_string();
    serde_json::from_value(settings).map_err(|error| wrong("", error.to_string(), found))
}

/// What serde's words say was expected.
fn expected(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((_, "usize" | "u32" | "u64")) => "a whole number, 0 or more".into(),
        Some((_, "f64")) => "a number".into(),
        Some((_, rest)) => rest.replace('`', "\""),
        None => message.into(),
    }
}
