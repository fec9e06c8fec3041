//! Frequent words (Hsieh et al. 2024, RULER, arXiv 2404.06654, section 3.3), in wording of the house: coined words whose
//! counts follow Zipf's law.
//!
//! Of N words the one of rank r occurs ⌊N · r^(−α) / ζ(α)⌋ times, as in RULER, with α = 2 there. Rank 1 is replaced by
//! dots; those of the ranks behind it are asked for. RULER's vocabulary ends at (length − 50)/50 words, ours where a word
//! would not occur once.

use super::kind::{COINED, coined};
use super::{Card, Draft, Prompt, Scorer, WordTask};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tasks::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FrequentWords {
    /// Words that are asked for.
    pub asked: usize,
    /// Exponent of Zipf's law: how much rarer each further word is. 2 in RULER.
    pub alpha: f64,
    /// Tokens that an answer may take (50 in RULER); by default what the words take and a few more.
    pub answer_tokens: Option<usize>,
}

impl Default for FrequentWords {
    fn default() -> FrequentWords {
        FrequentWords {
            asked: 3,
            alpha: 2.0,
            answer_tokens: None,
        }
    }
}

/// Riemann's ζ: 50 terms, and Euler and Maclaurin's formula for the rest. Relative error below 1e-9 from 1.1 on.
fn zeta(alpha: f64) -> f64 {
    let n = 50.0_f64;
    let head: f64 = (1..50).map(|k| f64::from(k).powf(-alpha)).sum();
    let tail = n.powf(1.0 - alpha) / (alpha - 1.0) + 0.5 * n.powf(-alpha);
    head + tail + alpha * n.powf(-alpha - 1.0) / 12.0
}

impl FrequentWords {
    /// How often the word of a rank, from 1, occurs among `units`.
    fn times(&self, units: usize, rank: usize) -> usize {
        (units as f64 * (rank as f64).powf(-self.alpha) / zeta(self.alpha)).floor() as usize
    }

    /// Fewest words with which no two ranks that matter can be mistaken: where the last that is asked for occurs once
    /// more than the next, before rounding.
    fn least(&self) -> usize {
        let rank = (self.asked + 1) as f64;
        let apart = rank.powf(-self.alpha) - (rank + 1.0).powf(-self.alpha);
        (zeta(self.alpha) / apart).ceil() as usize
    }
}

impl WordTask for FrequentWords {
    const ID: &'static str = "frequent-words";
    const CARD: Card = Card {
        title: "Frequent words",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.3; wording of the house",
        idea: "Coined words stand between dots, each further one rarer by Zipf's law; the most frequent are asked for.",
        longer: "words, each as often as its rank says",
        reading: "The answer is a matter of counts over the whole text and of no single place. It may be answered from a \
                  part of the text: good results at long lengths do not prove that all of it was read.",
        scorer: Scorer::All,
        quantity: "words found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("asked", self.asked, 1..=20)?;
        if (1.1..=4.0).contains(&self.alpha) {
            return Ok(());
        }
        Err(DataError::Setting {
            key: "alpha",
            expected: "1.1 to 4".into(),
            found: self.alpha.to_string(),
        })
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
        let asked: Vec<String> = (0..self.asked).map(|_| coined(rng, &mut used)).collect();
        let others = rng.bits();
        let write = move |units: usize| {
            let mut rng = Stream::new(others, "words/frequent/others");
            let mut used = used.clone();
            let mut list = vec!["...".to_string(); self.times(units, 1)];
            for rank in 2.. {
                let times = self.times(units, rank);
                if times == 0 {
                    break;
                }
                let word = match asked.get(rank - 2) {
                    Some(word) => word.clone(),
                    None => coined(&mut rng, &mut used),
                };
                list.extend(std::iter::repeat_n(word, times));
            }
            rng.shuffle(&mut list);
            let mut text =
                "Words of a code stand between dots. Leave out the dots.\n\n".to_string();
            let start = text.len();
            text += &list.join(" ");
            let fact = start..text.len();
            let question = match self.asked {
                1 => "Which word occurs most often?".to_string(),
                count => format!("Which {count} words occur most often?"),
            };
            text += &format!("\n\n{question}");
            Prompt {
                facts: vec![fact],
                text,
                answer_prefix: match self.asked {
                    1 => " The most frequent word is".into(),
                    _ => " The most frequent words are".into(),
                },
                question,
                references: asked.clone(),
                ..Prompt::default()
            }
        };
        // Words of a text of N: as many as occur once, (N/ζ)^(1/α).
        let most = (COINED as f64 / 2.0).powf(self.alpha) * zeta(self.alpha);
        Ok(Draft {
            least: self.least(),
            most: Some((
                most.min(1e12) as usize,
                "it takes more words than there are",
            )),
            copies: None,
            write: Box::new(write),
        })
    }

    /// A word of the text at random: a share that falls with length, and is told as that of none.
    fn chance(&self) -> f64 {
        0.0
    }

    fn describe(&self) -> String {
        let (asked, alpha) = (self.asked, self.alpha);
        format!("{asked} most frequent of words with Zipf's exponent {alpha}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeta_is_zeta() {
        let pi = std::f64::consts::PI;
        assert!((zeta(2.0) - pi * pi / 6.0).abs() < 1e-9);
        assert!((zeta(4.0) - pi.powi(4) / 90.0).abs() < 1e-9);
        assert!((zeta(1.1) - 10.584_448_464_950_8).abs() < 1e-7);
    }

    #[test]
    fn ranks_that_matter_are_apart() {
        for asked in 1..=20 {
            for alpha in [1.1, 1.5, 2.0, 3.0, 4.0] {
                let task = FrequentWords {
                    asked,
                    alpha,
                    ..FrequentWords::default()
                };
                for more in 0..50 {
                    let units = task.least() + more;
                    let times: Vec<usize> = (1..=asked + 2).map(|r| task.times(units, r)).collect();
                    assert!(
                        times.windows(2).all(|w| w[0] > w[1]),
                        "{asked} {alpha} {times:?}"
                    );
                }
            }
        }
    }
}
