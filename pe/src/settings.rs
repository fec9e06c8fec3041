//! Settings: their schema, their documentation, and reading them with errors that help.

use crate::error::{PlanError, hint};
use crate::scheme::{AnyScheme, Scheme};
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value};

/// One setting of a scheme, as its schema documents it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// The value in use; null if it is optional and not set.
    pub value: Value,
    /// The default; null if it is optional.
    pub default: Value,
    /// What it must be, in words: `a number, at least 1`.
    pub rule: String,
    /// What it is for.
    pub doc: String,
}

/// JSON Schema (draft 7) of a scheme's settings.
pub(crate) fn schema<S: Scheme>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<S>();
    schema.insert("title".into(), S::CARD.title.into());
    schema.insert("description".into(), S::CARD.idea.into());
    schema.to_value()
}

/// Reads settings strictly and checks their bounds.
pub(crate) fn parse<S: Scheme>(settings: Value) -> Result<Box<dyn AnyScheme>, PlanError> {
    let schema = schema::<S>();
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let Some(given) = settings.as_object() else {
        return Err(wrong(
            ".",
            &settings,
            "a table of settings".into(),
            String::new(),
        ));
    };
    for (key, value) in given {
        let Some(property) = properties.get(key) else {
            return Err(unknown(S::ID, key, properties));
        };
        if let (Some(names), Value::String(found)) = (names(property), value)
            && !names.contains(&found.as_str())
        {
            return Err(wrong(key, value, rule(property), hint(found, names)));
        }
    }
    let scheme: S = serde_path_to_error::deserialize(&settings).map_err(|error| {
        let path = error.path().to_string();
        let key = path.split(['.', '[']).next().unwrap_or_default();
        match (given.get(key), properties.get(key)) {
            (Some(value), Some(property)) if path == key => {
                wrong(&path, value, rule(property), String::new())
            }
            // Nested, or a rule of the type itself: serde's own words say more.
            (value, _) => wrong(
                &path,
                value.unwrap_or(&settings),
                format!("readable: {}", error.inner()),
                String::new(),
            ),
        }
    })?;
    Scheme::check(&scheme)?;
    Ok(Box::new(scheme))
}

fn wrong(key: &str, value: &Value, rule: String, hint: String) -> PlanError {
    PlanError::Setting {
        key: key.into(),
        value: value.to_string(),
        rule,
        hint,
    }
}

fn unknown(scheme: &'static str, key: &str, properties: &Map<String, Value>) -> PlanError {
    let keys: Vec<_> = properties.keys().map(String::as_str).collect();
    let known = if keys.is_empty() {
        "none".into()
    } else {
        keys.join(", ")
    };
    PlanError::UnknownSetting {
        scheme,
        key: key.into(),
        hint: hint(key, keys),
        known,
    }
}

/// The settings of `scheme` with their documentation, in the order of the struct.
pub fn settings(scheme: &dyn AnyScheme) -> Vec<Setting> {
    let (values, schema) = (scheme.settings(), scheme.schema());
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let setting = |(key, property): (&String, &Value)| Setting {
        key: key.clone(),
        value: values.get(key).cloned().unwrap_or_default(),
        default: property.get("default").cloned().unwrap_or_default(),
        rule: rule(property),
        doc: property["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " "),
    };
    properties.iter().map(setting).collect()
}

/// The legal values of a setting that is one of several names.
fn names(property: &Value) -> Option<Vec<&str>> {
    let names: Vec<&str> = match (&property["enum"], &property["oneOf"]) {
        (Value::Array(names), _) => names.iter().filter_map(Value::as_str).collect(),
        (_, Value::Array(choices)) => choices.iter().filter_map(name_of_choice).collect(),
        _ => return None,
    };
    (!names.is_empty()).then_some(names)
}

fn name_of_choice(choice: &Value) -> Option<&str> {
    choice["const"]
        .as_str()
        .or_else(|| choice["enum"][0].as_str())
}

/// What a property must be, in words.
fn rule(property: &Value) -> String {
    if let Some(names) = names(property) {
        let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        return format!("one of {}", names.join(", "));
    }
    let types = match &property["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(name) => vec![name.as_str()],
        _ => Vec::new(),
    };
    let mut parts = vec![match types.iter().find(|name| **name != "null").copied() {
        Some("number") => "a number".to_string(),
        Some("integer") => "a whole number".to_string(),
        Some("boolean") => "true or false".to_string(),
        Some("string") => "text".to_string(),
        Some("array") => "a list".to_string(),
        Some("object") => "a table".to_string(),
        _ => "as the schema says".to_string(),
    }];
    for (key, words) in [
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    ] {
        if let Some(bound) = property[key].as_f64() {
            parts.push(format!("{words} {bound}"));
        }
    }
    if types.contains(&"null") {
        parts.push("or left out".into());
    }
    parts.join(", ")
}
