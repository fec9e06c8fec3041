//! Which tokens need a long context: the key tokens of LongPPL (Fang et al. 2024, What is wrong with perplexity for
//! long-context language modeling, arXiv 2410.23771, and their code).
//!
//! A token is key if a long context helps it much, and it is predicted well with one:
//!
//! ```text
//! nll_short − nll_full > α   and   nll_full < −β        α = 2, β = −2
//! ```
//!
//! with losses in nats, of one model that reads the text twice: in windows with a short context, and whole. LongPPL is
//! `exp` of the mean loss of any model over them. The authors' code starts windows every 1024 tokens, of which 4096 to 5119
//! stand before the tokens that are tested, and no token before the 4096th is key.
//!
//! Entry i of a loss array is the loss of *predicting* one token. Without a token before a text its first one is never
//! predicted, and entry i belongs to token i + 1: spans are given for entries, so that this is said in one place.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// When a token is key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRule {
    /// Least gain by the long context, nats.
    pub alpha: f64,
    /// Minus the largest loss with it, nats.
    pub beta: f64,
    /// Entries before this one are never key: their short context is all there is.
    pub from: usize,
}

impl Default for KeyRule {
    fn default() -> KeyRule {
        KeyRule {
            alpha: 2.0,
            beta: -2.0,
            from: 0,
        }
    }
}

/// Entries of the two loss arrays that are key, rising; none if no token is. A loss that is no number makes no token key.
///
/// # Panics
/// If the arrays differ in length: they are not of the same tokens.
pub fn key_tokens(rule: KeyRule, nll_short: &[f32], nll_full: &[f32]) -> Option<Vec<usize>> {
    assert_eq!(nll_short.len(), nll_full.len(), "losses of the same tokens");
    let is_key = |&at: &usize| {
        let (short, full) = (f64::from(nll_short[at]), f64::from(nll_full[at]));
        short - full > rule.alpha && full < -rule.beta
    };
    let keys: Vec<usize> = (rule.from..nll_full.len()).filter(is_key).collect();
    (!keys.is_empty()).then_some(keys)
}

/// Where key tokens stand in the text, in bytes or characters, as `spans` gives them for each entry; what touches is one.
///
/// # Panics
/// If an entry has no span.
pub fn intervals(keys: &[usize], spans: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for &key in keys {
        let span = spans[key].clone();
        match found.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => found.push(span),
        }
    }
    found
}

/// Entries of another tokenizer's losses that lie whole inside one of the intervals, which rise and do not touch; `spans`
/// are its own. A token without text is in none.
pub fn inside(spans: &[Range<usize>], intervals: &[Range<usize>]) -> Vec<usize> {
    let lies = |span: &Range<usize>| {
        // The last interval that begins at or before the token.
        let after = intervals.partition_point(|interval| interval.start <= span.start);
        let holds = after.checked_sub(1).map(|at| &intervals[at]);
        span.start < span.end && holds.is_some_and(|interval| span.end <= interval.end)
    };
    (0..spans.len()).filter(|&at| lies(&spans[at])).collect()
}

/// `exp` of the mean loss over key tokens; none if there are none.
///
/// # Panics
/// If an entry has no loss.
pub fn long_ppl(nll: &[f32], keys: &[usize]) -> Option<f64> {
    let sum: f64 = keys.iter().map(|&key| f64::from(nll[key])).sum();
    (!keys.is_empty()).then(|| (sum / keys.len() as f64).exp())
}
