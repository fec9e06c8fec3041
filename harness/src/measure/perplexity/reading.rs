//! Losses of windows: each window is read once, whole or in pieces.

use super::super::{Subject, Tick, rows_per_pass, windows_batch};
use crate::Result;
use crate::model::PreparedPlans;
use farspan_datasets::Segment;
use std::collections::BTreeMap;

/// Loss in nats of every target of every window: (segment, start) to at most `length` losses.
pub(in super::super) type Losses = BTreeMap<(usize, usize), Vec<f32>>;

/// Windows of one length on their way.
pub(in super::super) struct Reading<'r> {
    pub(in super::super) subject: &'r Subject<'r>,
    pub(in super::super) segments: &'r [Segment],
    pub(in super::super) length: usize,
    pub(in super::super) bos: Option<u32>,
    pub(in super::super) losses: Losses,
}

impl Reading<'_> {
    /// Whether it came to its end.
    pub(in super::super) fn read(
        &mut self,
        starts: &[(usize, usize)],
        ready: &PreparedPlans,
        tick: Tick<'_>,
    ) -> Result<bool> {
        if self.subject.in_pieces(self.length)? {
            for &(s, start) in starts {
                let scores = self
                    .subject
                    .read(&self.window(s, start), self.length, ready)?;
                let losses = scores.iter().map(|s| s.nll).collect();
                self.losses.insert((s, start), losses);
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
}
