//! Passkey prompts as text, for models that were trained on text (Mohtashami and Jaggi 2023, arXiv 2305.16300, section
//! 4.2): a number stands somewhere in a filler, and is asked for at the end.
//!
//! A prompt is written whole and then turned into tokens once, as any text that a model reads: with what the tokenizer
//! puts before a text, and without what it puts behind one, as the key is to follow. Filler comes in whole sentences, as
//! many as fit, so a prompt may be shorter than its length by less than a sentence. The tokens that fill up a row stand
//! behind the key, where nothing that is scored can see them.

use super::text::Tokenizer;
use crate::evaluate::passkey::Prompts;
use crate::{Error, Result};
use farspan_datasets::tasks::passkey::Cell;
use farspan_datasets::{Batch, Tokens, rng::Stream};
use std::path::Path;

const TASK: &str = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. \
                    I will quiz you about the important information there.";
const FILLER: [&str; 5] = [
    " The grass is green.",
    " The sky is blue.",
    " The sun is yellow.",
    " Here we go.",
    " There and back again.",
];
const QUESTION: &str = " What is the pass key? The pass key is";
/// Keys have five digits.
const KEYS: std::ops::Range<u64> = 10_000..100_000;
/// Most tokens that a key takes: one for each digit, and one for the blank before it.
const LONGEST_KEY: usize = 6;

/// Prompts for a checkpoint.
#[derive(Debug)]
pub struct TextPasskey {
    tokenizer: Tokenizer,
    /// Embeddings of the model.
    vocab: usize,
    /// Tokens of each sentence of the filler inside a text.
    costs: [usize; FILLER.len()],
}

/// One prompt as tokens.
#[derive(Debug, PartialEq, Eq)]
struct Prompt {
    /// All tokens, the key's at the end.
    tokens: Vec<u32>,
    /// Index of the answer's first token.
    answer: usize,
    /// Index of the key's first token in the information, where that names it last.
    key: usize,
}

/// How many sentences of filler stand before the information and behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sentences {
    before: usize,
    after: usize,
}

impl Sentences {
    /// So many, of which the share `depth` stands before the information.
    fn at(depth: f64, count: usize) -> Sentences {
        let before = ((depth * count as f64).round() as usize).min(count);
        Sentences {
            before,
            after: count - before,
        }
    }
}

impl TextPasskey {
    /// Prompts in the tokens of the checkpoint in `dir`, whose model has `vocab` embeddings.
    pub fn open(dir: &Path, vocab: usize) -> Result<TextPasskey> {
        let tokenizer = Tokenizer::open(dir)?;
        let mut text = format!("{TASK}{}", FILLER.concat());
        let mut length = tokenizer.beginning("filler", &text)?.ids.len();
        let mut costs = [0; FILLER.len()];
        for (cost, sentence) in costs.iter_mut().zip(FILLER) {
            text += sentence;
            let longer = tokenizer.beginning("filler", &text)?.ids.len();
            *cost = longer.saturating_sub(length).max(1);
            length = longer;
        }
        Ok(TextPasskey {
            tokenizer,
            vocab,
            costs,
        })
    }

    /// A prompt of at most `length + 1` tokens with as much filler as fits; nothing if even one without is longer.
    fn prompt(&self, key: u64, length: usize, depth: f64) -> Result<Option<Prompt>> {
        let bare = self.written(key, Sentences::default())?;
        let Some(room) = (length + 1).checked_sub(bare.tokens.len()) else {
            return Ok(None);
        };
        // First by what sentences cost inside a text, then by the tokens of the text itself.
        let (mut count, mut cost) = (0, 0);
        while cost + self.next(depth, count) <= room {
            cost += self.next(depth, count);
            count += 1;
        }
        let mut prompt = self.written(key, Sentences::at(depth, count))?;
        while prompt.tokens.len() > length + 1 && count > 0 {
            count -= 1;
            prompt = self.written(key, Sentences::at(depth, count))?;
        }
        while prompt.tokens.len() + self.next(depth, count) <= length + 1 {
            let longer = self.written(key, Sentences::at(depth, count + 1))?;
            if longer.tokens.len() > length + 1 {
                break;
            }
            count += 1;
            prompt = longer;
        }
        Ok(Some(prompt))
    }

    /// What the sentence costs that comes after `count` others.
    fn next(&self, depth: f64, count: usize) -> usize {
        let (now, then) = (Sentences::at(depth, count), Sentences::at(depth, count + 1));
        let grown = match then.before > now.before {
            true => now.before,
            false => now.after,
        };
        self.costs[grown % FILLER.len()]
    }

    /// The prompt with so much filler.
    fn written(&self, key: u64, filler: Sentences) -> Result<Prompt> {
        let mut text = TASK.to_string();
        let fill = |text: &mut String, n: usize| {
            FILLER
                .iter()
                .cycle()
                .take(n)
                .for_each(|sentence| *text += sentence);
        };
        fill(&mut text, filler.before);
        text += &format!(" The pass key is {key}. Remember it.");
        let named = text.len();
        text += &format!(" {key} is the pass key.");
        fill(&mut text, filler.after);
        text += QUESTION;
        let asked = text.len();
        text += &format!(" {key}");
        let name = "a passkey prompt";
        let Tokens { ids, ends, .. } = self.tokenizer.beginning(name, &text)?;
        self.tokenizer.fits(&ids, self.vocab, name)?;
        let behind = |place: usize| {
            ends.iter()
                .position(|&end| end > place)
                .unwrap_or(ids.len())
        };
        let answer = behind(asked);
        let read = self.tokenizer.text(&ids[answer..])?;
        if read.trim() != key.to_string() {
            return Err(Error::Data(format!(
                "passkey prompts: the tokenizer cannot spell the key {key}: its tokens read {read:?}"
            )));
        }
        Ok(Prompt {
            answer,
            key: behind(named),
            tokens: ids,
        })
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
                let Some(prompt) = self.prompt(key, length, depth)? else {
                    return Err(Error::Data(format!(
                        "a passkey prompt of {length} tokens has no room for its question"
                    )));
                };
                let Prompt {
                    mut tokens,
                    answer,
                    key,
                } = prompt;
                let end = tokens.len();
                distance = distance.max(answer - key);
                // Behind the key, where it does not matter.
                tokens.resize(length + 1, tokens[end - 1]);
                batch.tokens.extend_from_slice(&tokens[..length]);
                batch.targets.extend_from_slice(&tokens[1..]);
                let is_key = |at: usize| (answer..end).contains(&(at + 1));
                let weights = (0..length).map(|at| f32::from(u8::from(is_key(at))));
                batch.weights.extend(weights);
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
        let prompt = self.written(KEYS.start, Sentences::default())?;
        // The key stands in it three times, and another may take more tokens.
        let shorter = LONGEST_KEY.saturating_sub(prompt.tokens.len() - prompt.answer);
        Ok(prompt.tokens.len() - 1 + 3 * shorter)
    }
}
