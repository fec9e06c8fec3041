//! Loss by length and by position.

use super::group::{Group, Per};
use super::{PerplexityCurve, PerplexityPoint, PositionBucket, PositionCurve, ProtocolInfo};
use crate::record::Protocol;
use crate::stats::Panel;
use std::collections::BTreeSet;
use std::f64::consts::LN_2;

const PROTOCOLS: [Protocol; 3] = [
    Protocol::NonOverlap,
    Protocol::Sliding,
    Protocol::FixedTarget,
];
/// A bucket past the trained length has failed when its loss exceeds the in-window loss by this many nats.
const FAILURE: f64 = 0.1;

/// Perplexity of a curve under every protocol it has.
pub(super) fn curves(group: &Group<'_>, confidence: f64) -> Vec<PerplexityCurve> {
    let of = |protocol| PerplexityCurve {
        protocol,
        points: points(group, protocol, confidence),
    };
    PROTOCOLS
        .into_iter()
        .map(of)
        .filter(|curve| !curve.points.is_empty())
        .collect()
}

fn points(group: &Group<'_>, protocol: Protocol, confidence: f64) -> Vec<PerplexityPoint> {
    let Some(trained) = group.trained_length() else {
        return Vec::new();
    };
    let point = |length: usize| {
        let seeds = group.seeds_at(protocol, length);
        let panel = group.panel(protocol, length, Per::Token, &seeds)?;
        let nll = panel.estimate(confidence);
        let per_byte = group.panel(protocol, length, Per::Byte, &seeds);
        let mut records = group.records().flat_map(|r| &r.perplexity);
        let first = records.find(|p| p.protocol == protocol && p.length == length)?;
        Some(PerplexityPoint {
            length,
            multiple: length as f64 / trained as f64,
            nll,
            perplexity: nll.map(f64::exp),
            bits_per_byte: per_byte.map(|p| p.estimate(confidence).map(|x| x / LN_2)),
            tokens: first.tokens.iter().sum(),
            units: panel.units(),
            seeds: seeds.len(),
        })
    };
    group
        .lengths(protocol)
        .into_iter()
        .filter_map(point)
        .collect()
}

/// Loss by position, at the longest length that every seed has.
pub(super) fn position(group: &Group<'_>, confidence: f64) -> Option<PositionCurve> {
    let trained = group.trained_length()?;
    let records: Vec<_> = group
        .records()
        .filter_map(|r| r.position.as_ref())
        .collect();
    let first = records.first()?;
    let same: Vec<_> = records
        .iter()
        .filter(|p| p.length == first.length && p.starts == first.starts)
        .collect();
    let ends = first.starts.iter().skip(1).copied().chain([first.length]);
    let bucket = |(i, (start, end)): (usize, (usize, usize))| {
        let row = |p: &&&crate::record::PositionRecord| p.nll.iter().map(|r| (r[i], 1.0)).collect();
        let panel = Panel::new(same.iter().map(row).collect())?;
        Some(PositionBucket {
            start,
            end,
            nll: panel.estimate(confidence),
        })
    };
    let ranges = first.starts.iter().copied().zip(ends).enumerate();
    let buckets: Vec<PositionBucket> = ranges.filter_map(bucket).collect();
    // Buckets differ in width: the mean is over positions.
    let inside = buckets
        .iter()
        .filter(|b| b.start >= trained / 2 && b.end <= trained)
        .map(|b| (b.nll.value, (b.end - b.start) as f64));
    let (sum, width) = inside.fold((0.0, 0.0), |(s, w), (x, n)| (s + x * n, w + n));
    let failed = |b: &&PositionBucket| {
        // NaN counts as failed.
        let kept = b.nll.value <= sum / width + FAILURE;
        b.start >= trained && !kept
    };
    let first_failure = match width > 0.0 {
        true => buckets.iter().find(failed).map(|b| b.start),
        false => None,
    };
    Some(PositionCurve {
        length: first.length,
        buckets,
        first_failure,
    })
}

/// How the windows of a study were laid.
pub(super) fn protocols(groups: &[Group<'_>]) -> Vec<ProtocolInfo> {
    let of = |protocol| {
        let records = || {
            groups
                .iter()
                .flat_map(Group::records)
                .flat_map(|r| &r.perplexity)
        };
        let mine: Vec<_> = records().filter(|p| p.protocol == protocol).collect();
        let units = mine.first()?.nll.len();
        let strides: BTreeSet<_> = mine.iter().map(|p| (p.length, p.stride)).collect();
        Some(ProtocolInfo {
            protocol,
            strides: strides.into_iter().collect(),
            units,
        })
    };
    PROTOCOLS.into_iter().filter_map(of).collect()
}
