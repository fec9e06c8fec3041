//! Selective copy (Gu & Dao 2023, Mamba, arXiv 2312.00752, section 4.1.1; as a test of encodings Golovneva et al. 2024,
//! CoPE, arXiv 2405.18719, synthetic tasks).
//!
//! ```text
//! BOS  . b . . a . a .  <copy> b a a
//! ```
//!
//! Symbols stand at random places among blanks and are to be repeated without them. A longer example has more blanks.
//!
//! Published (CoPE): trained on 128 symbols and 128 blanks, tested with 64 blanks (dense) and 256 (sparse).

use super::draw::{insert, places};
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const BLANK: usize = 1;
const COPY: usize = 2;
const SYMBOL: usize = 3;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectiveCopy {
    /// Symbols to be copied.
    pub items: usize,
    /// Different symbols.
    pub symbols: usize,
}

impl Default for SelectiveCopy {
    fn default() -> SelectiveCopy {
        SelectiveCopy {
            items: 16,
            symbols: 16,
        }
    }
}

impl Task for SelectiveCopy {
    const ID: &'static str = "selective-copy";
    const CARD: Card = Card {
        title: "Selective copy",
        paper: "Gu & Dao 2023 (Mamba), arXiv 2312.00752, section 4.1.1; Golovneva et al. 2024 (CoPE), arXiv \
                2405.18719, synthetic tasks",
        idea: "Symbols scattered among blanks are to be repeated in order, without the blanks.",
        longer: "blanks",
        reading: "Positions that count symbols instead of tokens are indifferent to blanks; those of tokens must \
                  learn all distances.",
        rule: Rule::All,
        quantity: "copies right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("items", self.items, 1..=100_000)?;
        within("symbols", self.symbols, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("blank"), 1),
            (Look::Mark("copy"), 1),
            (Look::Lower, self.symbols),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        1 + 2 * self.items
    }

    fn why(&self) -> &'static str {
        "two for each symbol"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let blanks = vec![abc.id(BLANK, 0); length - Task::least(self, &[])];
        let items = abc.draw_many(rng, SYMBOL, self.items);
        let places = places(rng, blanks.len(), self.items);
        let what = places.into_iter().zip(items.iter().map(|&item| vec![item]));
        let mut tokens = vec![abc.id(BOS, 0)];
        insert(&mut tokens, &blanks, 1, &what.collect::<Vec<_>>());
        tokens.push(abc.id(COPY, 0));
        let asked = tokens.len();
        tokens.extend(items);
        Example {
            answers: vec![Answer::new(asked..tokens.len())],
            tokens,
            ..Example::default()
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.symbols as f64).powf(-(self.items as f64))
    }

    fn describe(&self) -> String {
        format!(
            "copy of {} of {} symbols among blanks",
            self.items, self.symbols
        )
    }
}
