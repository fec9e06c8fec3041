//! What several tasks show together: average scores, ranks of schemes, and what the place of what is asked for does.
//!
//! Scores are shares of right answers. A length that a scheme refuses to read counts as 0: nothing is answered there.

use super::group::{Group, sorted};
use super::sample::{Sample, pairs};
use super::{Curve, Key, MeasureInfo, Options, StudySummary};
use crate::record::{Better, PointRecord, Samples, Scale};
use crate::stats::{Estimate, Interval, dice, mean, percentile};
use serde::Serialize;

/// Most resamples of a bootstrap over trials.
const RESAMPLES: usize = 2000;

/// Several tasks of a study, or of all studies of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Aggregate {
    /// Study, key and title of each.
    pub tasks: Vec<(String, Key, String)>,
    /// Lengths at which all tasks were evaluated, shortest first.
    pub lengths: Vec<usize>,
    /// One entry for each curve.
    pub scores: Vec<Score>,
    /// Ranks of the curves beyond the trained length, best first; empty with a single curve.
    pub ranks: Vec<Rank>,
}

/// Average score of one curve over all tasks (Hsieh et al. 2024, "RULER").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// As of the curve.
    pub label: String,
    /// As of the curve.
    pub index: usize,
    /// At each length; none where a task has no score.
    pub by_length: Vec<Option<f64>>,
    /// Mean over the lengths; none if one lacks its score, here and below.
    pub average: Option<f64>,
    /// The same, the n-th length with weight n.
    pub increasing: Option<f64>,
    /// The same, the n-th length from the end with weight n.
    pub decreasing: Option<f64>,
    /// Mean over tasks of the mean over lengths up to the trained one.
    pub within: Option<f64>,
    /// The same beyond it.
    pub beyond: Option<f64>,
}

/// Mean reciprocal rank of a curve among all curves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rank {
    /// As of the curve.
    pub label: String,
    /// As of the curve.
    pub index: usize,
    /// Mean of 1 over the rank; curves with the same score share the mean of their ranks.
    pub reciprocal: f64,
    /// Over so many pairs of a task and a length.
    pub places: usize,
}

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

fn is_task(info: &MeasureInfo) -> bool {
    info.compares() && info.record.scale == Scale::Share && info.record.better == Better::Higher
}

/// Over the tasks of all studies, if more than one study has some.
pub(super) fn across(studies: &[StudySummary]) -> Option<Aggregate> {
    let with: Vec<&StudySummary> = studies
        .iter()
        .filter(|s| s.compared().any(is_task))
        .collect();
    (with.len() > 1).then(|| of(&with)).flatten()
}

/// Over all tasks of some studies, if there are several.
pub(super) fn of(studies: &[&StudySummary]) -> Option<Aggregate> {
    let tasks: Vec<(&StudySummary, &MeasureInfo)> = studies
        .iter()
        .flat_map(|s| s.compared().filter(|m| is_task(m)).map(move |m| (*s, m)))
        .collect();
    let mut lengths = tasks.get(1).and(tasks.first())?.1.lengths.clone();
    lengths.retain(|l| tasks.iter().all(|(_, t)| t.lengths.contains(l)));
    let mut labels: Vec<(&str, usize)> = Vec::new();
    for curve in studies.iter().flat_map(|s| &s.curves) {
        if labels.iter().all(|l| l.0 != curve.label) {
            labels.push((&curve.label, curve.index));
        }
    }
    let score = |&(label, index): &(&str, usize)| {
        let at = |length: &usize| average(tasks.iter().map(|(s, t)| share(s, label, t, *length)));
        let by_length: Vec<Option<f64>> = lengths.iter().map(at).collect();
        let whole: Option<Vec<f64>> = by_length.iter().copied().collect();
        let [plain, increasing, decreasing] = match whole.filter(|w| !w.is_empty()) {
            Some(all) => weighted(&all).map(Some),
            None => [None; 3],
        };
        let part = |pick: fn(&super::Measured) -> Option<f64>| {
            let of =
                |(s, t): &(&StudySummary, &MeasureInfo)| pick(curve(s, label)?.measured(&t.key)?);
            average(tasks.iter().map(of))
        };
        Score {
            label: label.into(),
            index,
            by_length,
            average: plain,
            increasing,
            decreasing,
            within: part(|m| m.within),
            beyond: part(|m| m.beyond),
        }
    };
    Some(Aggregate {
        scores: labels.iter().map(score).collect(),
        ranks: ranks(&tasks, &labels),
        tasks: tasks
            .iter()
            .map(|(s, t)| (s.name.clone(), t.key.clone(), t.record.title.clone()))
            .collect(),
        lengths,
    })
}

fn curve<'a>(study: &'a StudySummary, label: &str) -> Option<&'a Curve> {
    study.curves.iter().find(|c| c.label == label)
}

/// Share of a curve in a task at a length; 0 where the scheme refuses it.
fn share(study: &StudySummary, label: &str, task: &MeasureInfo, length: usize) -> Option<f64> {
    let curve = curve(study, label)?;
    let found = curve.measured(&task.key).and_then(|m| m.at(length));
    let refused = || curve.refused(&task.key).any(|r| r.length == length);
    found
        .map(|p| p.mean.value)
        .or_else(|| refused().then_some(0.0))
}

/// Mean; none if a value is missing.
fn average(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values
        .collect::<Option<Vec<f64>>>()
        .filter(|v| !v.is_empty())
        .map(|v| mean(&v))
}

/// Mean of scores by length: plain, the n-th with weight n, and the n-th from the end with weight n.
fn weighted(scores: &[f64]) -> [f64; 3] {
    let n = scores.len();
    let by = |weight: &dyn Fn(usize) -> usize| {
        let (sum, all) = scores.iter().enumerate().fold((0.0, 0), |(s, w), (i, x)| {
            (s + weight(i) as f64 * x, w + weight(i))
        });
        sum / all as f64
    };
    [by(&|_| 1), by(&|i| i + 1), by(&|i| n - i)]
}

/// 1 over the rank of every score among all, the largest first; equal scores share the mean of their ranks.
fn reciprocal_ranks(scores: &[f64]) -> Vec<f64> {
    let of = |x: &f64| {
        let above = scores.iter().filter(|y| *y > x).count() as f64;
        let equal = scores.iter().filter(|y| *y == x).count() as f64;
        1.0 / (above + (equal + 1.0) / 2.0)
    };
    scores.iter().map(of).collect()
}

fn ranks(tasks: &[(&StudySummary, &MeasureInfo)], labels: &[(&str, usize)]) -> Vec<Rank> {
    let mut sums = vec![(0.0, 0); labels.len()];
    for (study, task) in tasks {
        let trained = study.trained_lengths.last().copied().unwrap_or(0);
        for &length in task.lengths.iter().filter(|&&l| l > trained) {
            let of = |(i, l): (usize, &(&str, usize))| Some((i, share(study, l.0, task, length)?));
            let here: Vec<(usize, f64)> = labels.iter().enumerate().filter_map(of).collect();
            let scores: Vec<f64> = here.iter().map(|h| h.1).collect();
            for ((i, _), reciprocal) in here.iter().zip(reciprocal_ranks(&scores)) {
                sums[*i].0 += reciprocal;
                sums[*i].1 += 1;
            }
        }
    }
    let rank = |(&(label, index), &(sum, places)): (&(&str, usize), &(f64, usize))| Rank {
        label: label.into(),
        index,
        reciprocal: sum / places as f64,
        places,
    };
    let all = labels
        .iter()
        .zip(&sums)
        .filter(|(_, s)| s.1 > 0 && labels.len() > 1);
    let mut all: Vec<Rank> = all.map(rank).collect();
    all.sort_by(|a, b| b.reciprocal.total_cmp(&a.reciprocal));
    all
}

/// Of every curve, measure and length whose points differ in a factor from 0 (start) to 1 (end).
pub(super) fn depth_effects(
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
                let effects = sample.and_then(|s| effects(&s, info, factor, confidence, options));
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

fn effects(
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
