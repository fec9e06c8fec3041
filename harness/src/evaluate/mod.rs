//! Measurements on a finished model: one file each.
//!
//! For every evaluated length the scheme is asked for its plan at that reach; a scheme that cannot serve a length
//! refuses in words, and the refusal becomes part of the result.

pub mod passkey;
pub mod perplexity;

use crate::Result;
use crate::model::{Decoder, Ready};
use farspan_attention::plan::Geometry;
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len, PlanError};
use farspan_reports::record::Refusal;

/// Tokens that one forward pass is given, so that memory stays level over lengths.
const TOKENS_PER_PASS: usize = 4096;

/// A model under a scheme, to be read at any length.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The weights.
    pub model: &'a Decoder,
    /// The scheme that reads them.
    pub scheme: &'a dyn AnyScheme,
}

impl Subject<'_> {
    /// The plan at `length`, ready to run; the scheme's own words if it cannot serve it.
    pub fn at(&self, measure: &str, length: usize) -> Result<std::result::Result<Ready, Refusal>> {
        let geometry: &Geometry = &self.model.shape.geometry;
        match self.scheme.plan(geometry, Len(length)) {
            Ok(plan) => Ok(Ok(self.model.ready(&plan, length)?)),
            Err(e @ PlanError::NotServed { .. }) => Ok(Err(Refusal {
                measure: measure.into(),
                length,
                reason: e.to_string(),
            })),
            Err(e) => Err(e.into()),
        }
    }
}

/// Windows of one length, put together to batches of bounded size.
pub(crate) fn rows_per_pass(length: usize) -> usize {
    (TOKENS_PER_PASS / length).max(1)
}

/// A batch of windows of `length + 1` tokens each: inputs, and the next token as target, all scored.
pub(crate) fn windows_batch(windows: &[&[u32]], length: usize) -> Batch {
    let mut tokens = Vec::with_capacity(windows.len() * length);
    let mut targets = Vec::with_capacity(windows.len() * length);
    for window in windows {
        tokens.extend_from_slice(&window[..length]);
        targets.extend_from_slice(&window[1..=length]);
    }
    let weights = vec![1.0; targets.len()];
    Batch {
        tokens,
        targets,
        weights,
        rows: windows.len(),
        len: length,
    }
}
