//! Tracking of variables (Hsieh et al. 2024, RULER, arXiv 2404.06654, section 3.2), in wording of the house: a variable is
//! set to a number, others to variables that have it; all that have it are asked for. RULER's own form is one chain of
//! four hops among noise with 30 tokens for the answer.

use super::filler::{self, Filler, Source, places, scatter};
use super::kind::has_run;
use super::{Card, Draft, Prompt, Scorer, WordTask};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Letters of names. Five consonants in a row are hardly in any text.
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    /// Chains of variables, of which one is asked for.
    pub chains: usize,
    /// Variables of a chain beyond its first.
    pub hops: usize,
    /// What stands around the assignments.
    pub filler: Filler,
    /// File of the text, for `filler = "text"`. Sentences with five consonants or digits in a row are left out.
    pub text: Option<String>,
    /// Tokens that an answer may take (30 in RULER); by default what the names take and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for Tracking {
    fn default() -> Tracking {
        Tracking {
            chains: 1,
            hops: 4,
            filler: Filler::Noise,
            text: None,
            answer_tokens: None,
        }
    }
}

fn name(rng: &mut Stream, used: &mut HashSet<String>) -> String {
    loop {
        let mut letter = |_| char::from(LETTERS[rng.below(LETTERS.len() as u64) as usize]);
        let name: String = (0..5).map(&mut letter).collect();
        if used.insert(name.clone()) {
            return name;
        }
    }
}

impl WordTask for Tracking {
    const ID: &'static str = "variables";
    const CARD: Card = Card {
        title: "Tracking of variables",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.2; wording of the house",
        idea: "One variable is set to a number, others to variables that have it; all that have the number are asked for.",
        longer: "filler",
        reading: "The share of names found falls by steps: a model that finds the first and no other looks up and does \
                  not follow. More chains tell following from listing every name there is.",
        scorer: Scorer::All,
        quantity: "variables found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("chains", self.chains, 1..=100)?;
        within("hops", self.hops, 1..=100)?;
        filler::check(self.filler, self.text.as_deref())
    }

    fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    fn may_stand(&self, sentence: &str) -> bool {
        let is_letter = |c: char| LETTERS.contains(&(c.to_ascii_uppercase() as u8)) && c.is_ascii();
        !has_run(sentence, 5, is_letter) && !has_run(sentence, 5, |c| c.is_ascii_digit())
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
        let mut used = HashSet::new();
        let numbers = rng.choose_distinct(90_000, self.chains);
        let mut chains: Vec<Vec<String>> = Vec::new();
        // Place, chain, assignment.
        let mut lines: Vec<(f64, usize, String)> = Vec::new();
        for (chain, number) in numbers.iter().enumerate() {
            let names: Vec<String> = (0..=self.hops).map(|_| name(rng, &mut used)).collect();
            let mut given = (10_000 + number).to_string();
            for (name, place) in names.iter().zip(places(rng, self.hops + 1)) {
                lines.push((place, chain, format!("Set {name} to {given}.")));
                given = name.clone();
            }
            chains.push(names);
        }
        // A chain's lines keep their order: equal places are not moved past each other.
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let source = Source::draw(rng, text);
        let number = 10_000 + numbers[0];
        let references = chains.swap_remove(0);
        let write = move |units| {
            let mut text =
                "Variables are set in this text. Remember what they hold.\n\n".to_string();
            let put: Vec<(f64, &str)> = lines.iter().map(|l| (l.0, l.2.as_str())).collect();
            let places = scatter(&mut text, units, |index| source.sentence(index), &put);
            let question = format!("Which variables hold {number}?");
            text += &format!("\n\n{question}");
            let own = places.into_iter().zip(&lines).filter(|(_, l)| l.1 == 0);
            Prompt {
                facts: own.map(|(place, _)| place).collect(),
                text,
                answer_prefix: format!(" The variables that hold {number} are"),
                question,
                references: references.clone(),
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

    /// Some of the names, drawn at random, would be right if there are no more chains; nobody can guess a name.
    fn chance(&self) -> f64 {
        0.0
    }

    fn describe(&self) -> String {
        let around = match self.filler {
            Filler::Noise => "five sentences, over and over",
            Filler::Text => "a text",
        };
        let (chains, hops) = (self.chains, self.hops);
        format!("{chains} chains of {hops} hops in {around}")
    }
}
