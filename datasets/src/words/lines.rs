//! Registers in lines (Li et al. 2023, LongChat, LongEval's "lines"; Giraffe, arXiv 2308.10882, section 3), in wording of
//! the house.

use super::filler::last_in;
use super::{Card, Draft, Factor, Kind, Prompt, Scorer, WordTask, shares};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lines {
    /// What lines are called: `numbers` counts them from 1; LongEval's default is words.
    pub name: Kind,
    /// Digits of what a register holds, the first of which is not 0.
    pub digits: usize,
    /// Tokens that an answer may take (100 in LongEval, which then reads the last number: the scorer `last-integer`); by
    /// default what the number takes and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines {
            name: Kind::Words,
            digits: 5,
            answer_tokens: None,
        }
    }
}

impl WordTask for Lines {
    const ID: &'static str = "lines";
    const CARD: Card = Card {
        title: "Registers in lines",
        paper: "Li et al. 2023 (LongChat), task lines; Pal et al. 2023 (Giraffe), arXiv 2308.10882; wording of the house",
        idea: "Every line gives a register and what it holds; one of them is asked for.",
        longer: "lines",
        reading: "There is no filler: all lines look alike, so that neighbours of the right line are the usual mistake. \
                  Lost lines at one depth only are a matter of distance; numbers of other lines everywhere mean that \
                  names are not read.",
        scorer: Scorer::FirstInteger,
        quantity: "registers found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("digits", self.digits, 2..=18)
    }

    /// Depth: the share of the other lines that stand before the one that is asked for.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "depth",
            title: "depth of the line",
            share: true,
            values: shares(11),
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
        let least = 10_u64.pow(self.digits as u32 - 1);
        let held = move |rng: &mut Stream| (least + rng.below(9 * least)).to_string();
        let value = held(rng);
        let (others, depth) = (rng.bits(), at[0]);
        let write = move |units: usize| {
            let mut rng = Stream::new(others, "words/lines/others");
            let mut used = HashSet::new();
            let asked = ((depth * units as f64).round() as usize).min(units);
            let mut text = "Each line says what a register holds. Remember them.\n".to_string();
            let (mut fact, mut wanted) = (0..0, String::new());
            // The asked line's own name comes first, so that it does not depend on how many there are.
            let own = match self.name {
                Kind::Numbers => String::new(),
                kind => kind.draw(&mut rng, &mut used),
            };
            for line in 0..=units {
                let name = match self.name {
                    Kind::Numbers => (line + 1).to_string(),
                    _ if line == asked => own.clone(),
                    kind => kind.draw(&mut rng, &mut used),
                };
                let other = loop {
                    let other = held(&mut rng);
                    if other != value {
                        break other;
                    }
                };
                let holds = if line == asked { &value } else { &other };
                let start = text.len();
                text += &format!("\nline {name}: the register holds {holds}.");
                if line == asked {
                    fact = last_in(&text, &(start..text.len()), &value);
                    wanted = name;
                }
            }
            let question = format!("What does the register in line {wanted} hold?");
            text += &format!("\n\n{question}");
            Prompt {
                facts: vec![fact],
                text,
                answer_prefix: format!(" The register in line {wanted} holds"),
                question,
                references: vec![value.clone()],
                ..Prompt::default()
            }
        };
        let most = match self.name {
            // Numbers of lines have fewer digits than what registers hold.
            Kind::Numbers => (
                least as usize - 2,
                "it has more lines than numbers with fewer digits than a register holds (raise digits)",
            ),
            kind => (kind.enough() - 2, kind.why_enough()),
        };
        Ok(Draft {
            least: 0,
            most: Some(most),
            copies: Some(1),
            write: Box::new(write),
        })
    }

    fn chance(&self) -> f64 {
        1.0 / (9.0 * 10_f64.powi(self.digits as i32 - 1))
    }

    fn describe(&self) -> String {
        let (name, digits) = (self.name.name(), self.digits);
        format!("lines called by {name}, whose registers hold {digits} digits")
    }
}
