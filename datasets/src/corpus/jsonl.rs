//! JSON Lines: one document per line, the text in one string member.

use super::{Flow, Gather, files};
use crate::error::DataError;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest line, bytes.
const MAX_LINE: usize = 64 << 20;

/// Reads every line of every file. Blank lines are no documents and no errors.
pub(super) fn read(paths: &[PathBuf], column: &str, gather: &mut Gather) -> Result<(), DataError> {
    for path in paths {
        if read_file(path, column, gather)? == Flow::Full {
            break;
        }
    }
    Ok(())
}

fn read_file(path: &Path, column: &str, gather: &mut Gather) -> Result<Flow, DataError> {
    let mut reader = BufReader::with_capacity(1 << 16, files::open(path)?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        let read_error = |source| DataError::Read {
            path: path.into(),
            source,
        };
        let whole = match next_line(&mut reader, &mut line).map_err(read_error)? {
            Line::End => break,
            Line::Whole => true,
            Line::TooLong => false,
        };
        let text = if whole {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            text_of(path, number, &line, column)
        } else {
            let found = "a longer one".to_string();
            Err(record(
                path,
                number,
                format!("a line of at most {MAX_LINE} bytes"),
                found,
            ))
        };
        match text {
            Ok(text) => {
                let name = format!("{} line {number}", path.display());
                if gather.push(path, name, text)? == Flow::Full {
                    return Ok(Flow::Full);
                }
            }
            Err(error) => gather.bad(error)?,
        }
    }
    Ok(Flow::More)
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads a line into `line`; of one that is too long the rest is passed over.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let cap = MAX_LINE as u64 + 1;
    if reader.by_ref().take(cap).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.len() <= MAX_LINE || line.ends_with(b"\n") {
        return Ok(Line::Whole);
    }
    loop {
        line.clear();
        reader.by_ref().take(cap).read_until(b'\n', line)?;
        if line.is_empty() || line.ends_with(b"\n") {
            return Ok(Line::TooLong);
        }
    }
}

/// The text of one line.
fn text_of(path: &Path, number: u64, line: &[u8], column: &str) -> Result<String, DataError> {
    let line = std::str::from_utf8(line).map_err(|e| {
        let found = format!("an invalid byte at offset {} of the line", e.valid_up_to());
        record(path, number, "UTF-8".into(), found)
    })?;
    let line = line
        .strip_prefix('\u{feff}')
        .filter(|_| number == 1)
        .unwrap_or(line);
    let value: Value = serde_json::from_str(line)
        .map_err(|e| record(path, number, "one JSON object".into(), reason(&e)))?;
    let Value::Object(mut members) = value else {
        return Err(record(
            path,
            number,
            "one JSON object".into(),
            kind(&value).into(),
        ));
    };
    match members.remove(column) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            let expected = format!("a string in column \"{column}\" (data.column)");
            Err(record(path, number, expected, kind(&other).into()))
        }
        None => Err(DataError::Column {
            path: path.into(),
            place: format!("line {number}"),
            column: column.into(),
            columns: members.keys().cloned().collect(),
        }),
    }
}

/// The parser's message; its own line number is always 1 and would mislead.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or(&text);
    format!("{words} at column {}", error.column())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn record(path: &Path, number: u64, expected: String, found: String) -> DataError {
    DataError::Record {
        path: path.into(),
        unit: "line",
        number,
        expected,
        found,
    }
}
