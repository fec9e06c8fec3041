//! `config.json` before its keys are understood: a table of unique names, without those that are to be ignored.

use super::files::{excerpt, regular};
use super::keys::Meaning;
use super::strict::Strict;
use crate::config::suggest;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// Bytes of a `config.json` beyond which it is taken for something else.
const LARGEST_CONFIG: u64 = 16 << 20;

/// How a config is to be read, beside what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Paths of keys that are read as if they were not there, though they may change the computation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_keys: Vec<String>,
    /// Length that the weights were trained with, for a config that does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_length: Option<usize>,
}

impl Reading {
    /// Whether the config alone speaks.
    pub fn is_plain(&self) -> bool {
        *self == Reading::default()
    }
}

/// The bytes of a `config.json`.
pub(super) fn text(file: &Path) -> Result<Vec<u8>> {
    let size = regular(file)?;
    if size > LARGEST_CONFIG {
        let text = format!("{}: {size} bytes are no config.json", file.display());
        return Err(Error::Data(text));
    }
    std::fs::read(file).map_err(|e| Error::io(format!("reading {}", file.display()), e))
}

/// The keys of a `config.json`, without those that `reading` ignores.
pub(super) fn table(file: &Path, reading: &Reading) -> Result<Map<String, Value>> {
    Ok(object(file, &text(file)?, reading)?.0)
}

/// The keys of the text of a config, without those that `reading` ignores; and these.
pub(super) fn object(
    file: &Path,
    text: &[u8],
    reading: &Reading,
) -> Result<(Map<String, Value>, Vec<Meaning>)> {
    let wrong = |what: String| Error::Data(format!("{}: {what}", file.display()));
    let Strict(value) = serde_json::from_slice(text)
        .map_err(|e| wrong(format!("not a JSON config: {}", excerpt(&e.to_string()))))?;
    let Value::Object(mut object) = value else {
        let found = excerpt(&value.to_string());
        return Err(wrong(format!("expected a JSON table, found {found}")));
    };
    let mut ignored = Vec::new();
    for path in &reading.ignore_keys {
        let Some(value) = removed(&mut object, path) else {
            let known: Vec<&str> = object.keys().map(String::as_str).collect();
            let hint = suggest::hint(path, known);
            let text = format!("{}: no key `{path}` to ignore{hint}", file.display());
            return Err(Error::Config(text));
        };
        ignored.push(Meaning {
            key: path.clone(),
            value: Some(value),
            meaning: "ignored, as was asked for; it may change the computation".into(),
        });
    }
    Ok((object, ignored))
}

/// Takes the value at `path` out; names of keys may have dots of their own.
fn removed(object: &mut Map<String, Value>, path: &str) -> Option<Value> {
    if object.contains_key(path) {
        return object.shift_remove(path);
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.into_iter().find_map(|at| {
        let inner = object.get_mut(&path[..at])?.as_object_mut()?;
        removed(inner, &path[at + 1..])
    })
}
