//! From a tree to a struct: serde is the judge, and its verdicts are put into words.

use super::problem::{Problems, join};
use super::suggest::hint;
use super::tree::Node;
use farspan_datasets::foreign::excerpt;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

/// Reads a struct out of `node`, which stands at `path`; `None` if anything was wrong.
pub(super) fn read<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    problems: &mut Problems,
) -> Option<T> {
    let before = problems.told();
    let (value, _) = salvage(node, path, problems)?;
    (problems.told() == before).then_some(value)
}

/// Reads a struct out of `node`, which stands at `path`. A wrong value is reported and left out, so that the next
/// mistake is found too; with the struct comes what was left in.
pub(super) fn salvage<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    problems: &mut Problems,
) -> Option<(T, Node)> {
    let mut rest = node.clone();
    let mut wrong: Vec<String> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(rest.json()) {
            Ok(value) => return Some((value, rest)),
            Err(error) => error,
        };
        let message = error.inner().to_string();
        let mut steps = steps(error.path());
        if let Some(field) = quoted_after(&message, "unknown field ")
            && steps.last().is_none_or(|last| *last != field)
        {
            steps.push(field);
        }
        if quoted_after(&message, "missing field ").is_some_and(|field| wrong.contains(&field)) {
            return None;
        }
        let found = rest.find(&steps);
        let mark = match found {
            // A wrong key is underlined at the key, a wrong value at the value.
            Some(found) if message.starts_with("unknown field") => &found.key,
            Some(found) => &found.at,
            None => &node.at,
        };
        let key = steps
            .iter()
            .fold(path.to_string(), |path, step| join(&path, step));
        problems.add(mark, key, words(&message));
        wrong.extend(steps.last().cloned());
        if steps.is_empty() || problems.is_full() || rest.take(&steps).is_none() {
            return None;
        }
    }
}

fn steps(path: &serde_path_to_error::Path) -> Vec<String> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// The text between backticks after `start`.
fn quoted_after(message: &str, start: &str) -> Option<String> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    rest.split_once('`').map(|(word, _)| word.to_string())
}

/// All words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A message of serde in the words of a config.
pub(super) fn words(message: &str) -> String {
    if let Some(field) = quoted_after(message, "unknown field ") {
        let known: Vec<&str> = quoted(message).into_iter().skip(1).collect();
        let list = if known.is_empty() {
            "none".into()
        } else {
            known.join(", ")
        };
        return match hint(&field, known.iter().copied()) {
            hint if hint.is_empty() => format!("unknown key; known keys: {list}"),
            hint => format!("unknown key{hint} Known keys: {list}"),
        };
    }
    if let Some(value) = quoted_after(message, "unknown variant ") {
        let known: Vec<&str> = quoted(message).into_iter().skip(1).collect();
        let list: Vec<String> = known.iter().map(|k| format!("{k:?}")).collect();
        let hint = hint(&value, known.iter().copied());
        let found = excerpt(&format!("{value:?}"));
        return format!("expected {}, found {found}{hint}", list.join(" or "));
    }
    if let Some(field) = quoted_after(message, "missing field ") {
        return format!("`{field}` is missing");
    }
    for kind in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, expected)) = message
            .strip_prefix(kind)
            .and_then(|rest| rest.split_once(", expected "))
        {
            return format!(
                "expected {}, found {}",
                plain_expected(expected),
                excerpt(&plain_found(found))
            );
        }
    }
    message.to_string()
}

fn plain_expected(expected: &str) -> String {
    match expected {
        "u64" | "usize" | "u32" => "a whole number, 0 or more".into(),
        "i64" => "a whole number".into(),
        "f64" => "a finite number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "option" => "a value".into(),
        other if other.starts_with("struct ") => "a table".into(),
        other => other.into(),
    }
}

fn plain_found(found: &str) -> String {
    match found.split_once(' ') {
        Some(("integer" | "boolean", value)) => value.trim_matches('`').into(),
        Some(("floating", value)) => value.trim_start_matches("point ").trim_matches('`').into(),
        Some(("string", value)) => value.into(),
        _ if found == "map" => "a table".into(),
        _ if found == "sequence" => "a list".into(),
        _ => found.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn messages_of_serde_become_messages_about_a_config() {
        for (message, expected) in [
            (
                "unknown field `stesp`, expected one of `length`, `steps`",
                "unknown key; did you mean `steps`? Known keys: length, steps",
            ),
            (
                "unknown field `zzz`, expected `length`",
                "unknown key; known keys: length",
            ),
            (
                "unknown field `a`, there are no fields",
                "unknown key; known keys: none",
            ),
            (
                "unknown variant `pass-key`, expected `text` or `passkey`",
                "expected \"text\" or \"passkey\", found \"pass-key\"; did you mean `passkey`?",
            ),
            (
                "invalid type: string \"fifty\", expected u64",
                "expected a whole number, 0 or more, found \"fifty\"",
            ),
            (
                "invalid type: floating point `50.5`, expected usize",
                "expected a whole number, 0 or more, found 50.5",
            ),
            (
                "invalid value: integer `-1`, expected u64",
                "expected a whole number, 0 or more, found -1",
            ),
            (
                "invalid type: sequence, expected struct TrainConfig",
                "expected a table, found a list",
            ),
            ("missing field `steps`", "`steps` is missing"),
        ] {
            assert_eq!(words(message), expected);
        }
    }
}
