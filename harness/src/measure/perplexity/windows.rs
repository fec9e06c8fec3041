//! How windows are laid over test segments.

use super::{Perplexity, Protocol};
use std::ops::Range;

/// One window of a segment: where it starts, and which of its targets are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// First input token.
    pub start: usize,
    /// Scored targets, counted from the window's start. Targets behind them are not read.
    pub scored: Range<usize>,
}

/// How `protocol` lays windows of `length` over a segment with `span` targets: non-overlapping blocks are windows that
/// slide by their whole length.
pub fn windows(protocol: Protocol, length: usize, stride: usize, span: usize) -> Vec<Window> {
    match protocol {
        Protocol::NonOverlap | Protocol::Sliding | Protocol::ByWindow => {
            tiles(length, stride, span)
        }
        Protocol::Prefix => vec![Window {
            start: 0,
            scored: 0..length,
        }],
        Protocol::FixedTarget => vec![Window {
            start: span - length,
            scored: length - stride..length,
        }],
    }
}

/// Distance between the starts of windows under `protocol`; of fixed targets their number.
pub(super) fn stride(protocol: Protocol, config: &Perplexity, length: usize) -> usize {
    match protocol {
        Protocol::NonOverlap | Protocol::Prefix => length,
        Protocol::Sliding | Protocol::ByWindow => config.stride.at(length),
        Protocol::FixedTarget => config.target,
    }
}

/// Windows of `length` that start `stride` apart and score each of `span` targets once; the last one may be cut short.
pub(crate) fn tiles(length: usize, stride: usize, span: usize) -> Vec<Window> {
    let more = span.saturating_sub(length).div_ceil(stride);
    let window = |k: usize| {
        let start = k * stride;
        let from = if k == 0 { 0 } else { length - stride };
        Window {
            start,
            scored: from..length.min(span - start),
        }
    };
    (0..=more).map(window).collect()
}

/// A protocol, its stride, and the windows of each segment.
pub(super) type Laid = (Protocol, usize, Vec<Vec<Window>>);

/// Segments, and where windows start in them. Protocols share windows (the first sliding window is a non-overlapping
/// block): each is read once.
pub(super) fn starts(laid: &[Laid]) -> Vec<(usize, usize)> {
    let of = |(_, _, windows): &Laid| {
        let segments = windows.iter().enumerate();
        let starts = segments.flat_map(|(s, windows)| windows.iter().map(move |w| (s, w.start)));
        starts.collect::<Vec<_>>()
    };
    let mut starts: Vec<_> = laid.iter().flat_map(of).collect();
    starts.sort_unstable();
    starts.dedup();
    starts
}
