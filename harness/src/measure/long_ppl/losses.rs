//! Losses in windows, as sliding windows score them.

use super::super::perplexity::{Losses, Reading, tiles};
use super::super::{Subject, Tick};
use crate::Result;
use farspan_datasets::Segment;

/// Losses of each segment's targets in windows of `length` tokens that start `stride` apart, as sliding windows score them;
/// only windows with a target that is wanted are read, and what is not read is NaN. The scheme's own words if it cannot serve
/// the length; `None` if a stop was asked for.
pub(super) fn losses(
    subject: &Subject<'_>,
    segments: &[Segment],
    (length, stride): (usize, usize),
    wanted: &dyn Fn(usize, usize) -> bool,
    tick: Tick<'_>,
) -> Result<Option<std::result::Result<Vec<Vec<f32>>, String>>> {
    // No window is longer than the longest segment.
    let longest = segments.iter().map(|s| s.tokens.len() - 1).max();
    let length = length.min(longest.unwrap_or(length));
    let stride = stride.min(length);
    let ready = match subject.at(length)? {
        Ok(ready) => ready,
        Err(reason) => return Ok(Some(Err(reason))),
    };
    let mut windows = Vec::new();
    for (s, segment) in segments.iter().enumerate() {
        let all = tiles(length, stride, segment.tokens.len() - 1).into_iter();
        let some = all.filter(|w| w.scored.clone().any(|t| wanted(s, w.start + t)));
        windows.extend(some.map(|window| (s, window)));
    }
    let starts: Vec<(usize, usize)> = windows.iter().map(|(s, w)| (*s, w.start)).collect();
    let mut reading = Reading {
        subject,
        segments,
        length,
        bos: None,
        losses: Losses::new(),
    };
    if !reading.read(&starts, &ready, tick)? {
        return Ok(None);
    }
    let nothing = |s: &Segment| vec![f32::NAN; s.tokens.len() - 1];
    let mut found: Vec<Vec<f32>> = segments.iter().map(nothing).collect();
    for (s, window) in windows {
        let read = &reading.losses[&(s, window.start)][window.scored.clone()];
        let to = window.start + window.scored.start..window.start + window.scored.end;
        found[s][to].copy_from_slice(read);
    }
    Ok(Some(Ok(found)))
}
