//! Passkey retrieval at the level of tokens (after Mohtashami & Jaggi 2023, arXiv 2305.16300, section 4.2, in the form
//! of the house: one information block, a question of one mark).
//!
//! An example of length T is a sequence of T + 1 tokens:
//!
//! ```text
//! BOS  filler …  MARK key END  filler …  MARK key
//! ```
//!
//! The model is fed the first T tokens and predicts T targets, of which the last [`digits`](PasskeyConfig::digits) are
//! the key: the first of them after the second MARK, each other one after the true symbols before it. The last symbol
//! of the key is never fed. Mark, digits and filler are different symbols, so the key stands nowhere else.

use crate::batch::Batch;
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: u32 = 0;
const MARK: u32 = 1;
const END: u32 = 2;
/// Id of the digit 0.
const DIGIT: u32 = 3;
/// Id of the first filler symbol.
const FILLER: u32 = 13;

/// What stands around the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filler {
    /// Each symbol drawn uniformly.
    Random,
    /// All filler symbols in turn, over and over, as the repeated paragraph of the original prompt.
    Noise,
}

/// The task. All schemes must be compared under the same settings: `distinct` alone changes which look good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasskeyConfig {
    /// Symbols of the key.
    pub digits: usize,
    /// Whether no digit comes twice in a key. A repeated digit has two successors, which slows learning.
    pub distinct: bool,
    /// What stands around the key.
    pub filler: Filler,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for PasskeyConfig {
    fn default() -> PasskeyConfig {
        PasskeyConfig {
            digits: 5,
            distinct: true,
            filler: Filler::Random,
            fillers: 50,
        }
    }
}

/// A generator of examples.
#[derive(Clone, Debug)]
pub struct Passkey {
    config: PasskeyConfig,
}

/// One example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Length + 1 tokens.
    pub tokens: Vec<u32>,
    /// The symbols to be found, as token ids.
    pub key: Vec<u32>,
    /// Index in `tokens` of the first MARK.
    pub start: usize,
    /// See [`Cell::distance`].
    pub distance: usize,
}

/// The prompts of one length and depth.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Share of the filler that stands before the key: 0 = key at the beginning, 1 = just before the question.
    pub depth: f64,
    /// Tokens of the smallest window, ending at the token that is read when a symbol of the key is to be predicted,
    /// that still holds that symbol in the information block. The same for every symbol of the key. An attention that
    /// reaches w tokens back, the present one included, can answer if this is at most w.
    pub distance: usize,
    /// The prompts, one a row; weight 1 on the targets that are the key.
    pub batch: Batch,
}

/// How one prompt was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whether every symbol of the key was right: greedy decoding would have produced the key.
    pub hit: bool,
    /// Symbols that were right, each given the true ones before it.
    pub symbols: usize,
}

impl Passkey {
    /// Checks the settings.
    pub fn new(config: &PasskeyConfig) -> Result<Passkey, DataError> {
        let most_digits = if config.distinct { 10 } else { 1000 };
        for (key, value, most) in [
            ("passkey.digits", config.digits, most_digits),
            ("passkey.fillers", config.fillers, 1_000_000),
        ] {
            if !(1..=most).contains(&value) {
                let expected = match (key, config.distinct) {
                    ("passkey.digits", true) => "1 to 10, as no digit comes twice".into(),
                    _ => format!("1 to {most}"),
                };
                return Err(DataError::Setting {
                    key,
                    expected,
                    found: value.to_string(),
                });
            }
        }
        Ok(Passkey {
            config: config.clone(),
        })
    }

    /// Number of symbols: BOS, MARK, END, ten digits and the filler.
    pub fn vocab(&self) -> usize {
        FILLER as usize + self.config.fillers
    }

    /// blake3 of the settings and of the version of this generator, hexadecimal.
    pub fn hash(&self) -> String {
        let PasskeyConfig {
            digits,
            distinct,
            filler,
            fillers,
        } = self.config;
        let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 passkey v1");
        for value in [digits, usize::from(distinct), filler as usize, fillers] {
            hasher.update(&(value as u64).to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The task in words.
    pub fn description(&self) -> String {
        let PasskeyConfig {
            digits,
            distinct,
            filler,
            fillers,
        } = self.config;
        let kind = if distinct {
            "distinct digits"
        } else {
            "digits drawn independently"
        };
        let filler = match filler {
            Filler::Random => "random filler",
            Filler::Noise => "cyclic filler",
        };
        format!("passkey of {digits} {kind} in {filler} of {fillers} symbols")
    }

    /// Shortest length, with no filler at all.
    pub fn min_length(&self) -> usize {
        2 * self.config.digits + 3
    }

    /// One example: a key at a depth, 0 ≤ depth ≤ 1.
    ///
    /// # Panics
    /// If the length is below [`min_length`](Passkey::min_length) or the depth is not in 0..=1.
    pub fn example(&self, rng: &mut Stream, length: usize, depth: f64) -> Example {
        assert!(
            (0.0..=1.0).contains(&depth),
            "depth: expected 0 to 1, found {depth}"
        );
        let before = (depth * self.room(length) as f64).round() as usize;
        self.build(rng, length, before)
    }

    /// The training batch of a step: every place of the key is equally likely; weight 1 on the key targets only. A
    /// pure function of its arguments.
    ///
    /// # Panics
    /// If `len` is below [`min_length`](Passkey::min_length).
    pub fn train_batch(&self, seed: u64, step: u64, rows: usize, len: usize) -> Batch {
        let mut stream = Stream::at(seed, "passkey/train", step);
        let mut batch = Batch::with_capacity(rows, len);
        for _ in 0..rows {
            let before = stream.below(self.room(len) as u64 + 1) as usize;
            batch.push(
                &self.build(&mut stream, len, before).tokens,
                self.config.digits,
            );
        }
        batch
    }

    /// Prompts for measuring: `trials` at each of `depths` depths from 0 to 1 (at ½ if there is one). They depend on
    /// seed, length, place of the key and number of the trial, and on nothing else: every scheme is asked the same,
    /// and more depths or trials add prompts without changing those that were there.
    ///
    /// # Panics
    /// If the length is below [`min_length`](Passkey::min_length).
    pub fn grid(&self, seed: u64, length: usize, depths: usize, trials: usize) -> Vec<Cell> {
        let room = self.room(length);
        let cell = |index: usize| {
            let depth = match depths {
                1 => 0.5,
                _ => index as f64 / (depths - 1) as f64,
            };
            let before = (depth * room as f64).round() as usize;
            let label = format!("passkey/grid/{length}/{before}");
            let mut batch = Batch::with_capacity(trials, length);
            for trial in 0..trials {
                let mut stream = Stream::at(seed, &label, trial as u64);
                batch.push(
                    &self.build(&mut stream, length, before).tokens,
                    self.config.digits,
                );
            }
            Cell {
                depth,
                distance: self.distance(length, before),
                batch,
            }
        };
        (0..depths).map(cell).collect()
    }

    /// Tokens as a person reads them: digits as they are, filler as lower-case words.
    pub fn render(&self, tokens: &[u32]) -> String {
        let symbol = |&token: &u32| match token {
            BOS => "<bos>".into(),
            MARK => "<mark>".into(),
            END => "<end>".into(),
            DIGIT..FILLER => (token - DIGIT).to_string(),
            _ => word(token - FILLER),
        };
        tokens.iter().map(symbol).collect::<Vec<String>>().join(" ")
    }

    /// Filler tokens in an example of a length.
    fn room(&self, length: usize) -> usize {
        let least = self.min_length();
        assert!(
            length >= least,
            "passkey length: expected at least {least}, found {length}"
        );
        length - least
    }

    fn distance(&self, length: usize, before: usize) -> usize {
        // The second MARK, fed at length − digits, reads the first symbol of the key at before + 2.
        (length - self.config.digits) - (before + 2) + 1
    }

    fn build(&self, rng: &mut Stream, length: usize, before: usize) -> Example {
        let room = self.room(length);
        let key = self.key(rng);
        let mut tokens = Vec::with_capacity(length + 1);
        let mut filler = (0..room).map(|place| match self.config.filler {
            Filler::Random => FILLER + rng.below(self.config.fillers as u64) as u32,
            Filler::Noise => FILLER + (place % self.config.fillers) as u32,
        });
        tokens.push(BOS);
        tokens.extend(filler.by_ref().take(before));
        tokens.push(MARK);
        tokens.extend(&key);
        tokens.push(END);
        tokens.extend(filler);
        tokens.push(MARK);
        tokens.extend(&key);
        Example {
            tokens,
            key,
            start: before + 1,
            distance: self.distance(length, before),
        }
    }

    fn key(&self, rng: &mut Stream) -> Vec<u32> {
        if self.config.distinct {
            let digits = rng.choose_distinct(10, self.config.digits);
            digits
                .into_iter()
                .map(|digit| DIGIT + digit as u32)
                .collect()
        } else {
            (0..self.config.digits)
                .map(|_| DIGIT + rng.below(10) as u32)
                .collect()
        }
    }
}

/// Compares the arg-max at every fed token (row-major, as the batch) with the scored targets.
///
/// The key counts as found if every symbol is right given the true ones before it. Greedy decoding finds the key in
/// exactly these cases: at its first wrong symbol it would have left the key, and before that both see the same.
///
/// # Panics
/// If there is not one arg-max per target.
pub fn score(batch: &Batch, argmax: &[u32]) -> Vec<Trial> {
    assert_eq!(batch.targets.len(), argmax.len(), "one arg-max per target");
    let rows = batch
        .targets
        .chunks(batch.len)
        .zip(batch.weights.chunks(batch.len));
    rows.zip(argmax.chunks(batch.len))
        .map(|((targets, weights), argmax)| {
            let scored: Vec<bool> = targets
                .iter()
                .zip(argmax)
                .zip(weights)
                .filter_map(|((target, guess), weight)| (*weight > 0.0).then_some(target == guess))
                .collect();
            let symbols = scored.iter().filter(|right| **right).count();
            Trial {
                hit: symbols == scored.len() && symbols > 0,
                symbols,
            }
        })
        .collect()
}

/// 0 → a, 25 → z, 26 → aa.
fn word(mut n: u32) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + (n % 26) as u8));
        match (n / 26).checked_sub(1) {
            Some(rest) => n = rest,
            None => return letters.into_iter().rev().collect(),
        }
    }
}
