//! What the place of what is asked for does: primacy, recency and basin.

use super::aggregate::is_task;
use super::group::{Group, sorted};
use super::sample::{Sample, pairs};
use super::{Key, MeasureInfo, Options};
use crate::record::{PointRecord, Samples};
use crate::stats::{Estimate, Interval, dice, mean, percentile};
use serde::Serialize;

/// Most resamples of a bootstrap over trials.
const RESAMPLES: usize = 2000;

/// What the place of what is asked for does to the share found, at one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DepthEffect {
    /// Which measure.
    pub key: Key,
    /// As of the curve.
    pub label: String,
    /// As of the curve.
    pub index: usize,
    /// Tokens fed.
    pub length: usize,
    /// Share at the start minus the least share strictly between start and end.
    pub primacy: Estimate,
    /// Share at the end minus the same.
    pub recency: Estimate,
    /// Mean of the shares at start and end minus the mean of those from 0.3 to 0.7.
    pub basin: Estimate,
}

/// The place of a depth, and the units of a point there.
type Units = (usize, Vec<(f64, f64)>);

/// Of every curve, measure and length whose points differ in a factor from 0 (start) to 1 (end).
pub(super) fn effects(
    groups: &[Group<'_>],
    measures: &[MeasureInfo],
    confidence: f64,
    options: &Options,
) -> Vec<DepthEffect> {
    let mut found = Vec::new();
    for info in measures.iter().filter(|m| is_task(m)) {
        let Some(factor) = info.record.factors.iter().position(|f| f.share) else {
            continue;
        };
        for group in groups {
            for length in group.lengths(info) {
                let sample = Sample::at(group, info, length);
                let effects = sample.and_then(|s| of_sample(&s, info, factor, confidence, options));
                found.extend(effects.map(|[primacy, recency, basin]| DepthEffect {
                    key: info.key.clone(),
                    label: group.label.clone(),
                    index: group.index,
                    length,
                    primacy,
                    recency,
                    basin,
                }));
            }
        }
    }
    found
}

/// Primacy, recency and basin from (depth, share), depths rising; none unless both ends and both middles are there.
fn effect(shares: &[(f64, f64)]) -> Option<[f64; 3]> {
    let end = |depth: f64| shares.iter().find(|s| s.0 == depth).map(|s| s.1);
    let (start, end) = (end(0.0)?, end(1.0)?);
    let middle = shares.iter().filter(|s| s.0 > 0.0 && s.0 < 1.0);
    let least = middle.map(|s| s.1).min_by(f64::total_cmp)?;
    // A depth of 0.3 may be the nearest number to it.
    let basin = |s: &&(f64, f64)| (0.3 - 1e-9..=0.7 + 1e-9).contains(&s.0);
    let basin: Vec<f64> = shares.iter().filter(basin).map(|s| s.1).collect();
    let basin = (!basin.is_empty()).then(|| mean(&basin))?;
    Some([start - least, end - least, (start + end) / 2.0 - basin])
}

fn of_sample(
    sample: &Sample<'_>,
    info: &MeasureInfo,
    factor: usize,
    confidence: f64,
    options: &Options,
) -> Option<[Estimate; 3]> {
    let depth = |p: &PointRecord| p.at.get(factor).copied();
    let depths = sorted(sample.points().filter_map(depth));
    let place = |p: &PointRecord| depths.iter().position(|d| Some(*d) == depth(p));
    // The units of each seed, point by point, with the place of the point's depth.
    let seeds: Vec<Vec<Units>> = sample
        .seeds
        .iter()
        .map(|(_, points)| {
            points
                .iter()
                .filter_map(|p| Some((place(p)?, pairs(p, "", "")?)))
                .collect()
        })
        .collect();
    let shares = |pick: &mut dyn FnMut(usize, bool) -> Vec<usize>| {
        let mut sums = vec![(0.0, 0.0); depths.len()];
        for points in &seeds {
            for (i, (place, units)) in points.iter().enumerate() {
                for at in pick(units.len(), i == 0) {
                    let (value, weight) = units.get(at).copied().unwrap_or_default();
                    sums[*place].0 += value;
                    sums[*place].1 += weight;
                }
            }
        }
        let shares: Vec<(f64, f64)> = depths
            .iter()
            .zip(&sums)
            .map(|(&d, s)| (d, s.0 / s.1))
            .collect();
        effect(&shares)
    };
    let found = shares(&mut |n, _| (0..n).collect())?;
    let mut below = dice(options.seed);
    let mut last = Vec::new();
    let mut draw = |n: usize, first: bool| {
        // A panel has the same units at every point of a seed.
        if first || info.record.samples != Samples::Panel {
            last = (0..n).map(|_| below(n)).collect();
        }
        last.clone()
    };
    let draws: Vec<[f64; 3]> = (0..options.resamples.min(RESAMPLES))
        .filter_map(|_| shares(&mut draw))
        .collect();
    let several = seeds.iter().flatten().any(|(_, units)| units.len() > 1);
    let interval = |i: usize| {
        let mut all: Vec<f64> = draws.iter().map(|d| d[i]).filter(|x| !x.is_nan()).collect();
        all.sort_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        let ends = percentile(&all, tail).zip(percentile(&all, 1.0 - tail));
        ends.filter(|_| several)
            .map(|(low, high)| Interval { low, high })
    };
    Some([0, 1, 2].map(|i| Estimate {
        value: found[i],
        interval: interval(i),
    }))
}

#[cfg(test)]
mod tests;
