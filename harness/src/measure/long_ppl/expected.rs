//! The windows that LongPPL reads, so that its work can be told beforehand.

use super::super::{Other, Pass};
use super::{LongPpl, half};
use crate::model::Architecture;
use farspan_datasets::Segment;
use farspan_pe::AnyScheme;
use std::sync::Arc;

/// What the model that is measured reads: where it tells its key tokens itself, for that, too.
pub(super) fn passes(asked: &LongPpl, segments: &[Segment]) -> Vec<Pass> {
    let lengths = asked.lengths.iter();
    let mut all: Vec<Pass> = lengths
        .map(|&length| pass(segments, length, half(length)))
        .collect();
    if asked.evaluator.is_none() {
        all.extend(told(asked, segments));
    }
    all
}

/// What an evaluator reads.
pub(super) fn other(
    asked: &LongPpl,
    (architecture, scheme): (Architecture, Arc<dyn AnyScheme>),
    segments: &[Segment],
) -> Other {
    Other {
        architecture,
        scheme,
        passes: told(asked, segments).to_vec(),
    }
}

/// What is read to tell key tokens.
fn told(asked: &LongPpl, segments: &[Segment]) -> [Pass; 2] {
    [asked.long_context, asked.short()].map(|length| pass(segments, length, asked.stride))
}

/// Windows of `length` that start `stride` apart.
fn pass(segments: &[Segment], length: usize, stride: usize) -> Pass {
    let targets: usize = segments.iter().map(|s| s.tokens.len() - 1).sum();
    Pass {
        length,
        windows: targets as f64 / stride as f64,
    }
}
