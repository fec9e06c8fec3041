//! Common words (RULER's cwe; Hsieh et al. 2024, arXiv 2404.06654, section 3.3).
//!
//! ```text
//! BOS  words in random order …  <ask> the common ones
//! ```
//!
//! A list in which few words come often and many come seldom; the common ones are asked for, in the order in which they
//! first appear. At each place any common word that has not yet been named is right, as RULER counts the share of words
//! that occur anywhere in what is generated.
//!
//! Published: 10 words 30 times and the rest 3 times each; below 4096 tokens 6 times and once. A longer list has more
//! rare words. At least as many are rare as common, so that naming any words would not do.

use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ASK: usize = 1;
const WORD: usize = 2;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommonWords {
    /// Common words.
    pub common: usize,
    /// Times that a common word comes.
    pub often: usize,
    /// Times that another word comes.
    pub seldom: usize,
    /// Different words.
    pub words: usize,
}

impl Default for CommonWords {
    fn default() -> CommonWords {
        CommonWords {
            common: 4,
            often: 6,
            seldom: 1,
            words: 2048,
        }
    }
}

impl Task for CommonWords {
    const ID: &'static str = "common-words";
    const CARD: Card = Card {
        title: "Common words",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.3",
        idea: "Few words of a list come often and many seldom; the common ones are asked for.",
        longer: "rare words",
        reading: "The share of common words found. It needs attention that adds up over the whole list: a scheme that looks \
                  near counts only the end of it.",
        rule: Rule::Each,
        quantity: "words found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("common", self.common, 1..=1000)?;
        within("often", self.often, 2..=1000)?;
        within("seldom", self.seldom, 1..=self.often - 1)?;
        within("words", self.words, 1..=1_000_000)?;
        if self.words < 2 * self.common {
            let rule = format!("at least {}: as many rare as common ones", 2 * self.common);
            return refuse("words", rule, self.words);
        }
        Ok(())
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("ask"), 1),
            (Look::Lower, self.words),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        self.length(self.common)
    }

    fn most(&self, _at: &[f64]) -> usize {
        // One short of what another rare word would take.
        self.length(self.words - self.common) + self.seldom - 1
    }

    fn why(&self) -> &'static str {
        "the common words, as many rare ones, and the question; every rare word is another"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let rare = (length - self.length(0)) / self.seldom;
        let words = abc.draw_different(rng, WORD, self.common + rare);
        let (common, rare) = words.split_at(self.common);
        let mut list = common.repeat(self.often);
        list.extend(rare.repeat(self.seldom));
        rng.shuffle(&mut list);
        let mut first: Vec<u32> = common.to_vec();
        first.sort_by_key(|word| list.iter().position(|other| other == word));
        let mut tokens = vec![abc.id(BOS, 0)];
        tokens.extend(list);
        tokens.push(abc.id(ASK, 0));
        let asked = tokens.len();
        tokens.extend(&first);
        Example {
            answers: Answer::any_order(asked, &first),
            distance: None,
            tokens,
            lures: Vec::new(),
        }
    }

    /// The i-th answer of n may be any of n − i + 1 words.
    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.common + 1) as f64 / (2 * self.words) as f64
    }

    fn describe(&self) -> String {
        format!(
            "{} words {} times among words {} times, of {} words",
            self.common, self.often, self.seldom, self.words
        )
    }
}

impl CommonWords {
    /// Tokens fed in an example with so many rare words.
    fn length(&self, rare: usize) -> usize {
        1 + self.common * self.often + rare * self.seldom + self.common
    }
}
