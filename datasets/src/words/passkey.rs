//! Passkey retrieval in words (Mohtashami & Jaggi 2023, arXiv 2305.16300, section 4.2), in wording of the house: what is
//! asked for is said first, a number stands somewhere in filler, the question comes last and ends as the answer begins.
//!
//! The original prompt is longer, and names the key twice, so that what can be reached is the second copy: `twice`.

use super::filler::{Filler, Source, check, last_in, scatter};
use super::kind::has_run;
use super::{Card, Draft, Factor, Prompt, Scorer, WordTask, shares};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Passkey {
    /// Digits of the key, the first of which is not 0.
    pub digits: usize,
    /// Whether the key is named twice, as in the original prompt.
    pub twice: bool,
    /// What stands around the key.
    pub filler: Filler,
    /// File of the text, for `filler = "text"`. Sentences with as many digits in a row as the key has are left out.
    pub text: Option<String>,
    /// Tokens that an answer may take; by default what the key takes and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for Passkey {
    fn default() -> Passkey {
        Passkey {
            digits: 5,
            twice: false,
            filler: Filler::Noise,
            text: None,
            answer_tokens: None,
        }
    }
}

impl WordTask for Passkey {
    const ID: &'static str = "passkey";
    const CARD: Card = Card {
        title: "Passkey retrieval in words",
        paper: "Mohtashami & Jaggi 2023, arXiv 2305.16300, section 4.2; wording of the house",
        idea: "A number stands somewhere in filler and is asked for at the end.",
        longer: "filler",
        reading: "A wall at the trained length for every depth is a scheme broken by length; a wall that moves with the \
                  depth is one limited by distance. All keys found says little: the task is the easiest of its kind.",
        scorer: Scorer::FirstInteger,
        quantity: "keys found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("digits", self.digits, 1..=18)?;
        check(self.filler, self.text.as_deref())
    }

    /// Depth: the share of the filler that stands before the key.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "depth",
            title: "depth of the key",
            share: true,
            values: shares(11),
        }]
    }

    fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    fn may_stand(&self, sentence: &str) -> bool {
        !has_run(sentence, self.digits, |c| c.is_ascii_digit())
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
        let least = 10_u64.pow(self.digits as u32 - 1);
        let key = (least + rng.below(9 * least)).to_string();
        let source = Source::draw(rng, text);
        let depth = at[0];
        let fact = match self.twice {
            true => format!("The pass key is {key}. Remember it. {key} is the pass key."),
            false => format!("The pass key is {key}."),
        };
        let write = move |units| {
            let mut text = "A pass key is hidden in this text. Remember it.\n\n".to_string();
            let sentence = |index| source.sentence(index);
            let places = scatter(&mut text, units, sentence, &[(depth, &fact)]);
            let question = "What is the pass key?".to_string();
            text += &format!("\n\n{question}");
            Prompt {
                facts: vec![last_in(&text, &places[0], &key)],
                text,
                answer_prefix: " The pass key is".into(),
                question,
                references: vec![key.clone()],
                ..Prompt::default()
            }
        };
        Ok(Draft {
            least: 0,
            most: None,
            copies: Some(1 + usize::from(self.twice)),
            write: Box::new(write),
        })
    }

    fn chance(&self) -> f64 {
        1.0 / (9.0 * 10_f64.powi(self.digits as i32 - 1))
    }

    fn describe(&self) -> String {
        let around = match self.filler {
            Filler::Noise => "five sentences, over and over",
            Filler::Text => "a text",
        };
        format!("pass key of {} digits in {around}", self.digits)
    }
}
