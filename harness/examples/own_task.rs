//! A task of your own, in your own crate: studies can name it, train on it and ask for it.
//!
//! ```sh
//! cargo run --release --example own_task -- list tasks
//! cargo run --release --example own_task -- run harness/examples/own-task.toml
//! ```
//!
//! What follows the imports is the file of CONTRIBUTING.md, to the letter.

use farspan::datasets::DataError;
use farspan::datasets::rng::Stream;
use farspan::datasets::tasks::{self, Alphabet, Answer, Card, Example, Look, Rule, Task, within};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Id of the question; symbols stand behind it.
const ASK: u32 = 0;

/// Settings of the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FirstSymbol {
    /// Different symbols.
    pub symbols: usize,
}

impl Default for FirstSymbol {
    fn default() -> FirstSymbol {
        FirstSymbol { symbols: 16 }
    }
}

impl Task for FirstSymbol {
    const ID: &'static str = "first-symbol";
    const CARD: Card = Card {
        title: "First symbol",
        paper: "house form",
        idea: "What stood at the beginning is asked for at the end.",
        longer: "symbols between",
        reading: "Right at every length: the beginning is kept. Chance past the trained length: it was found by its distance.",
        rule: Rule::All,
        quantity: "answers right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("symbols", self.symbols, 2..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([(Look::Mark("ask"), 1), (Look::Lower, self.symbols)])
    }

    fn least(&self, _at: &[f64]) -> usize {
        2
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let mut draw = || 1 + rng.below(self.symbols as u64) as u32;
        let mut tokens: Vec<u32> = (1..length).map(|_| draw()).collect();
        tokens.extend([ASK, tokens[0]]);
        Example {
            tokens,
            answers: vec![Answer::new(length..length + 1)],
            distance: Some(length),
            ..Example::default()
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.symbols as f64
    }

    fn describe(&self) -> String {
        format!("the first of {} symbols", self.symbols)
    }
}

fn main() -> std::process::ExitCode {
    tasks::add::<FirstSymbol>();
    farspan::cli::main_with(farspan::pe::Registry::builtin())
}
