//! JSON Lines: one document per line, the text in one string member.

use super::{Flow, Gather, files};
use crate::error::DataError;
use crate::line::{Place, kind};
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
        let at = Place { path, number };
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
            text_of(&at, &line, column)
        } else {
            let expected = format!("a line of at most {MAX_LINE} bytes");
            Err(at.wrong(expected, "a longer one"))
        };
        let flow = match text {
            Ok(None) => gather.missing(),
            Ok(Some(text)) => {
                let name = format!("{} line {number}", path.display());
                gather.push(path, name, text)?
            }
            Err(error) => {
                gather.bad(error)?;
                Flow::More
            }
        };
        if flow == Flow::Full {
            return Ok(Flow::Full);
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

/// The text of one line; none if it says that there is none (null, or NaN, which Python writes for it).
fn text_of(at: &Place<'_>, line: &[u8], column: &str) -> Result<Option<String>, DataError> {
    let mut members = at.object(line, without_non_finite)?;
    match members.remove(column) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) => Ok(None),
        Some(other) => {
            let expected = format!("a string in column \"{column}\" (data.column)");
            Err(at.wrong(expected, kind(&other)))
        }
        None => Err(DataError::Column {
            path: at.path.into(),
            place: format!("line {}", at.number),
            column: column.into(),
            columns: members.keys().cloned().collect(),
        }),
    }
}

/// The line with null for the NaN and the infinities that Python writes as numbers and JSON does not have; none if there
/// are none.
fn without_non_finite(line: &str) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut is_string = false;
    let mut is_changed = false;
    while let Some(first) = rest.chars().next() {
        let word = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| !is_string && rest.starts_with(word));
        let taken = match (word, first) {
            (Some(word), _) => {
                out.push_str("null");
                is_changed = true;
                word.len()
            }
            (None, '\\') if is_string => {
                let taken = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..taken]);
                taken
            }
            (None, first) => {
                is_string ^= first == '"';
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    is_changed.then_some(out)
}
