//! Reading files of a run folder with errors that say where.

use super::StoreError;
use crate::record::SCHEMA_VERSION;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::path::Path;

/// The bytes of a file; `None` if there is no such file.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io {
            action: "reading",
            path: path.to_path_buf(),
            source,
        }),
    }
}

/// The text of a file; `None` if there is no such file.
pub(super) fn text(path: &Path) -> Result<Option<String>, StoreError> {
    let Some(bytes) = bytes(path)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|e| StoreError::Malformed {
            path: path.to_path_buf(),
            line: None,
            what: format!("expected UTF-8 text, found {e}"),
        })
}

/// A JSON file without a version; `None` if there is no such file.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(bytes) = bytes(path)? else {
        return Ok(None);
    };
    parse(path, &bytes).map(Some)
}

/// A JSON file with a `schema_version`, which is looked at before anything else; `None` if there is no such file.
pub(super) fn versioned<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    /// Only the version, whatever else a newer schema may hold.
    #[derive(serde::Deserialize)]
    struct Version {
        schema_version: Option<u64>,
    }
    let Some(bytes) = bytes(path)? else {
        return Ok(None);
    };
    match parse::<Version>(path, &bytes)?.schema_version {
        Some(found) if found > u64::from(SCHEMA_VERSION) => Err(StoreError::Newer {
            path: path.to_path_buf(),
            found,
            known: SCHEMA_VERSION,
        }),
        Some(_) => parse(path, &bytes).map(Some),
        None => Err(StoreError::Malformed {
            path: path.to_path_buf(),
            line: None,
            what: "expected a schema_version, found none: not written by Farspan".into(),
        }),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError::Malformed {
        path: path.to_path_buf(),
        line: (e.line() > 0).then_some(e.line()),
        what: match e.is_eof() {
            true => format!("cut off: {e}"),
            false => e.to_string(),
        },
    })
}

/// Lines of an append-only file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Every whole line.
    pub lines: Vec<Value>,
    /// What a killed process left of its last line; it is in no other field.
    pub torn: Option<String>,
}

/// Reads JSON lines. A last line without its end is set apart; anything else that is not JSON is an error.
pub(super) fn lines(path: &Path, text: &str) -> Result<Events, StoreError> {
    let mut events = Events::default();
    let (whole, torn) = match text.rfind('\n') {
        Some(end) => text.split_at(end + 1),
        None => ("", text),
    };
    for (i, line) in whole
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let value = serde_json::from_str(line).map_err(|e| StoreError::Malformed {
            path: path.to_path_buf(),
            line: Some(i + 1),
            what: format!("expected one JSON value, found {:?}: {e}", shorten(line)),
        })?;
        events.lines.push(value);
    }
    if !torn.is_empty() {
        events.torn = Some(torn.to_string());
    }
    Ok(events)
}

fn shorten(line: &str) -> String {
    if line.chars().count() <= 60 {
        line.to_string()
    } else {
        line.chars().take(60).chain(['…']).collect()
    }
}
