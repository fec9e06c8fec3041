//! Needles in a haystack of words, as RULER asks for them (Hsieh et al. 2024, arXiv 2404.06654, section 3.1), in wording
//! of the house.
//!
//! RULER's eight tasks are settings of this one; its answer budget is `answer_tokens = 128`:
//!
//! | RULER | `around` | `keys` | `values` | `queries` | `key` | `value` |
//! |---|---|---|---|---|---|---|
//! | niah_single_1 | noise | 1 | 1 | 1 | words | numbers |
//! | niah_single_2 | text | 1 | 1 | 1 | words | numbers |
//! | niah_single_3 | text | 1 | 1 | 1 | words | uuids |
//! | niah_multikey_1 | text | 4 | 1 | 1 | words | numbers |
//! | niah_multikey_2 | needles | 1 | 1 | 1 | words | numbers |
//! | niah_multikey_3 | needles | 1 | 1 | 1 | uuids | uuids |
//! | niah_multivalue | text | 1 | 4 | 1 | words | numbers |
//! | niah_multiquery | text | 4 | 1 | 4 | words | numbers |

use super::filler::{Filler, Source, check, last_in, scatter};
use super::{Card, Draft, Factor, Kind, Prompt, Scorer, WordTask, shares};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What stands around the needles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Surroundings {
    /// Five short sentences, over and over.
    Noise,
    /// Sentences of the file that `text` names.
    Text,
    /// Other needles, whose keys nobody asks for.
    Needles,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Needles {
    /// What stands around the needles.
    pub around: Surroundings,
    /// File of the text, for `around = "text"`. Sentences in which something of the kind of a key or value stands are
    /// left out.
    pub text: Option<String>,
    /// Different keys that are put in, of which `queries` are asked for. At least as many as these.
    pub keys: usize,
    /// Values of each key, each in a needle of its own. All are asked for.
    pub values: usize,
    /// Keys that are asked for.
    pub queries: usize,
    /// What keys are.
    pub key: Kind,
    /// What values are.
    pub value: Kind,
    /// Tokens that an answer may take (128 in RULER); by default what the values take and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for Needles {
    fn default() -> Needles {
        Needles {
            around: Surroundings::Noise,
            text: None,
            keys: 1,
            values: 1,
            queries: 1,
            key: Kind::Words,
            value: Kind::Numbers,
            answer_tokens: None,
        }
    }
}

impl Needles {
    fn is_one(&self) -> bool {
        self.values == 1 && self.queries == 1
    }
}

fn needle(key: &str, value: &str) -> String {
    format!("The code of {key} is {value}.")
}

/// a; a and b; a, b and c.
fn all_of(names: &[String]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

impl WordTask for Needles {
    const ID: &'static str = "needles";
    const CARD: Card = Card {
        title: "Needles in a haystack",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.1; wording of the house",
        idea: "Sentences that give keys their values stand somewhere in filler; the values of some keys are asked for.",
        longer: "filler, or needles that nobody asks for",
        reading: "Among noise one needle is found by almost any scheme within its trained length. Needles among needles \
                  need the key to be read exactly; several values or keys show how many places are attended to at once. \
                  The score is the share of values that are named.",
        scorer: Scorer::All,
        quantity: "values found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("queries", self.queries, 1..=100)?;
        within("keys", self.keys, self.queries..=1000)?;
        within("values", self.values, 1..=100)?;
        let filler = match self.around {
            Surroundings::Text => Filler::Text,
            _ => Filler::Noise,
        };
        check(filler, self.text.as_deref()).map_err(|error| match error {
            DataError::Setting {
                key,
                expected,
                found,
            } => DataError::Setting {
                key,
                expected: expected
                    .replace("filler = \"noise\"", "around is no text")
                    .replace("filler", "around"),
                found,
            },
            other => other,
        })
    }

    /// Where one needle is asked for, the share of the filler that stands before it; several stand anywhere.
    fn factors(&self) -> Vec<Factor> {
        let depth = Factor {
            name: "depth",
            title: "depth of the needle",
            share: true,
            values: shares(11),
        };
        Vec::from_iter(self.is_one().then_some(depth))
    }

    fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    fn may_stand(&self, sentence: &str) -> bool {
        !self.key.occurs(sentence) && !self.value.occurs(sentence)
    }

    fn answer_tokens(&self) -> Option<usize> {
        self.answer_tokens
    }

    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        at: &[f64],
        text: &'a [String],
    ) -> Result<Draft<'a>, DataError> {
        let mut used = HashSet::new();
        let keys: Vec<String> = (0..self.keys)
            .map(|_| self.key.draw(rng, &mut used))
            .collect();
        let mut needles = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            for _ in 0..self.values {
                let value = self.value.draw(rng, &mut used);
                let depth = at.first().filter(|_| index == 0);
                let place = depth.copied().unwrap_or_else(|| rng.uniform());
                needles.push((place, index, needle(key, &value), value));
            }
        }
        let asked = keys[..self.queries].to_vec();
        let wanted = |index: usize| index < self.queries;
        // In the order of the keys that are asked for, not of their places: that would be a hint.
        let references: Vec<String> = needles
            .iter()
            .filter(|(_, index, ..)| wanted(*index))
            .map(|(.., value)| value.clone())
            .collect();
        needles.sort_by(|a, b| a.0.total_cmp(&b.0));
        let source = Source::draw(rng, text);
        let others = rng.bits();
        let (question, answer_prefix) = match self.is_one() {
            true => (
                format!("What is the code of {}?", asked[0]),
                format!(" The code of {} is", asked[0]),
            ),
            false => (
                format!("What are all codes of {}?", all_of(&asked)),
                format!(" The codes of {} are", all_of(&asked)),
            ),
        };
        let write = move |units| {
            let mut text = "Codes are hidden in this text. Remember them.\n\n".to_string();
            let put: Vec<(f64, &str)> = needles.iter().map(|n| (n.0, n.2.as_str())).collect();
            let places = match self.around {
                Surroundings::Needles => {
                    let mut rng = Stream::new(others, "words/needles/others");
                    let mut used = used.clone();
                    let hay: Vec<String> = (0..units)
                        .map(|_| {
                            let key = self.key.draw(&mut rng, &mut used);
                            needle(&key, &self.value.draw(&mut rng, &mut used))
                        })
                        .collect();
                    scatter(&mut text, units, |index| hay[index].as_str(), &put)
                }
                _ => scatter(&mut text, units, |index| source.sentence(index), &put),
            };
            text += &format!("\n\n{question}");
            let found = places.iter().zip(&needles).filter(|(_, n)| wanted(n.1));
            Prompt {
                facts: found
                    .map(|(place, (.., value))| last_in(&text, place, value))
                    .collect(),
                text,
                answer_prefix: answer_prefix.clone(),
                question: question.clone(),
                references: references.clone(),
                ..Prompt::default()
            }
        };
        let scarce = [self.key, self.value]
            .into_iter()
            .min_by_key(|k| k.enough());
        let scarce = scarce.expect("one of two");
        // Keys and values of one kind are told apart, too.
        let drawn = self.keys * (self.values + 1);
        let most = scarce.enough().saturating_sub(drawn) / 2;
        Ok(Draft {
            least: 0,
            most: (self.around == Surroundings::Needles).then(|| (most, scarce.why_enough())),
            copies: Some(1),
            write: Box::new(write),
        })
    }

    fn chance(&self) -> f64 {
        1.0 / self.value.enough() as f64
    }

    fn describe(&self) -> String {
        let around = match self.around {
            Surroundings::Noise => "five sentences, over and over",
            Surroundings::Text => "a text",
            Surroundings::Needles => "other needles",
        };
        format!(
            "{} of {} keys ({}) with {} values each ({}) in {around}",
            self.queries,
            self.keys,
            self.key.name(),
            self.values,
            self.value.name()
        )
    }
}
