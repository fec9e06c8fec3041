//! Chains of facts between sentences of filler (BABILong, Kuratov et al. 2024, arXiv 2406.10149, over tasks 1 to 5 of bAbI,
//! Weston et al. 2015, arXiv 1502.05698, section 3), from a simulator of the house with people, places and wording of its
//! own.
//!
//! The facts keep their order; where they stand among the sentences is drawn, as in BABILong within a window if one likes.

mod sides;
mod story;
mod world;

pub use story::{Question, Story};

use super::filler::{self, Filler, Source, scatter};
use super::{Card, Draft, Prompt, Scorer, WordTask};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// What is asked.
    pub question: Question,
    /// Facts of the story, of which most decide nothing; by default 4, 6, 8, 2 and 6 for `qa1` to `qa5`.
    pub facts: Option<usize>,
    /// Share of the filler before which no fact stands.
    pub from: f64,
    /// Share of the filler behind which no fact stands.
    pub to: f64,
    /// What stands between the facts; BABILong has books.
    pub filler: Filler,
    /// File of the text, for `filler = "text"`. Sentences with a person, place or thing of the stories are left out.
    pub text: Option<String>,
    /// Tokens that an answer may take (16 in lm-evaluation-harness); by default what the answer takes and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            question: Question::Qa1,
            facts: None,
            from: 0.0,
            to: 1.0,
            filler: Filler::Noise,
            text: None,
            answer_tokens: None,
        }
    }
}

impl WordTask for Facts {
    const ID: &'static str = "facts";
    const CARD: Card = Card {
        title: "Chains of facts",
        paper: "Kuratov et al. 2024 (BABILong), arXiv 2406.10149; Weston et al. 2015 (bAbI), arXiv 1502.05698, section 3; \
                stories of the house",
        idea: "A story's facts stand between sentences of filler; a question needs one, two or three of them, or who is \
               what in one.",
        longer: "filler",
        reading: "Compare with the same question at the shortest length: what is lost there is reasoning, what is lost \
                  beyond it is reach. Results at chance with two facts and good ones with one mean that the last fact \
                  is found and the one before it is not.",
        scorer: Scorer::OnlyLabel,
        quantity: "questions answered",
    };

    fn check(&self) -> Result<(), DataError> {
        let most = match self.question {
            Question::Qa4 => story::PLACES.len() - 1,
            _ => 1000,
        };
        within("facts", self.count(), self.question.least()..=most)?;
        if !(0.0 <= self.from && self.from <= self.to && self.to <= 1.0) {
            return Err(DataError::Setting {
                key: "from, to",
                expected: "0 <= from <= to <= 1".into(),
                found: format!("{} and {}", self.from, self.to),
            });
        }
        filler::check(self.filler, self.text.as_deref())
    }

    fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    fn may_stand(&self, sentence: &str) -> bool {
        let sentence = sentence.to_lowercase();
        let mut labels = [story::PEOPLE.as_slice(), &story::PLACES, &story::THINGS].into_iter();
        !labels.any(|of| {
            of.iter()
                .any(|label| sentence.contains(&label.to_lowercase()))
        })
    }

    fn answer_tokens(&self) -> Option<usize> {
        self.answer_tokens
    }

    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        _at: &[f64],
        text: &'a [String],
    ) -> Result<Draft<'a>, DataError> {
        let story = Story::draw(rng, self.question, self.count());
        let width = self.to - self.from;
        let places = filler::places(rng, story.facts.len());
        let places: Vec<f64> = places.iter().map(|p| self.from + width * p).collect();
        let source = Source::draw(rng, text);
        let write = move |units| {
            let mut text = "Facts are hidden in this text. Remember them.\n\n".to_string();
            let facts = story.facts.iter().map(String::as_str);
            let put: Vec<(f64, &str)> = places.iter().copied().zip(facts).collect();
            let at = scatter(&mut text, units, |index| source.sentence(index), &put);
            text += &format!("\n\n{}", story.question);
            Prompt {
                facts: story
                    .deciding
                    .iter()
                    .map(|&fact| at[fact].clone())
                    .collect(),
                text,
                answer_prefix: format!(" {}", story.beginning),
                question: story.question.clone(),
                references: vec![story.answer.clone()],
                choices: Some(story.labels.clone()),
                ..Prompt::default()
            }
        };
        Ok(Draft {
            least: 0,
            most: None,
            copies: None,
            write: Box::new(write),
        })
    }

    /// One of the labels that the question leaves open.
    fn chance(&self) -> f64 {
        1.0 / self.question.open() as f64
    }

    fn describe(&self) -> String {
        let around = match self.filler {
            Filler::Noise => "five sentences, over and over",
            Filler::Text => "sentences of a text",
        };
        format!(
            "{} over {} facts among {around}",
            self.question.name(),
            self.count()
        )
    }
}

impl Facts {
    fn count(&self) -> usize {
        self.facts.unwrap_or(match self.question {
            Question::Qa1 => 4,
            Question::Qa2 | Question::Qa5 => 6,
            Question::Qa3 => 8,
            Question::Qa4 => 2,
        })
    }
}
