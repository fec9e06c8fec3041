//! Perplexity past the trained length, under three protocols, and loss by position.
//!
//! The unit is a test segment inside one document: a stretch of `longest + 1` tokens, or a whole document that holds as
//! many. All lengths, schemes and seeds read the same segments, so differences are paired. Within a segment:
//!
//! - **non-overlap**: blocks of T targets, each scored given its own block only;
//! - **sliding**: windows of T that start S apart; the first scores all its targets, later ones their last S;
//!
//!   in both, a last window that would pass the end of the segment ends there, so that every target of the segment is
//!   scored once at every length;
//! - **fixed-target**: the last R targets of the segment, scored by the window of T that ends with them. The scored
//!   tokens are the same at every T, so this curve shows the effect of context length alone.

use super::{Subject, Tick, rows_per_pass, windows_batch};
use crate::checkpoint::ends::begins;
use crate::config::types::{Bos, PerplexityConfig, Unit};
use crate::{Error, Result};
use farspan_datasets::{Segment, TextData};
use farspan_reports::record::{PerplexityRecord, PositionRecord, Protocol, Refusal};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// Numbers of the residual stream of a window beyond which it is read in pieces: 16 MiB, of which a layer's activations
/// take several times as much. Smaller windows are read at once, which is faster than to go by a cache.
const WHOLE: usize = 1 << 22;
/// Tokens of such a piece: rows enough for a product of matrices to run at full speed, and as many as `--chunk` reads.
const PIECE: usize = 512;

/// Everything that perplexity gives.
#[derive(Debug, Default)]
pub struct Measured {
    /// One record per protocol and length.
    pub records: Vec<PerplexityRecord>,
    /// Loss by position at the longest served length.
    pub position: Option<PositionRecord>,
    /// Lengths the scheme cannot serve.
    pub refused: Vec<Refusal>,
}

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
        Protocol::NonOverlap | Protocol::Sliding => tiles(length, stride, span),
        Protocol::FixedTarget => vec![Window {
            start: span - length,
            scored: length - stride..length,
        }],
    }
}

/// Distance between the starts of windows under `protocol`; of fixed targets their number.
fn stride(protocol: Protocol, config: &PerplexityConfig, length: usize) -> usize {
    match protocol {
        Protocol::NonOverlap => length,
        Protocol::Sliding => config.stride.at(length),
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

/// The segments that `config` asks for.
pub fn segments(config: &PerplexityConfig, text: &TextData) -> Result<Vec<Segment>> {
    let tokens = config.lengths.iter().copied().max().unwrap_or(0) + 1;
    let count = config.segments.count();
    Ok(match config.unit {
        Unit::Stretch => text.test_segments(tokens, count)?,
        Unit::Document => text.test_documents(tokens, count)?,
    })
}

/// The token that stands at the start of every window, if one has to: what the tokenizer puts before a text, or else the
/// BOS of the checkpoint in the folder `checkpoint`.
pub fn bos(
    config: &PerplexityConfig,
    text: &TextData,
    checkpoint: Option<&Path>,
) -> Result<Option<u32>> {
    if config.bos == Bos::Text {
        return Ok(None);
    }
    let own = || checkpoint.map_or(Ok(None), begins);
    match text.bos()?.as_slice() {
        [bos] => Ok(Some(*bos)),
        [] if let Some(bos) = own()? => Ok(Some(bos)),
        found => Err(Error::Config(format!(
            "evaluate.perplexity.bos: expected a tokenizer that puts one token before a text, found {} ({})",
            found.len(),
            text.tokenizer_description()
        ))),
    }
}

/// Reads all segments at all lengths; `bos` takes the place of the first token of each window. `tick` is called after
/// each pass with the number of tokens fed and says whether to go on; `None` if not.
pub fn measure(
    subject: &Subject<'_>,
    config: &PerplexityConfig,
    segments: &[Segment],
    bos: Option<u32>,
    tick: Tick<'_>,
) -> Result<Option<Measured>> {
    let mut measured = Measured::default();
    for &length in &config.lengths {
        let ready = match subject.at("perplexity", length)? {
            Ok(ready) => ready,
            Err(refusal) => {
                measured.refused.push(refusal);
                continue;
            }
        };
        let laid = |protocol: &Protocol| {
            let stride = stride(*protocol, config, length);
            let of = |s: &Segment| windows(*protocol, length, stride, s.tokens.len() - 1);
            (*protocol, stride, segments.iter().map(of).collect())
        };
        let laid: Vec<Laid> = config.protocols.iter().map(laid).collect();
        let mut reading = Reading {
            subject,
            segments,
            length,
            bos,
            losses: Losses::new(),
        };
        if !reading.read(&starts(&laid), &ready, tick)? {
            return Ok(None);
        }
        let losses = reading.losses;
        for (protocol, stride, windows) in &laid {
            measured.records.push(collect(
                *protocol, length, *stride, windows, segments, &losses,
            ));
        }
        // Lengths increase, so the longest that the scheme serves is the last.
        measured.position = by_position(length, segments, &losses);
    }
    Ok(Some(measured))
}

/// A protocol, its stride, and the windows of each segment.
type Laid = (Protocol, usize, Vec<Vec<Window>>);

impl Measured {
    /// Every segment's loss with where it lies in the test text, for a person to read.
    pub fn samples(&self, segments: &[Segment]) -> Vec<Value> {
        let lines = |record: &PerplexityRecord| {
            let line = |(i, segment): (usize, &Segment)| {
                json!({
                    "measure": "perplexity", "protocol": record.protocol, "length": record.length,
                    "segment": i, "document": segment.document, "offset": segment.offset,
                    "nll": format!("{}", record.nll[i]), "tokens": record.tokens[i], "bytes": record.bytes[i],
                })
            };
            segments.iter().enumerate().map(line).collect::<Vec<_>>()
        };
        self.records.iter().flat_map(lines).collect()
    }
}

/// Segments, and where windows start in them. Protocols share windows (the first sliding window is a non-overlapping
/// block): each is read once.
fn starts(laid: &[Laid]) -> Vec<(usize, usize)> {
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

/// Loss in nats of every target of every window: (segment, start) to at most `length` losses.
type Losses = BTreeMap<(usize, usize), Vec<f32>>;

/// Windows of one length on their way.
struct Reading<'r> {
    subject: &'r Subject<'r>,
    segments: &'r [Segment],
    length: usize,
    bos: Option<u32>,
    losses: Losses,
}

impl Reading<'_> {
    /// Whether it came to its end.
    fn read(
        &mut self,
        starts: &[(usize, usize)],
        ready: &crate::model::Ready,
        tick: Tick<'_>,
    ) -> Result<bool> {
        if self.in_pieces()? {
            for &(s, start) in starts {
                self.piece_by_piece(s, start)?;
                if !tick(self.length) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let length = self.length;
        for (index, chunk) in starts.chunks(rows_per_pass(length)).enumerate() {
            // Windows that are cut short are filled up: no token sees what stands behind it.
            let window = |&(s, start): &(usize, usize)| {
                let mut tokens = self.window(s, start);
                tokens.resize(length + 1, 0);
                tokens
            };
            let windows: Vec<Vec<u32>> = chunk.iter().map(window).collect();
            let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
            let mut batch = windows_batch(&windows, length);
            self.subject.place("perplexity", index, &mut batch);
            let scores = self.subject.model.scores(&batch, ready)?;
            for (key, scores) in chunk.iter().zip(scores.chunks(length)) {
                let losses = scores.iter().map(|s| s.nll).collect();
                self.losses.insert(*key, losses);
            }
            if !tick(chunk.len() * length) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fed tokens of a window and the last target: `length + 1`, or fewer where the segment ends.
    fn window(&self, segment: usize, start: usize) -> Vec<u32> {
        let tokens = &self.segments[segment].tokens[start..];
        let mut tokens = tokens[..tokens.len().min(self.length + 1)].to_vec();
        if let Some(bos) = self.bos {
            tokens[0] = bos;
        }
        tokens
    }

    /// Whether windows are so large that they are read with a cache, and may be.
    fn in_pieces(&self) -> Result<bool> {
        let model = self.subject.model;
        let large = self.length * model.architecture.geometry.width > WHOLE;
        Ok(large && !self.subject.draws() && model.chunk(PIECE, self.length)? < self.length)
    }

    fn piece_by_piece(&mut self, segment: usize, start: usize) -> Result<()> {
        let tokens = self.window(segment, start);
        let (fed, targets) = (&tokens[..tokens.len() - 1], &tokens[1..]);
        let model = self.subject.model;
        let mut losses = Vec::with_capacity(fed.len());
        model.run_within(self.length, fed, PIECE, |first, rows| {
            let targets = &targets[first..first + rows.dim(0)?];
            let scores = model.row_scores(rows, targets)?;
            losses.extend(scores.iter().map(|score| score.nll));
            Ok(())
        })?;
        self.losses.insert((segment, start), losses);
        Ok(())
    }
}

fn collect(
    protocol: Protocol,
    length: usize,
    stride: usize,
    windows: &[Vec<Window>],
    segments: &[Segment],
    losses: &Losses,
) -> PerplexityRecord {
    let n = segments.len();
    let mut record = PerplexityRecord {
        protocol,
        length,
        stride,
        nll: vec![0.0; n],
        tokens: vec![0; n],
        bytes: vec![0; n],
    };
    for (s, segment) in segments.iter().enumerate() {
        for window in &windows[s] {
            let scored = window.scored.clone();
            let nll = &losses[&(s, window.start)][scored.clone()];
            record.nll[s] += nll.iter().map(|&x| f64::from(x)).sum::<f64>();
            record.tokens[s] += scored.len() as u64;
            // Target t of a window is token start + t + 1 of the segment.
            let bytes = &segment.bytes[window.start + scored.start + 1..=window.start + scored.end];
            record.bytes[s] += bytes.iter().map(|&b| u64::from(b)).sum::<u64>();
        }
    }
    record
}

/// Bucket borders two to an octave: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, …
fn position_buckets(length: usize) -> Vec<usize> {
    let mut starts = vec![0, 1, 2, 3];
    let mut octave = 4;
    while octave < length {
        starts.extend([octave, octave + octave / 2]);
        octave *= 2;
    }
    starts.retain(|&s| s < length);
    starts
}

/// Nothing if no protocol reads the beginnings of segments.
fn by_position(length: usize, segments: &[Segment], losses: &Losses) -> Option<PositionRecord> {
    let starts = position_buckets(length);
    let ends = starts.iter().skip(1).copied().chain([length]);
    let ranges: Vec<_> = starts.iter().copied().zip(ends).collect();
    let row = |s: usize| {
        let nll = losses.get(&(s, 0))?;
        let mean = |&(a, b): &(usize, usize)| {
            nll[a..b].iter().map(|&x| f64::from(x)).sum::<f64>() / (b - a) as f64
        };
        Some(ranges.iter().map(mean).collect())
    };
    let nll = (0..segments.len()).map(row).collect::<Option<_>>()?;
    Some(PositionRecord {
        length,
        starts,
        nll,
    })
}

#[cfg(test)]
mod tests;
