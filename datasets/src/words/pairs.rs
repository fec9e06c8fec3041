//! Key and value of a JSON object (Liu et al. 2024, "Lost in the Middle", arXiv 2307.03172, section 3; HELMET's `json_kv`),
//! in wording of the house.

use super::{Card, Draft, Factor, Kind, Prompt, Scorer, WordTask, shares};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pairs {
    /// What keys are; UUIDs in the paper.
    pub key: Kind,
    /// What values are; UUIDs in the paper.
    pub value: Kind,
    /// Tokens that an answer may take (100 in the paper's code); by default what the value takes and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for Pairs {
    fn default() -> Pairs {
        Pairs {
            key: Kind::Uuids,
            value: Kind::Uuids,
            answer_tokens: None,
        }
    }
}

impl WordTask for Pairs {
    const ID: &'static str = "json-pairs";
    const CARD: Card = Card {
        title: "Key and value in JSON",
        paper: "Liu et al. 2024, arXiv 2307.03172, section 3; HELMET (arXiv 2410.02694), json_kv; wording of the house",
        idea: "A JSON object gives keys their values; the value of one key is asked for.",
        longer: "pairs",
        reading: "A curve that is high at both ends and low between is the published finding: begin and end are read, the \
                  middle is lost. UUIDs take many tokens, so one wrong token fails the whole.",
        scorer: Scorer::All,
        quantity: "values found",
    };

    /// Depth: the share of the other pairs that stand before the one that is asked for.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "depth",
            title: "depth of the pair",
            share: true,
            values: shares(6),
        }]
    }

    fn answer_tokens(&self) -> Option<usize> {
        self.answer_tokens
    }

    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        at: &[f64],
        _text: &'a [String],
    ) -> Result<Draft<'a>, DataError> {
        let mut used = HashSet::new();
        let key = self.key.draw(rng, &mut used);
        let value = self.value.draw(rng, &mut used);
        let (others, depth) = (rng.bits(), at[0]);
        let write = move |units: usize| {
            let mut rng = Stream::new(others, "words/pairs/others");
            let mut used = used.clone();
            let asked = ((depth * units as f64).round() as usize).min(units);
            let mut text = "Here is a JSON object.\n\n{".to_string();
            let mut fact = 0..0;
            for pair in 0..=units {
                if pair > 0 {
                    text += ", ";
                }
                if pair == asked {
                    text += &format!("\"{key}\": \"");
                    fact = text.len()..text.len() + value.len();
                    text += &format!("{value}\"");
                } else {
                    let key = self.key.draw(&mut rng, &mut used);
                    let value = self.value.draw(&mut rng, &mut used);
                    text += &format!("\"{key}\": \"{value}\"");
                }
            }
            let question = format!("What is the value of the key \"{key}\"?");
            text += &format!("}}\n\n{question}");
            Prompt {
                facts: vec![fact],
                text,
                answer_prefix: format!(" The value of \"{key}\" is"),
                question,
                references: vec![value.clone()],
                ..Prompt::default()
            }
        };
        let scarce = [self.key, self.value]
            .into_iter()
            .min_by_key(|k| k.enough());
        let scarce = scarce.expect("one of two");
        Ok(Draft {
            least: 0,
            most: Some((scarce.enough() / 2 - 2, scarce.why_enough())),
            copies: Some(1),
            write: Box::new(write),
        })
    }

    fn chance(&self) -> f64 {
        1.0 / self.value.enough() as f64
    }

    fn describe(&self) -> String {
        format!(
            "JSON object of {} to {}",
            self.key.name(),
            self.value.name()
        )
    }
}
