//! A checkpoint's scheme: that of its config, or another one that takes over what it leaves open.

use super::config::{Architecture, Positional};
use crate::{Error, Result, config};
use farspan_attention::plan::Plan;
use farspan_pe::{AnyScheme, Registry};
use serde_json::Value;
use std::str::FromStr;

/// Settings that say how the weights were trained, whatever scheme reads them.
const OF_THE_WEIGHTS: [&str; 3] = ["base", "partial", "pairing"];

/// What the reference library calls `rope_type`, and the id of the same scheme here where that differs.
const TYPES: [(&str, &str); 3] = [
    ("default", "rope"),
    ("linear", "pi"),
    ("dynamic", "dynamic-ntk"),
];
/// The library's keys, and the settings of the same meaning.
const KEYS: [(&str, &str); 5] = [
    ("long_factor", "long_factors"),
    ("original_max_position_embeddings", "trained_length"),
    ("partial_rotary_factor", "partial"),
    ("rope_theta", "base"),
    ("short_factor", "short_factors"),
];

/// Our word for the library's `word`; any other is ours already.
fn ours<'w>(words: &[(&'static str, &'static str)], word: &'w str) -> &'w str {
    let known = words.iter().find(|(theirs, _)| *theirs == word);
    known.map_or(word, |(_, ours)| ours)
}

/// `yarn,factor=4`: an id and settings, in our words or in those of the reference library.
impl FromStr for Positional {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Positional, String> {
        let (id, rest) = text.split_once(',').unwrap_or((text, ""));
        let settings: Vec<String> = pieces(rest);
        match config::settings(&settings)? {
            Value::Object(settings) => {
                let settings = settings
                    .into_iter()
                    .map(|(key, value)| (ours(&KEYS, &key).to_string(), value));
                let id = ours(&TYPES, id.trim());
                Ok(Positional::new(id, settings.collect()))
            }
            other => Err(format!("expected settings, found {other}")),
        }
    }
}

/// Parts between commas that stand in no bracket, as lists have commas of their own.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                pieces.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// The scheme `asked`, or that of the config. Base, rotated share and pairing belong to the weights: a scheme that has
/// them as settings takes them over.
pub fn resolve(
    registry: &Registry,
    architecture: &Architecture,
    asked: Option<&Positional>,
) -> Result<Box<dyn AnyScheme>> {
    let own = &architecture.positional;
    let Some(asked) = asked else {
        let scheme = registry.parse(&own.id, Value::Object(own.settings.clone()));
        // What the keys ask for is a fault of the checkpoint, not of who reads it.
        return scheme
            .map_err(|e| Error::Data(format!("config.json, read as scheme {}: {e}", own.id)));
    };
    let schema = registry.get(&asked.id)?.schema();
    let mut settings = asked.settings.clone();
    for key in OF_THE_WEIGHTS {
        let known = !schema["properties"][key].is_null();
        if let Some(value) = own.settings.get(key).filter(|_| known) {
            settings.entry(key).or_insert_with(|| value.clone());
        }
    }
    Ok(registry.parse(&asked.id, Value::Object(settings))?)
}

/// Whether any expression of `plan` reads the number of positions in use.
pub(super) fn reads_length(plan: &Plan) -> bool {
    let text = plan.to_string();
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == "n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let positional: Positional = text.parse().expect("a scheme");
        positional.to_string()
    }

    #[test]
    fn schemes_may_be_written_in_the_words_of_the_reference_library() {
        assert_eq!(read("linear,factor=4"), "pi,factor=4");
        assert_eq!(read("dynamic"), "dynamic-ntk");
        assert_eq!(
            read("yarn,factor=2,original_max_position_embeddings=512,rope_theta=1e4"),
            "yarn,factor=2,trained_length=512,base=10000.0"
        );
        assert_eq!(
            read("longrope,long_factor=[1.0,2.0],short_factor=[1.0]"),
            "longrope,long_factors=[1.0,2.0],short_factors=[1.0]"
        );
        assert_eq!(read("alibi"), "alibi");
    }
}
