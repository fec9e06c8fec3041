//! What stands around what is asked.

use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What stands around what is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filler {
    /// Five short sentences, over and over: the easiest, as nothing in them is new.
    #[default]
    Noise,
    /// Sentences of the file that `text` names, from a place drawn for each prompt; if it is too short, again from its
    /// beginning.
    Text,
}

/// Sentences that say nothing, in the order in which they come.
const NOISE: [&str; 5] = [
    "The river is wide.",
    "The hills are low.",
    "Birds fly over them.",
    "The road goes on.",
    "Then evening comes.",
];

/// Whether the two settings agree.
pub(super) fn check(filler: Filler, text: Option<&str>) -> Result<(), DataError> {
    let (expected, found) = match (filler, text) {
        (Filler::Text, None | Some("")) => ("a file, as filler = \"text\"", "none".to_string()),
        (Filler::Noise, Some(name)) => ("none, as filler = \"noise\"", format!("{name:?}")),
        _ => return Ok(()),
    };
    Err(DataError::Setting {
        key: "text",
        expected: expected.into(),
        found,
    })
}

/// Sentences without end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    text: &'a [String],
    start: usize,
}

impl<'a> Source<'a> {
    /// Noise if there is no text.
    pub(super) fn draw(rng: &mut Stream, text: &'a [String]) -> Source<'a> {
        let start = match text.len() {
            0 => 0,
            sentences => rng.below(sentences as u64) as usize,
        };
        Source { text, start }
    }

    pub(super) fn sentence(&self, index: usize) -> &'a str {
        match self.text.len() {
            0 => NOISE[index % NOISE.len()],
            all => &self.text[(self.start + index) % all],
        }
    }
}

/// Writes `units` sentences with others between them, one blank between any two; each of the others at its share of the
/// filler, in the order given, which must be that of the shares. Tells where each stands.
pub(super) fn scatter<'s>(
    out: &mut String,
    units: usize,
    sentence: impl Fn(usize) -> &'s str,
    others: &[(f64, &str)],
) -> Vec<Range<usize>> {
    let mut places = Vec::with_capacity(others.len());
    let mut written = 0;
    let mut first = true;
    let mut put = |out: &mut String, sentence: &str| {
        if !first {
            out.push(' ');
        }
        first = false;
        let start = out.len();
        out.push_str(sentence);
        start..out.len()
    };
    for (share, other) in others {
        let before = ((share * units as f64).round() as usize).min(units);
        while written < before {
            put(out, sentence(written));
            written += 1;
        }
        places.push(put(out, other));
    }
    for index in written..units {
        put(out, sentence(index));
    }
    places
}

/// So many shares of the filler, drawn independently, rising.
pub(super) fn places(rng: &mut Stream, count: usize) -> Vec<f64> {
    let mut places: Vec<f64> = (0..count).map(|_| rng.uniform()).collect();
    places.sort_by(f64::total_cmp);
    places
}

/// Where the last occurrence of `part` in those bytes of `text` stands.
pub(super) fn last_in(text: &str, within: &Range<usize>, part: &str) -> Range<usize> {
    let at = text[within.clone()].rfind(part);
    let start = within.start + at.expect("a fact holds its answer");
    start..start + part.len()
}
