//! Perplexity of a checkpoint on documents, by the protocols of the field.
//!
//! A window feeds T tokens and predicts the token behind each. No window crosses a document's end. A token that the
//! tokenizer puts before a text (BOS) stands at the start of the document only.
//!
//! The targets that are scored are the same at every length of a comparison: only documents are read that hold the
//! longest length, and a last window that would pass the end of what is scored ends there.

use super::text::Document;
use crate::evaluate::perplexity::{Window as Tile, tiles};
use crate::model::Decoder;
use crate::{Error, Result};
use serde::Serialize;
use std::ops::Range;

/// Which tokens are scored, with how much context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Consecutive windows of T tokens within stretches of the longest length; all targets of a stretch.
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

/// Lengths of a comparison, and how much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Tokens fed per window.
    pub length: usize,
    /// The largest length of the comparison.
    pub longest: usize,
    /// Stretches of the longest length that windows are laid over, at most.
    pub most: usize,
}

impl Extent {
    /// Windows of one length, over all there is.
    pub fn alone(length: usize) -> Extent {
        Extent {
            length,
            longest: length,
            most: usize::MAX,
        }
    }
}

/// The windows over documents of so many tokens, with the number of each window's document. Fails where a window
/// cannot be laid as the protocol says.
pub fn windows(
    documents: &[usize],
    protocol: Protocol,
    extent: Extent,
) -> Result<Vec<(usize, Window)>> {
    let Extent {
        length,
        longest,
        most,
    } = extent;
    let wrong = |what: &str, found: usize| {
        let text = format!("{what}: expected 1 to the length, {length} tokens, found {found}");
        Err(Error::Config(text))
    };
    if length == 0 || length > longest {
        let text = format!("expected a length of 1 to {longest}, found {length}");
        return Err(Error::Config(text));
    }
    match protocol {
        Protocol::Sliding(stride) if stride == 0 || stride > length => {
            return wrong("stride", stride);
        }
        Protocol::Last(last) if last == 0 || last > length => {
            return wrong("last tokens", last);
        }
        _ => {}
    }
    let mut left = most;
    let mut found = Vec::new();
    for (number, tokens) in documents.iter().enumerate() {
        // The last token has no successor.
        let targets = tokens.saturating_sub(1);
        let stretches = (targets / longest).min(left);
        left -= stretches;
        // Windows that slide go on to the end of a document, unless there is enough.
        let slides = matches!(protocol, Protocol::Sliding(_)) && stretches > 0;
        let spans: Vec<(usize, usize)> = match slides {
            true if left > 0 => vec![(0, targets)],
            true => vec![(0, stretches * longest)],
            false => (0..stretches)
                .map(|n| (n * longest, (n + 1) * longest))
                .collect(),
        };
        for span in spans {
            let windows = laid(protocol, length, span);
            found.extend(windows.into_iter().map(|window| (number, window)));
        }
    }
    Ok(found)
}

/// The windows of `length` over the targets from `first` to `end` of a document.
fn laid(protocol: Protocol, length: usize, (first, end): (usize, usize)) -> Vec<Window> {
    let stride = match protocol {
        Protocol::NonOverlapping => length,
        Protocol::Sliding(stride) => stride,
        Protocol::Last(last) => {
            return vec![Window {
                fed: end - length..end,
                scored: end - last..end,
            }];
        }
    };
    let window = |tile: Tile| {
        let start = first + tile.start;
        let scored = start + tile.scored.start..start + tile.scored.end;
        Window {
            fed: start..scored.end,
            scored,
        }
    };
    tiles(length, stride, end - first)
        .into_iter()
        .map(window)
        .collect()
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

/// Scores the windows that are laid over all documents.
pub fn score(
    model: &Decoder,
    documents: &[Document],
    protocol: Protocol,
    extent: Extent,
    chunk: usize,
) -> Result<Vec<Scored>> {
    let sizes: Vec<usize> = documents.iter().map(|d| d.ids.len()).collect();
    let all = windows(&sizes, protocol, extent)?;
    if all.is_empty() {
        let most = sizes.iter().copied().max().unwrap_or(0);
        let needed = extent.longest + 1;
        let text = format!(
            "length {}: expected a document of at least {needed} tokens, the longest has {most}",
            extent.length
        );
        return Err(Error::Data(text));
    }
    let mut scored = Vec::new();
    for (number, window) in all {
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

    fn over(tokens: usize, protocol: Protocol, length: usize, longest: usize) -> Vec<Window> {
        let extent = Extent {
            length,
            longest,
            most: usize::MAX,
        };
        let found = windows(&[tokens], protocol, extent).expect("windows");
        found.into_iter().map(|(_, window)| window).collect()
    }

    fn scored(windows: &[Window]) -> Vec<usize> {
        windows.iter().flat_map(|w| w.scored.clone()).collect()
    }

    #[test]
    fn blocks_follow_each_other_and_a_rest_is_left_out() {
        let found = over(11, Protocol::NonOverlapping, 3, 3);
        let fed: Vec<_> = found.iter().map(|w| w.fed.clone()).collect();
        assert_eq!(fed, [0..3, 3..6, 6..9]);
        assert_eq!(scored(&found), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn sliding_scores_each_target_once_with_the_promised_context() {
        for (tokens, length, stride) in [(11, 4, 1), (11, 4, 3), (12, 4, 4), (5, 4, 2), (30, 7, 5)]
        {
            let found = over(tokens, Protocol::Sliding(stride), length, length);
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
        let short = over(25, Protocol::Last(2), 3, 8);
        let long = over(25, Protocol::Last(2), 8, 8);
        assert_eq!(scored(&short), scored(&long));
        assert_eq!(scored(&short), [6, 7, 14, 15, 22, 23]);
        assert_eq!(short[1].fed, 13..16);
        assert_eq!(long[1].fed, 8..16);
    }

    #[test]
    fn every_length_of_a_comparison_scores_the_same_targets() {
        let documents = [3000, 900, 5000];
        for protocol in [
            Protocol::NonOverlapping,
            Protocol::Sliding(200),
            Protocol::Last(64),
        ] {
            for most in [1, 2, 3, usize::MAX] {
                let targets = |length: usize| {
                    let extent = Extent {
                        length,
                        longest: 1536,
                        most,
                    };
                    let found = windows(&documents, protocol, extent).expect("windows");
                    let of = |(n, window): &(usize, Window)| {
                        let n = *n;
                        let scored = window.scored.clone();
                        scored.map(move |t| (n, t)).collect::<Vec<_>>()
                    };
                    found.iter().flat_map(of).collect::<Vec<_>>()
                };
                let expected = targets(1536);
                assert!(!expected.is_empty() && expected.iter().all(|(n, _)| *n != 1));
                for length in [256, 1000, 1024] {
                    assert_eq!(targets(length), expected, "{protocol:?}, {length}, {most}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_a_window_is_refused_in_place_of_being_cut() {
        for (protocol, length, words) in [
            (Protocol::Sliding(300), 256, "found 300"),
            (Protocol::Last(128), 64, "found 128"),
            (Protocol::Sliding(0), 64, "found 0"),
            (Protocol::NonOverlapping, 512, "found 512"),
        ] {
            let extent = Extent {
                length,
                longest: 256,
                most: 1,
            };
            let error = windows(&[1000], protocol, extent).expect_err(words);
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_document_that_is_too_short_gives_no_window() {
        for protocol in [
            Protocol::NonOverlapping,
            Protocol::Sliding(2),
            Protocol::Last(1),
        ] {
            assert_eq!(over(4, protocol, 4, 4), []);
            assert_eq!(over(3, protocol, 2, 4), []);
            assert_eq!(over(5, protocol, 4, 4).len(), 1);
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
