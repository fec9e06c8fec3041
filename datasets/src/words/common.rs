//! Common words (Hsieh et al. 2024, RULER, arXiv 2404.06654, section 3.3), in wording of the house: a numbered list in which
//! a few words occur often and all others seldom.

use super::kind::{COINED, coined};
use super::{Card, Draft, Prompt, Scorer, WordTask};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommonWords {
    /// Words that occur often: those that are asked for.
    pub common: usize,
    /// How often each of them occurs. RULER has 30, and 6 below 4096 tokens.
    pub often: usize,
    /// How often each other word occurs. RULER has 3, and 1 below 4096 tokens.
    pub seldom: usize,
    /// Tokens that an answer may take (120 in RULER); by default what the words take and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for CommonWords {
    fn default() -> CommonWords {
        CommonWords {
            common: 10,
            often: 30,
            seldom: 3,
            answer_tokens: None,
        }
    }
}

impl WordTask for CommonWords {
    const ID: &'static str = "common-words";
    const CARD: Card = Card {
        title: "Common words",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.3; wording and words of the house",
        idea: "In a numbered list a few words occur often, all others seldom; the common ones are asked for.",
        longer: "words that occur seldom",
        reading: "No single place holds the answer: attention has to gather. The share found falls slowly with length, \
                  and is low for most models long before needles are lost.",
        scorer: Scorer::All,
        quantity: "words found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("common", self.common, 1..=1000)?;
        within("seldom", self.seldom, 1..=1000)?;
        within("often", self.often, self.seldom + 1..=10_000)
    }

    fn answer_tokens(&self) -> Option<usize> {
        self.answer_tokens
    }

    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        _at: &[f64],
        _text: &'a [String],
    ) -> Result<Draft<'a>, DataError> {
        let mut used = HashSet::new();
        let common: Vec<String> = (0..self.common).map(|_| coined(rng, &mut used)).collect();
        let others = rng.bits();
        let write = move |units: usize| {
            let mut rng = Stream::new(others, "words/common/others");
            let mut used = used.clone();
            let rare: Vec<String> = (0..units).map(|_| coined(&mut rng, &mut used)).collect();
            let common_ones = std::iter::repeat_n(&common, self.often).flatten();
            let rare_ones = std::iter::repeat_n(&rare, self.seldom).flatten();
            let mut list: Vec<&String> = common_ones.chain(rare_ones).collect();
            rng.shuffle(&mut list);
            let mut text = "Some words of this list occur often. Remember them.\n\n".to_string();
            let start = text.len();
            for (index, word) in list.iter().enumerate() {
                let blank = if index > 0 { " " } else { "" };
                text += &format!("{blank}{}. {word}", index + 1);
            }
            let fact = start..text.len();
            let question = match self.common {
                1 => "Which word occurs most often?".to_string(),
                count => format!("Which {count} words occur most often?"),
            };
            text += &format!("\n\n{question}");
            Prompt {
                facts: vec![fact],
                text,
                answer_prefix: match self.common {
                    1 => " The most frequent word is".into(),
                    _ => " The most frequent words are".into(),
                },
                question,
                references: common.clone(),
                ..Prompt::default()
            }
        };
        Ok(Draft {
            least: 1,
            most: Some((COINED - 1000, "it takes more words than there are")),
            copies: None,
            write: Box::new(write),
        })
    }

    /// A word of the list at random: a share that falls with length, and is told as that of none.
    fn chance(&self) -> f64 {
        0.0
    }

    fn describe(&self) -> String {
        let (common, often, seldom) = (self.common, self.often, self.seldom);
        format!("{common} words {often} times among words {seldom} times")
    }
}
