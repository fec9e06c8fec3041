//! A line of a file of JSON lines.

use crate::error::DataError;
use serde_json::{Map, Value};
use std::path::Path;

/// Where a line stands.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    /// From 1.
    pub(crate) number: u64,
}

impl Place<'_> {
    pub(crate) fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::Record {
            path: self.path.into(),
            unit: "line",
            number: self.number,
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The object that a line holds. What is no JSON gets a second chance as what `mended` makes of it, if anything.
    pub(crate) fn object(
        &self,
        line: &[u8],
        mended: impl Fn(&str) -> Option<String>,
    ) -> Result<Map<String, Value>, DataError> {
        let line = std::str::from_utf8(line).map_err(|e| {
            let found = format!("an invalid byte at offset {} of the line", e.valid_up_to());
            self.wrong("UTF-8", found)
        })?;
        let line = line
            .strip_prefix('\u{feff}')
            .filter(|_| self.number == 1)
            .unwrap_or(line);
        let value: Value = serde_json::from_str(line)
            .or_else(|e| serde_json::from_str(&mended(line).ok_or(e)?))
            .map_err(|e| self.wrong("one JSON object", reason(&e)))?;
        match value {
            Value::Object(object) => Ok(object),
            other => Err(self.wrong("one JSON object", kind(&other))),
        }
    }
}

/// The parser's message; its own line number is always 1 and would mislead.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or(&text);
    format!("{words} at column {}", error.column())
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
