//! Settings made from a scheme's schema alone: values inside the bounds that change something, and values outside.

use super::bench::MODEL;
use farspan_pe::{Entry, Len, PlanError};
use serde_json::{Map, Value, json};

/// Settings tables with one setting changed, for every setting of the scheme; all are accepted by it, and fit [`MODEL`].
pub(crate) fn alternatives(entry: &Entry) -> impl Iterator<Item = Value> {
    let schema = entry.schema();
    let properties = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let single = |(key, property): (&String, &Value)| -> Vec<Value> {
        candidates(property)
            .into_iter()
            .map(|value| json!({ (key.clone()): value }))
            .collect()
    };
    let singles: Vec<Value> = properties.iter().flat_map(single).collect();
    // A setting that only makes sense beside another one comes with the first other that makes it acceptable.
    let beside = |change: Value| {
        let contexts = std::iter::once(json!({})).chain(singles.clone());
        let tables = contexts.map(|context| merged(&context, &change));
        tables
            .into_iter()
            .find(|settings| accepted(entry, settings))
    };
    let mut found: Vec<Value> = singles.iter().cloned().filter_map(beside).collect();
    found.dedup();
    found.into_iter()
}

/// Whether the settings agree with each other and with the model.
fn accepted(entry: &Entry, settings: &Value) -> bool {
    let Ok(scheme) = entry.parse(settings.clone()) else {
        return false;
    };
    let plan = scheme.plan(&MODEL, Len(MODEL.trained_length));
    !matches!(
        plan,
        Err(PlanError::Setting { .. } | PlanError::Model { .. })
    )
}

/// `context` with the settings of `change` put over it.
pub(crate) fn merged(context: &Value, change: &Value) -> Value {
    let table = |value: &Value| value.as_object().cloned().unwrap_or_else(Map::new);
    let mut all = table(context);
    all.extend(table(change));
    Value::Object(all)
}

/// Values of the right type and within the stated bounds, other than the default.
fn candidates(property: &Value) -> Vec<Value> {
    let types = property["type"].to_string();
    let values: Vec<Value> = if let Some(examples) = property["examples"].as_array() {
        examples.clone()
    } else if types.contains("object") {
        vec![json!({})]
    } else if types.contains("boolean") {
        vec![json!(true), json!(false)]
    } else if types.contains("array") {
        // One element each, and the same twice.
        let elements = candidates(&property["items"]).into_iter();
        elements
            .flat_map(|x| [json!([x.clone()]), json!([x.clone(), x])])
            .collect()
    } else if types.contains("integer") {
        [3, 20, 40, 1000].map(Value::from).to_vec()
    } else if types.contains("number") {
        [0.5, 1.5, 3.0].map(Value::from).to_vec()
    } else if types.contains("string") && property["enum"].is_null() {
        vec![json!("x")]
    } else {
        names(property)
    };
    let inside = |value: &Value| {
        let bound = |key: &str, holds: &dyn Fn(f64, f64) -> bool| {
            let pair = property[key].as_f64().zip(value.as_f64());
            pair.is_none_or(|(bound, x)| holds(x, bound))
        };
        bound("minimum", &|x, b| x >= b)
            && bound("exclusiveMinimum", &|x, b| x > b)
            && bound("maximum", &|x, b| x <= b)
            && bound("exclusiveMaximum", &|x, b| x < b)
            && Some(value) != property.get("default")
    };
    let mut found: Vec<_> = values.into_iter().filter(inside).collect();
    if found.is_empty() {
        // A share whose default is the half.
        found.extend([json!(0.25)].into_iter().filter(inside));
    }
    assert!(!found.is_empty(), "no other value known for {property}");
    found
}

fn names(property: &Value) -> Vec<Value> {
    let choices = property["oneOf"]
        .as_array()
        .or_else(|| property["enum"].as_array());
    let name = |choice: &Value| choice.get("const").unwrap_or(choice).clone();
    choices.map_or(Vec::new(), |choices| choices.iter().map(name).collect())
}

/// Keys with values just outside of the schema's bounds, and of a wrong type.
pub(crate) fn bounds(schema: &Value) -> Vec<(String, Value)> {
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let mut outside = Vec::new();
    for (key, property) in properties {
        let mut add = |value: Value| outside.push((key.clone(), value));
        let whole = property["type"].to_string().contains("integer");
        let step = if whole { 1.0 } else { 1e-6 };
        let number = |x: f64| if whole { json!(x as i64) } else { json!(x) };
        for (bound, offset) in [
            ("minimum", -step),
            ("exclusiveMinimum", 0.0),
            ("maximum", step),
            ("exclusiveMaximum", 0.0),
        ] {
            if let Some(bound) = property[bound].as_f64() {
                add(number(bound + offset));
            }
        }
        add(json!("no such value"));
        if property["type"].to_string().contains("array") {
            add(json!(1));
            if let Some(least) = property["items"]["minimum"].as_i64() {
                add(json!([least - 1]));
            }
        } else {
            add(json!([1]));
        }
    }
    outside
}

/// Keys with values at the schema's bounds, or `behind` those that do not belong to them.
pub(crate) fn edges(schema: &Value, behind: f64) -> Vec<(String, Value)> {
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let mut inside = Vec::new();
    for (key, property) in properties {
        let whole = property["type"].to_string().contains("integer");
        let number = |x: f64| if whole { json!(x as i64) } else { json!(x) };
        for (bound, offset) in [
            ("minimum", 0.0),
            ("exclusiveMinimum", behind),
            ("maximum", 0.0),
            ("exclusiveMaximum", -behind),
        ] {
            if let Some(bound) = property[bound].as_f64() {
                inside.push((key.clone(), number(bound + offset)));
            }
        }
    }
    inside
}
