//! Stories of a small world, and questions about them.
//!
//! Only what was told is known: where somebody is that has not moved yet, or where a thing lay before somebody took it, is
//! nobody's to say. A story is drawn until a question of its kind can be asked of it.

use super::sides::sides;
use super::world::World;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// No label stands inside another or inside a word of the stories, as scorers look for substrings.
pub(super) const PEOPLE: [&str; 4] = ["Boris", "Clara", "Irene", "Oscar"];
pub(super) const PLACES: [&str; 6] = ["cellar", "garden", "kitchen", "library", "office", "pantry"];
pub(super) const THINGS: [&str; 3] = ["basket", "hammer", "lantern"];

/// What is asked of a story, by bAbI's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// One fact: where somebody is.
    Qa1,
    /// Two facts: where a thing is, which somebody carried.
    Qa2,
    /// Three facts: where a thing was before it was at a place.
    Qa3,
    /// A relation of two: what lies on which side of what.
    Qa4,
    /// A relation of three: who gave what to whom.
    Qa5,
}

impl Question {
    /// All of them.
    pub const ALL: [Question; 5] = [
        Question::Qa1,
        Question::Qa2,
        Question::Qa3,
        Question::Qa4,
        Question::Qa5,
    ];

    /// Fewest facts that it can be asked of.
    pub fn least(self) -> usize {
        match self {
            Question::Qa1 | Question::Qa4 => 1,
            Question::Qa2 | Question::Qa5 => 2,
            Question::Qa3 => 3,
        }
    }

    /// Labels that it leaves open.
    pub(super) fn open(self) -> usize {
        match self {
            Question::Qa1 | Question::Qa2 => PLACES.len(),
            Question::Qa3 | Question::Qa4 => PLACES.len() - 1,
            Question::Qa5 => PEOPLE.len() + THINGS.len() - 2,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Question::Qa1 => "where somebody is (qa1)",
            Question::Qa2 => "where a thing is (qa2)",
            Question::Qa3 => "where a thing was before (qa3)",
            Question::Qa4 => "what lies on which side (qa4)",
            Question::Qa5 => "who gave what to whom (qa5)",
        }
    }
}

/// Facts, and a question that they decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Sentences, in the order in which things happened.
    pub facts: Vec<String>,
    /// The question.
    pub question: String,
    /// How its answer begins.
    pub beginning: String,
    /// How it ends: one of the labels.
    pub answer: String,
    /// All people, places or things of the kinds that are asked for, but those in the question.
    pub labels: Vec<String>,
    /// Which of the facts decide the answer, rising.
    pub deciding: Vec<usize>,
}

/// A question with its answer, before it is words.
pub(super) struct Asked {
    pub(super) question: String,
    pub(super) beginning: String,
    pub(super) answer: &'static str,
    pub(super) deciding: Vec<usize>,
}

impl Story {
    /// A story of so many facts.
    ///
    /// # Panics
    /// If there are fewer facts than [`Question::least`], or, for [`Question::Qa4`], as many as there are places.
    pub fn draw(rng: &mut Stream, question: Question, facts: usize) -> Story {
        assert!(facts >= question.least(), "{question:?} of {facts} facts");
        loop {
            let (told, asked) = match question {
                Question::Qa4 => Some(sides(rng, facts)),
                _ => {
                    let world = World::tell(rng, question, facts);
                    let asked = world.ask(rng, question);
                    asked.map(|asked| (world.told, asked))
                }
            }
            .unzip();
            if let (Some(facts), Some(asked)) = (told, asked) {
                return asked.of(facts, question);
            }
        }
    }
}

impl Asked {
    fn of(self, facts: Vec<String>, question: Question) -> Story {
        let labels = match question {
            Question::Qa5 => [PEOPLE.as_slice(), &THINGS].concat(),
            _ => PLACES.to_vec(),
        };
        let is_open = |label: &&str| !self.question.contains(*label);
        let labels = labels.into_iter().filter(is_open).map(String::from);
        let mut deciding = self.deciding;
        deciding.sort_unstable();
        deciding.dedup();
        Story {
            facts,
            labels: labels.collect(),
            question: self.question,
            beginning: self.beginning,
            answer: self.answer.to_string(),
            deciding,
        }
    }
}
