//! Lists in a scheme's settings: `factor = [2, 4, 8]` is three schemes, `NAME[factor=2]` and so on.

use super::problem::{Problems, join};
use super::tree::{Node, Value};
use farspan_pe::Registry;
use serde_json::Value as Json;

/// Replaces each scheme that has a list where its setting is no list by its variants, all combinations where several have.
/// More than `limit` of one scheme are a problem.
pub(super) fn expand(root: &mut Node, registry: &Registry, limit: usize, problems: &mut Problems) {
    let Some(Value::Table(schemes)) = root.get_mut("schemes").map(|node| &mut node.value) else {
        return;
    };
    let mut all = Vec::new();
    for (name, scheme) in std::mem::take(schemes) {
        let axes = axes(&scheme, registry);
        let count = axes.iter().map(|(_, v)| v.len() as f64).product::<f64>();
        if count > limit as f64 {
            let what = format!("{count} variants, more than {limit}; --yes allows them");
            problems.add(&scheme.key, join("schemes", &name), what);
            all.push((name, scheme));
            continue;
        }
        // What each variant sets, as its name says.
        let mut variants = vec![(Vec::new(), scheme)];
        for ([id, key], values) in axes {
            let mut more = Vec::new();
            for (said, scheme) in &variants {
                for value in &values {
                    let (mut said, mut scheme) = (said.clone(), scheme.clone());
                    said.push(format!("{key}={}", value.compact()));
                    if let Some(setting) = scheme.get_mut(&id).and_then(|t| t.get_mut(&key)) {
                        *setting = value.clone();
                    }
                    more.push((said, scheme));
                }
            }
            variants = more;
        }
        let named = variants.into_iter().map(|(said, scheme)| {
            let name = match said.is_empty() {
                true => name.clone(),
                false => format!("{name}[{}]", said.join(",")),
            };
            (name, scheme)
        });
        all.extend(named);
    }
    *schemes = all;
}

/// Settings of a scheme that hold a list of values in place of one: id and key, with the values.
fn axes(scheme: &Node, registry: &Registry) -> Vec<([String; 2], Vec<Node>)> {
    let [(id, settings)] = scheme.entries() else {
        return Vec::new();
    };
    let Ok(entry) = registry.get(id) else {
        return Vec::new();
    };
    let lists = settings
        .entries()
        .iter()
        .filter_map(|(key, node)| match &node.value {
            Value::List(values) if !values.is_empty() => Some((key, values)),
            _ => None,
        });
    let mut lists = lists.peekable();
    if lists.peek().is_none() {
        return Vec::new();
    }
    let schema = entry.schema();
    let one = |key: &str| {
        schema["properties"]
            .get(key)
            .is_some_and(|s| !takes_list(s))
    };
    let lists = lists.filter(|(key, _)| one(key));
    lists
        .map(|(key, values)| ([id.clone(), key.clone()], values.clone()))
        .collect()
}

/// Whether a value of this schema may be a list.
fn takes_list(schema: &Json) -> bool {
    let array = |kind: &Json| kind == "array";
    let named = array(&schema["type"])
        || schema["type"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(array));
    let among = |key: &str| {
        schema[key]
            .as_array()
            .is_some_and(|all| all.iter().any(takes_list))
    };
    // A schema that says nothing of types takes anything.
    let open = ["type", "anyOf", "oneOf", "allOf", "enum", "const"];
    named
        || ["anyOf", "oneOf", "allOf"].into_iter().any(among)
        || open.iter().all(|key| schema[*key].is_null())
}
