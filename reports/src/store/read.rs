//! Reading files of a run folder with errors that say where.

use super::StoreError;
use super::seal::{self, Seal};
use crate::record::{FIRST_SEALED, SCHEMA_VERSION};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::path::Path;

/// The bytes of a file; `None` if there is no such file. Pipes and devices are not read: they may never end.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let read = std::fs::metadata(path).and_then(|meta| match meta.is_file() {
        true => std::fs::read(path).map(Some),
        false => Ok(None),
    });
    match read {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => Err(StoreError::Malformed {
            path: path.to_path_buf(),
            line: None,
            what: "expected a file, found a folder, a pipe or a device".into(),
        }),
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

/// What a table says of its version, whatever else a newer schema may hold.
#[derive(serde::Deserialize)]
struct Version {
    schema_version: Option<u64>,
}

/// A JSON file with a `schema_version`, which is looked at before anything else, and with its hash; `None` if there is
/// no such file. Files of versions before [`FIRST_SEALED`] have no hash.
pub(super) fn versioned<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    table(path, None, None)
}

/// Brings a table of an earlier version into the form of this one; in words what is wrong with it.
pub(super) type Upgrade<'a> = &'a dyn Fn(&mut Value) -> Result<(), String>;

/// As [`versioned`]; a file without a version and without a hash is of version `unversioned`, and one of an earlier
/// version than ours is brought into our form first.
pub(super) fn table<T: DeserializeOwned>(
    path: &Path,
    unversioned: Option<u64>,
    upgrade: Option<Upgrade<'_>>,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = bytes(path)? else {
        return Ok(None);
    };
    let seal = seal::look(&bytes);
    let malformed = |what: String| StoreError::Malformed {
        path: path.to_path_buf(),
        line: None,
        what,
    };
    if seal == Seal::Broken {
        return Err(malformed(CHANGED.into()));
    }
    let version = parse::<Version>(path, &bytes)?.schema_version;
    match version.or(unversioned.filter(|_| seal == Seal::Absent)) {
        Some(found) if found > u64::from(SCHEMA_VERSION) => Err(StoreError::Newer {
            path: path.to_path_buf(),
            found,
            known: SCHEMA_VERSION,
        }),
        Some(found) if found >= u64::from(FIRST_SEALED) && seal == Seal::Absent => Err(malformed(
            "expected a hash at its end, found none: cut off or changed since it was written"
                .into(),
        )),
        Some(found) => match upgrade.filter(|_| found < u64::from(SCHEMA_VERSION)) {
            None => parse(path, &bytes).map(Some),
            Some(upgrade) => {
                let mut value: Value = parse(path, &bytes)?;
                upgrade(&mut value).map_err(malformed)?;
                let read = serde_json::from_value(value).map_err(|e| e.to_string());
                read.map(Some).map_err(malformed)
            }
        },
        None => Err(malformed(
            "expected a schema_version, found none: not written by Farspan".into(),
        )),
    }
}

/// What is wrong with a file whose hash is of other bytes.
pub(super) const CHANGED: &str =
    "its hash is of other bytes: the file is not what was written (changed by hand, or damaged)";

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError::Malformed {
        path: path.to_path_buf(),
        line: (e.line() > 0).then_some(e.line()),
        what: match e.is_eof() {
            true => format!("cut off: {}", shorten(&e.to_string())),
            false => shorten(&e.to_string()),
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

/// The beginning of a text that may be of any length.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(160) {
        None => text.to_string(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
