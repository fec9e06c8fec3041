//! Perplexity of a checkpoint on documents, by the protocols of the field.
//!
//! A window feeds T tokens and predicts the token behind each. No window crosses a document's end. A token that the
//! tokenizer puts before a text (BOS) stands at the start of the document only.

use super::decoder::Pretrained;
use super::text::Document;
use crate::{Error, Result};
use serde::Serialize;
use std::ops::Range;

/// Which tokens are scored, with how much context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Consecutive windows of T tokens; all targets.
    NonOverlapping,
    /// Windows of T tokens, each further by this stride; each target once, with as much context as there is (Baevski
    /// and Auli 2018; Press et al. 2021).
    Sliding(usize),
    /// The last targets, so many, of each stretch of the longest length, with T tokens of context: the same targets at
    /// each T.
    Last(usize),
}

impl Protocol {
    /// Name in records.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::NonOverlapping => "nonoverlap",
            Protocol::Sliding(_) => "sliding",
            Protocol::Last(_) => "last",
        }
    }
}

/// Tokens that are fed, and which of the targets behind them are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tokens fed, by number in the document.
    pub fed: Range<usize>,
    /// Among them, the tokens whose successor is scored.
    pub scored: Range<usize>,
}

/// The windows of `length` over a document of `tokens`; `longest` is the largest length of the comparison. None if the
/// document is too short for one.
pub fn windows(tokens: usize, protocol: Protocol, length: usize, longest: usize) -> Vec<Window> {
    // The last token has no successor.
    let end = tokens.saturating_sub(1);
    if length == 0 || length > end {
        return Vec::new();
    }
    match protocol {
        Protocol::NonOverlapping => (0..end / length)
            .map(|block| block * length..(block + 1) * length)
            .map(|fed| Window {
                scored: fed.clone(),
                fed,
            })
            .collect(),
        Protocol::Sliding(stride) => {
            let stride = stride.clamp(1, length);
            let more = (end - length).div_ceil(stride);
            let window = |k: usize| {
                let fed = k * stride..(k * stride + length).min(end);
                let from = if k == 0 { 0 } else { (k - 1) * stride + length };
                Window {
                    scored: from..fed.end,
                    fed,
                }
            };
            (0..=more).map(window).collect()
        }
        Protocol::Last(last) => (1..=end / longest.max(length))
            .map(|stretch| stretch * longest.max(length))
            .map(|end| Window {
                fed: end - length..end,
                scored: end - last.clamp(1, length)..end,
            })
            .collect(),
    }
}

/// One scored target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Number of the document.
    pub document: usize,
    /// Number of the target in the document.
    pub offset: usize,
    /// Tokens fed before it in its window.
    pub context: usize,
    /// Negative log-likelihood in nats.
    pub nll: f32,
    /// Bytes it stands for.
    pub bytes: u32,
}

/// Scores the windows of all documents; at most `most` windows, from the first on.
pub fn score(
    model: &Pretrained,
    documents: &[Document],
    protocol: Protocol,
    (length, longest): (usize, usize),
    chunk: usize,
    most: usize,
) -> Result<Vec<Scored>> {
    let mut all = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        let windows = windows(document.ids.len(), protocol, length, longest);
        all.extend(windows.into_iter().map(|window| (number, window)));
    }
    if all.is_empty() {
        let most = documents.iter().map(|d| d.ids.len()).max().unwrap_or(0);
        let needed = longest.max(length) + 1;
        let text = format!(
            "length {length}: expected a document of at least {needed} tokens, the longest has {most}"
        );
        return Err(Error::Data(text));
    }
    let mut scored = Vec::new();
    for (number, window) in all.into_iter().take(most) {
        let document = &documents[number];
        let start = window.fed.start;
        model.run(&document.ids[window.fed.clone()], chunk, |first, hidden| {
            // Rows of this piece that are scored.
            let piece = start + first..start + first + hidden.dim(0)?;
            let rows = piece.start.max(window.scored.start)..piece.end.min(window.scored.end);
            if rows.is_empty() {
                return Ok(());
            }
            let targets = rows.start + 1..rows.end + 1;
            let hidden = hidden
                .narrow(0, rows.start - piece.start, rows.len())?
                .contiguous()?;
            let scores = model.row_scores(&hidden, &document.ids[targets.clone()])?;
            for (offset, score) in targets.zip(scores) {
                scored.push(Scored {
                    document: number,
                    offset,
                    context: offset - start,
                    nll: score.nll,
                    bytes: document.bytes[offset],
                });
            }
            Ok(())
        })?;
    }
    Ok(scored)
}

/// Sums over scored targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// exp of the mean loss per token; all tokens weigh alike.
    pub perplexity: f64,
    /// Mean loss in nats per token.
    pub nats_per_token: f64,
    /// Loss in bits over the bytes of the scored tokens; nothing if these stand for none.
    pub bits_per_byte: Option<f64>,
    /// Tokens scored.
    pub tokens: usize,
    /// Bytes that they stand for.
    pub bytes: u64,
}

/// Perplexity and bits per byte of `scored`.
pub fn summary(scored: &[Scored]) -> Summary {
    let sum: f64 = scored.iter().map(|s| f64::from(s.nll)).sum();
    let bytes: u64 = scored.iter().map(|s| u64::from(s.bytes)).sum();
    let mean = sum / scored.len() as f64;
    Summary {
        perplexity: mean.exp(),
        nats_per_token: mean,
        bits_per_byte: (bytes > 0).then(|| sum / std::f64::consts::LN_2 / bytes as f64),
        tokens: scored.len(),
        bytes,
    }
}

/// Mean loss by tokens of context: up to 1, 2, 4, 8, … tokens.
pub fn curve(scored: &[Scored]) -> Vec<(Range<usize>, Summary)> {
    let longest = scored.iter().map(|s| s.context).max().unwrap_or(0);
    let ends = std::iter::successors(Some(2usize), |end| Some(end * 2));
    let edges = std::iter::once(1)
        .chain(ends)
        .take_while(|&start| start <= longest);
    let part = |start: usize| {
        let range = start..2 * start;
        let inside: Vec<Scored> = scored
            .iter()
            .filter(|s| range.contains(&s.context))
            .copied()
            .collect();
        (!inside.is_empty()).then(|| (range, summary(&inside)))
    };
    edges.filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(windows: &[Window]) -> Vec<usize> {
        windows.iter().flat_map(|w| w.scored.clone()).collect()
    }

    #[test]
    fn blocks_follow_each_other_and_a_rest_is_left_out() {
        let found = windows(11, Protocol::NonOverlapping, 3, 3);
        let fed: Vec<_> = found.iter().map(|w| w.fed.clone()).collect();
        assert_eq!(fed, [0..3, 3..6, 6..9]);
        assert_eq!(scored(&found), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn sliding_scores_each_target_once_with_the_promised_context() {
        for (tokens, length, stride) in [(11, 4, 1), (11, 4, 3), (12, 4, 4), (5, 4, 2), (30, 7, 5)]
        {
            let found = windows(tokens, Protocol::Sliding(stride), length, length);
            assert_eq!(
                scored(&found),
                (0..tokens - 1).collect::<Vec<_>>(),
                "{tokens} {length} {stride}"
            );
            for window in &found[1..] {
                assert!(window.fed.len() <= length && window.scored.end == window.fed.end);
                assert!(window.scored.start - window.fed.start >= length - stride);
            }
        }
    }

    #[test]
    fn the_last_targets_are_the_same_at_each_length() {
        let short = windows(25, Protocol::Last(2), 3, 8);
        let long = windows(25, Protocol::Last(2), 8, 8);
        assert_eq!(scored(&short), scored(&long));
        assert_eq!(scored(&short), [6, 7, 14, 15, 22, 23]);
        assert_eq!(short[1].fed, 13..16);
        assert_eq!(long[1].fed, 8..16);
    }

    #[test]
    fn a_document_that_is_too_short_gives_no_window() {
        for protocol in [
            Protocol::NonOverlapping,
            Protocol::Sliding(2),
            Protocol::Last(1),
        ] {
            assert_eq!(windows(4, protocol, 4, 4), []);
            assert_eq!(windows(0, protocol, 1, 1), []);
            assert_eq!(windows(5, protocol, 4, 4).len(), 1);
        }
    }

    #[test]
    fn tokens_weigh_alike_and_bytes_are_those_of_the_scored() {
        let token = |nll, bytes, context| Scored {
            document: 0,
            offset: 0,
            context,
            nll,
            bytes,
        };
        let list = [token(1.0, 4, 1), token(3.0, 0, 2), token(2.0, 4, 3)];
        let all = summary(&list);
        assert!((all.perplexity - 2f64.exp()).abs() < 1e-12);
        assert!((all.bits_per_byte.unwrap() - 6.0 / 2f64.ln() / 8.0).abs() < 1e-12);
        assert_eq!(summary(&list[1..2]).bits_per_byte, None);
        let curve: Vec<_> = curve(&list)
            .into_iter()
            .map(|(range, part)| (range, part.tokens))
            .collect();
        assert_eq!(curve, [(1..2, 1), (2..4, 2)]);
    }
}
