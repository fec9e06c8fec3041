//! Frequent words (RULER's fwe; Hsieh et al. 2024, arXiv 2404.06654, section 3.3).
//!
//! ```text
//! BOS  words and dots in random order …  <ask> the most frequent words
//! ```
//!
//! Of N tokens the word of rank r has ⌊N·r^(−α)/ζ(α)⌋. The first rank is noise: its tokens are dots, and so are those
//! that rounding leaves over. The next ranks are asked for, the most frequent first; at each place any of them that has
//! not yet been named is right, as RULER counts the share of words that occur anywhere in what is generated.
//!
//! Published: α = 2, ranks 2 to 4.

use super::draw::power;
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ASK: usize = 1;
const DOT: usize = 2;
const WORD: usize = 3;

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FrequentWords {
    /// Words that are asked for.
    pub asked: usize,
    /// Exponent of the law of frequencies.
    pub alpha: f64,
    /// Different words; of ranks beyond them there are none.
    pub words: usize,
}

impl Default for FrequentWords {
    fn default() -> FrequentWords {
        FrequentWords {
            asked: 3,
            alpha: 2.0,
            words: 64,
        }
    }
}

impl Task for FrequentWords {
    const ID: &'static str = "frequent-words";
    const CARD: Card = Card {
        title: "Frequent words",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.3",
        idea: "Words come by a power law; the most frequent ones are asked for.",
        longer: "of every word, and more rare words",
        reading: "The share of words found. Their shares of the text hardly change with its length, so a fall shows that \
                  counting breaks, not that words become rare.",
        rule: Rule::Each,
        quantity: "words found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("asked", self.asked, 1..=10)?;
        within("words", self.words, 1..=1_000_000)?;
        if !(1.1..=4.0).contains(&self.alpha) {
            return refuse("alpha", "1.1 to 4", self.alpha);
        }
        if self.words <= self.asked {
            let rule = format!("more than the {} that are asked for", self.asked);
            return refuse("words", rule, self.words);
        }
        Ok(())
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("ask"), 1),
            (Look::Mark("dot"), 1),
            (Look::Lower, self.words),
        ])
    }

    /// From here on, the ranks that are asked for and the next always differ in how often they come.
    fn least(&self, _at: &[f64]) -> usize {
        let shares: Vec<f64> = self.shares().take(self.asked + 1).collect();
        let differ = |count: usize| {
            let times = |i: usize| (count as f64 * shares[i]) as usize;
            (0..self.asked).all(|i| times(i) > times(i + 1))
        };
        // Enough for the last two, which are the closest, to be one apart before rounding; and one for what rounds here.
        let gap = shares[self.asked - 1] - shares[self.asked];
        let enough = 1 + (1.0 / gap).ceil() as usize;
        let count = (1..enough).rev().take_while(|&count| differ(count)).last();
        1 + count.unwrap_or(enough) + self.asked
    }

    fn why(&self) -> &'static str {
        "enough words for the ranks to differ, and the question"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let count = length - 1 - self.asked;
        let words = abc.draw_different(rng, WORD, self.words);
        let mut list = Vec::with_capacity(count);
        for (&word, share) in words.iter().zip(self.shares()) {
            let times = (count as f64 * share) as usize;
            if times == 0 {
                break;
            }
            list.extend(std::iter::repeat_n(word, times));
        }
        list.resize(count, abc.id(DOT, 0));
        rng.shuffle(&mut list);
        let mut tokens = vec![abc.id(BOS, 0)];
        tokens.extend(list);
        tokens.push(abc.id(ASK, 0));
        let asked = tokens.len();
        tokens.extend(&words[..self.asked]);
        Example {
            answers: Answer::any_order(asked, &words[..self.asked]),
            distance: None,
            tokens,
            lures: Vec::new(),
        }
    }

    /// The i-th answer of n may be any of n − i + 1 words.
    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.asked + 1) as f64 / (2 * self.words) as f64
    }

    fn describe(&self) -> String {
        format!(
            "the {} most frequent of {} words, by a law of power {}",
            self.asked, self.words, self.alpha
        )
    }
}

impl FrequentWords {
    /// Shares of the tokens that the words have before rounding, from rank 2 on.
    fn shares(&self) -> impl Iterator<Item = f64> {
        let (alpha, all) = (self.alpha, zeta(self.alpha));
        (2..).map(move |rank| power(f64::from(rank), -alpha) / all)
    }
}

/// Riemann's zeta function at s > 1: the first terms, and the rest by Euler and Maclaurin.
fn zeta(s: f64) -> f64 {
    let first: f64 = (1..64).map(|n| power(f64::from(n), -s)).sum();
    let tail = power(64.0, -s);
    first + 64.0 * tail / (s - 1.0) + tail / 2.0 + s * tail / (12.0 * 64.0)
}
