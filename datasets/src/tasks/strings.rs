//! What the tasks over strings share.
//!
//! ```text
//! BOS  source …  <to>  target …
//! ```
//!
//! Each fills a length by the longest source that fits, and trains on sources of all lengths from its setting
//! `shortest` to that, as both published batteries do: Kazemnejad et al. 2023, arXiv 2305.19466 (their sources are
//! words behind an instruction, read to an end mark, all of the target to be right), and Delétang et al. 2022, arXiv
//! 2207.02098 (the target is predicted at empty places behind the source all at once and counted by symbol). Here all
//! targets are predicted one after the other.

use super::{Alphabet, Answer, Example, Look, within};
use crate::error::DataError;
use crate::rng::Stream;

pub(crate) const BOS: usize = 0;
pub(crate) const TO: usize = 1;
pub(crate) const END: usize = 2;
pub(crate) const SYMBOL: usize = 3;

/// BOS, <to>, <end> and symbols.
pub(crate) fn alphabet(symbols: usize) -> Alphabet {
    Alphabet::of([
        (Look::Mark("bos"), 1),
        (Look::Mark("to"), 1),
        (Look::Mark("end"), 1),
        (Look::Lower, symbols),
    ])
}

pub(crate) fn check(symbols: usize, shortest: usize) -> Result<(), DataError> {
    within("symbols", symbols, 1..=1_000_000)?;
    within("shortest", shortest, 1..=1_000_000)
}

/// A source of uniform symbols.
pub(crate) fn source(rng: &mut Stream, symbols: usize, count: usize) -> Vec<u32> {
    alphabet(symbols).draw_many(rng, SYMBOL, count)
}

/// BOS, the source, <to>, and the target as one answer.
pub(crate) fn line(alphabet: &Alphabet, source: &[u32], target: &[u32]) -> Example {
    let mut tokens = vec![alphabet.id(BOS, 0)];
    tokens.extend(source);
    tokens.push(alphabet.id(TO, 0));
    let asked = tokens.len();
    tokens.extend(target);
    Example {
        answers: vec![Answer::new(asked..tokens.len())],
        tokens,
        ..Example::default()
    }
}
