//! The settings of one scheme: read by the scheme itself, its complaints brought to their place.

use super::problem::{Problems, join};
use super::tree::{Mark, Node, Value};
use super::types::{FinetuneConfig, SchemeConfig};
use farspan_datasets::foreign::excerpt;
use farspan_pe::{AnyScheme, OVER, PlanError, Registry};
use serde_json::Value as Json;
use std::sync::Arc;

/// Gives an extension the settings of its base that it also has and does not set: it reads the same weights. One that
/// stands on any base is given the base itself.
pub(super) fn take_over(settings: &mut Node, base: &SchemeConfig, schema: &Json) {
    let mark = Mark::Base(Arc::from(base.name.as_str()));
    let shared = |key: &str| schema["properties"].get(key).is_some() && settings.get(key).is_none();
    let values = base.settings.as_object().into_iter().flatten();
    let taken: Vec<(String, Node)> = values
        .filter(|(key, value)| !value.is_null() && shared(key))
        .map(|(key, value)| (key.clone(), from_json(value, &mark)))
        .collect();
    let stands_on_any = shared(OVER);
    taken
        .into_iter()
        .for_each(|(key, node)| settings.push(&key, node));
    if stands_on_any {
        settings.push(OVER, from_json(&as_over(base), &mark));
    }
}

/// The base as the setting `over` holds it.
pub(super) fn as_over(base: &SchemeConfig) -> Json {
    let known = base.settings.as_object().into_iter().flatten();
    let known: serde_json::Map<String, Json> = known
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    serde_json::json!({ (base.id.as_str()): known })
}

fn from_json(json: &Json, mark: &Mark) -> Node {
    let value = match json {
        Json::Null => Value::Table(Vec::new()),
        Json::Bool(x) => Value::Flag(*x),
        Json::Number(x) => match x.as_i64() {
            Some(x) => Value::Integer(x),
            None => Value::Float(x.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(x) => Value::Text(x.clone()),
        Json::Array(xs) => Value::List(xs.iter().map(|x| from_json(x, mark)).collect()),
        Json::Object(map) => Value::Table(
            map.iter()
                .map(|(k, x)| (k.clone(), from_json(x, mark)))
                .collect(),
        ),
    };
    Node {
        key: mark.clone(),
        at: mark.clone(),
        value,
    }
}

/// A scheme's table: its id, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) id: &'a str,
    /// Key path.
    pub(super) path: &'a str,
    pub(super) at: &'a Mark,
}

/// Reads the settings of a scheme. A wrong one is reported and left out, so that the next one is found too.
pub(super) fn parse(
    place: Place<'_>,
    settings: &Node,
    registry: &Registry,
    problems: &mut Problems,
) -> Option<Box<dyn AnyScheme>> {
    let mut rest = settings.clone();
    let mut clean = true;
    loop {
        let error = match registry.parse(place.id, rest.json()) {
            Ok(parsed) => return clean.then_some(parsed),
            Err(error) => error,
        };
        clean = false;
        let (path, at) = locate(&error, &rest, place);
        problems.add(&at, path, plain(&error));
        let key = match &error {
            PlanError::UnknownSetting { key, .. } | PlanError::Setting { key, .. } => key.clone(),
            _ => return None,
        };
        if problems.is_full() {
            return None;
        }
        rest.take(&[key.split(['.', '[']).next().unwrap_or_default()])?;
    }
}

/// The scheme as it is in each stage of a fine-tuning, read and as it was written.
pub(super) fn stages(
    place: Place<'_>,
    settings: &Node,
    (finetune, written): (Option<&FinetuneConfig>, Option<&Node>),
    registry: &Registry,
    problems: &mut Problems,
) -> Option<Vec<Box<dyn AnyScheme>>> {
    let all = finetune.map_or(Vec::new(), FinetuneConfig::each);
    let one = |(i, stage): (usize, FinetuneConfig)| {
        let key = format!("stages.{i}.settings");
        let own = written.and_then(|node| node.dotted(&key));
        let mut settings = settings.clone();
        // What a stage sets wins, wherever the scheme's own was written.
        for (key, node) in own
            .filter(|_| !stage.settings.is_empty())
            .map_or(&[][..], Node::entries)
        {
            settings.take(&[key]);
            settings.push(key, node.clone());
        }
        let path = join(place.path, &format!("finetune.{key}"));
        let place = Place {
            path: &path,
            ..place
        };
        parse(place, &settings, registry, problems)
    };
    all.into_iter().enumerate().map(one).collect()
}

/// Where an error stands: its key path and its mark.
pub(super) fn locate(error: &PlanError, settings: &Node, place: Place<'_>) -> (String, Mark) {
    let (key, at) = match error {
        PlanError::UnknownSetting { key, .. } => (key, settings.get(key).map(|node| &node.key)),
        PlanError::Setting { key, .. } => (key, settings.dotted(key).map(|node| &node.at)),
        _ => return (place.path.to_string(), place.at.clone()),
    };
    (join(place.path, key), at.unwrap_or(place.at).clone())
}

/// The message without what its place says already.
pub(super) fn plain(error: &PlanError) -> String {
    match error {
        PlanError::UnknownSetting {
            hint,
            known,
            scheme,
            ..
        } => {
            let known = format!("settings of {scheme}: {known}");
            if hint.is_empty() {
                format!("unknown key; {known}")
            } else {
                format!("unknown key{hint} {known}")
            }
        }
        PlanError::Setting {
            value, rule, hint, ..
        } if rule.contains('\n') => format!("expected {rule}{hint}"),
        PlanError::Setting {
            value, rule, hint, ..
        } => format!("expected {rule}, found {}{hint}", excerpt(value)),
        other => other.to_string(),
    }
}
