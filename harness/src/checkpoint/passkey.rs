//! Passkey prompts as text, for models that were trained on text (Mohtashami and Jaggi 2023, arXiv 2305.16300, section
//! 4.2): a number stands somewhere in a filler, and is asked for at the end.
//!
//! Parts are turned into tokens one by one and laid behind each other, so that a prompt has exactly the length that is
//! asked for. The question is read together with its answer, as a tokenizer may join them.

use super::text::Tokenizer;
use crate::evaluate::passkey::Prompts;
use crate::{Error, Result};
use farspan_datasets::tasks::passkey::Cell;
use farspan_datasets::{Batch, rng::Stream};
use std::path::Path;

const TASK: &str = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. \
                    I will quiz you about the important information there.";
const FILLER: &str =
    " The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
const QUESTION: &str = " What is the pass key? The pass key is";
/// Keys have five digits.
const KEYS: std::ops::Range<u64> = 10_000..100_000;

/// Prompts for a checkpoint.
#[derive(Debug)]
pub struct TextPasskey {
    tokenizer: Tokenizer,
    task: Vec<u32>,
    filler: Vec<u32>,
}

/// One prompt as tokens.
struct Prompt {
    tokens: Vec<u32>,
    /// Tokens of the answer, the last ones.
    answer: usize,
    /// Index of the information's first token.
    info: usize,
}

impl TextPasskey {
    /// Prompts in the tokens of the checkpoint in `dir`.
    pub fn open(dir: &Path) -> Result<TextPasskey> {
        let tokenizer = Tokenizer::open(dir)?;
        Ok(TextPasskey {
            task: tokenizer.ids(TASK, true)?,
            filler: tokenizer.ids(FILLER, false)?,
            tokenizer,
        })
    }

    /// A prompt of `length + 1` tokens; nothing if it does not fit. Filler before the key comes in whole repetitions.
    fn prompt(&self, key: u64, length: usize, depth: f64) -> Result<Option<Prompt>> {
        let info = format!(" The pass key is {key}. Remember it. {key} is the pass key.");
        let info = self.tokenizer.ids(&info, false)?;
        let asked = self.tokenizer.ids(QUESTION, false)?;
        let answered = self.tokenizer.ids(&format!("{QUESTION} {key}"), false)?;
        let common = asked.iter().zip(&answered).take_while(|(a, b)| a == b);
        let answer = answered.len() - common.count();
        let taken = self.task.len() + info.len() + answered.len();
        let Some(room) = (length + 1).checked_sub(taken) else {
            return Ok(None);
        };
        let unit = self.filler.len().max(1);
        let before = ((depth * room as f64 / unit as f64).round() as usize * unit).min(room);
        let filler = |n: usize| self.filler.iter().cycle().take(n).copied();
        let mut tokens = self.task.clone();
        tokens.extend(filler(before));
        let place = tokens.len();
        tokens.extend(info);
        tokens.extend(filler(room - before));
        tokens.extend(answered);
        Ok(Some(Prompt {
            tokens,
            answer,
            info: place,
        }))
    }
}

impl Prompts for TextPasskey {
    fn grid(&self, seed: u64, length: usize, depths: usize, trials: usize) -> Result<Vec<Cell>> {
        let cell = |index: usize| {
            let depth = match depths {
                1 => 0.5,
                _ => index as f64 / (depths - 1) as f64,
            };
            let mut batch = Batch {
                tokens: Vec::with_capacity(trials * length),
                targets: Vec::with_capacity(trials * length),
                weights: Vec::with_capacity(trials * length),
                positions: None,
                rows: trials,
                len: length,
            };
            let mut distance = 0;
            for trial in 0..trials {
                let label = format!("passkey/text/{length}/{index}");
                let mut stream = Stream::at(seed, &label, trial as u64);
                let key = KEYS.start + stream.below(KEYS.end - KEYS.start);
                let prompt = self.prompt(key, length, depth)?.ok_or_else(|| {
                    Error::Data(format!(
                        "a passkey prompt of {length} tokens has no room for its question"
                    ))
                })?;
                let Prompt {
                    tokens,
                    answer,
                    info,
                } = prompt;
                distance = length - info;
                batch.tokens.extend_from_slice(&tokens[..length]);
                batch.targets.extend_from_slice(&tokens[1..]);
                let weight = |at: usize| if at + answer < length { 0.0 } else { 1.0 };
                batch.weights.extend((0..length).map(weight));
            }
            Ok(Cell {
                depth,
                distance,
                batch,
            })
        };
        (0..depths).map(cell).collect()
    }

    fn render(&self, tokens: &[u32]) -> String {
        let text = self.tokenizer.text(tokens);
        text.unwrap_or_else(|_| format!("{tokens:?}"))
    }

    fn least(&self) -> Result<usize> {
        // The longest that a key may take: a token a digit.
        let fits =
            |length: &usize| Ok::<_, Error>(self.prompt(KEYS.start, *length, 0.0)?.is_some());
        for length in 1..4096 {
            if fits(&length)? {
                return Ok(length + 8);
            }
        }
        Err(Error::Data(
            "a passkey prompt takes more than 4096 tokens".into(),
        ))
    }
}
