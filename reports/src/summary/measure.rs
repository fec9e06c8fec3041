//! One measure of one curve: by length, by each factor, by distance, as a profile.

use super::group::{Group, sorted};
use super::sample::Sample;
use super::{
    Bucket, DistancePoint, GridCell, KMax, MeasureInfo, Measured, MeasuredPoint, Profile, effective,
};
use crate::record::{Role, RunPlan, Scale};
use crate::stats::Estimate;

/// Threshold of the definition of k_max.
const K_MAX_THRESHOLD: f64 = 0.2;
/// A bucket past the trained length has failed when its loss exceeds the in-window loss by this many nats.
const FAILURE: f64 = 0.1;

/// What was measured; `None` if the curve does not have the measure.
pub(super) fn of(group: &Group<'_>, info: &MeasureInfo, plan: &RunPlan) -> Option<Measured> {
    let confidence = plan.confidence;
    let by_length = info.record.role == Role::ByLength;
    let samples: Vec<(usize, Sample<'_>)> = group
        .lengths(info)
        .into_iter()
        .filter_map(|length| Some((length, Sample::at(group, info, length)?)))
        .collect();
    let trained = group.trained_length()?;
    let mut points: Vec<MeasuredPoint> = samples
        .iter()
        .filter_map(|(length, sample)| point(info, *length, trained, sample, confidence))
        .collect();
    if points.is_empty() {
        return None;
    }
    effective::ask(group, info, &mut points, plan);
    let distances = distances(&samples, confidence);
    let shares = info.record.scale == Scale::Share && by_length;
    Some(Measured {
        key: info.key.clone(),
        grids: (0..info.record.factors.len())
            .filter(|_| by_length)
            .map(|factor| grid(&samples, factor, confidence))
            .collect(),
        reaches: match shares {
            true => reaches(&distances, info.bound()),
            false => Vec::new(),
        },
        distances,
        profile: match by_length {
            true => None,
            false => profile(info, &samples, trained, confidence),
        },
        effective: effective::length(group, info, &points, plan),
        points,
    })
}

fn point(
    info: &MeasureInfo,
    length: usize,
    trained: usize,
    sample: &Sample<'_>,
    confidence: f64,
) -> Option<MeasuredPoint> {
    let mean = sample.mean(confidence)?;
    let (sum, weight) = sample.totals();
    Some(MeasuredPoint {
        length,
        multiple: length as f64 / trained as f64,
        mean,
        shown: info.shown(mean),
        also: info
            .record
            .also
            .iter()
            .map(|a| sample.also(a, confidence))
            .collect(),
        columns: sample.columns(),
        sum,
        weight,
        units: sample.units(),
        seeds: sample.seeds.len(),
        change: None,
        service: None,
    })
}

fn grid(samples: &[(usize, Sample<'_>)], factor: usize, confidence: f64) -> Vec<GridCell> {
    let mut cells = Vec::new();
    for (length, sample) in samples {
        for at in sorted(sample.points().filter_map(|p| p.at.get(factor).copied())) {
            let here = sample.only(|p| p.at.get(factor) == Some(&at));
            let Some((here, mean)) = here.and_then(|h| h.mean(confidence).map(|m| (h, m))) else {
                continue;
            };
            let distance = sorted(
                here.points()
                    .filter_map(|p| p.facts.get("distance").copied()),
            );
            let (sum, weight) = here.totals();
            cells.push(GridCell {
                length: *length,
                at,
                distance: (distance.len() == 1).then(|| distance[0]),
                mean,
                columns: here.columns(),
                sum,
                weight,
                units: here.points().map(|p| p.value.len()).sum(),
            });
        }
    }
    cells
}

fn distances(samples: &[(usize, Sample<'_>)], confidence: f64) -> Vec<DistancePoint> {
    let mut found = Vec::new();
    for (length, sample) in samples {
        let of = |p: &crate::record::PointRecord| p.facts.get("distance").copied();
        for distance in sorted(sample.points().filter_map(of)) {
            let here = sample.only(|p| of(p) == Some(distance));
            if let Some((here, mean)) = here.and_then(|h| h.mean(confidence).map(|m| (h, m))) {
                found.push(DistancePoint {
                    length: *length,
                    distance,
                    mean,
                    units: here.points().map(|p| p.value.len()).sum(),
                });
            }
        }
    }
    found
}

/// k_max at the definition's threshold and at the one of the measure, for every length.
fn reaches(distances: &[DistancePoint], bound: Option<f64>) -> Vec<KMax> {
    let mut thresholds = vec![K_MAX_THRESHOLD];
    thresholds.extend(bound.filter(|&b| b != K_MAX_THRESHOLD));
    let mut found = Vec::new();
    for here in distances.chunk_by(|a, b| a.length == b.length) {
        for &threshold in &thresholds {
            let farthest = |passes: &dyn Fn(&Estimate) -> bool| {
                let all = here.iter().take_while(|d| passes(&d.mean));
                all.last().map_or(0.0, |d| d.distance)
            };
            let k = farthest(&|e| e.value >= threshold);
            found.push(KMax {
                length: here[0].length,
                threshold,
                k,
                conservative: farthest(&|e| e.interval.is_some_and(|i| i.low >= threshold)),
                at_end: here.last().is_some_and(|d| d.distance == k),
            });
        }
    }
    found
}

/// By the one factor, at the length that most seeds have.
fn profile(
    info: &MeasureInfo,
    samples: &[(usize, Sample<'_>)],
    trained: usize,
    confidence: f64,
) -> Option<Profile> {
    let (length, sample) = samples.iter().rev().max_by_key(|(_, s)| s.seeds.len())?;
    let starts = sorted(sample.points().filter_map(|p| p.at.first().copied()));
    let ends = starts.iter().skip(1).copied().chain([*length as f64]);
    let bucket = |(&start, end): (&f64, f64)| {
        let here = sample.only(|p| p.at.first() == Some(&start))?;
        let mean = here.mean(confidence)?;
        Some(Bucket { start, end, mean })
    };
    let buckets: Vec<Bucket> = starts.iter().zip(ends).filter_map(bucket).collect();
    let trained = trained as f64;
    // Buckets differ in width: the mean is over positions.
    let inside = buckets
        .iter()
        .filter(|b| b.start >= (trained / 2.0).floor() && b.end <= trained)
        .map(|b| (b.mean.value, b.end - b.start));
    let (sum, width) = inside.fold((0.0, 0.0), |(s, w), (x, n)| (s + x * n, w + n));
    let failed = |b: &&Bucket| {
        // NaN counts as failed.
        let kept = b.mean.value <= sum / width + FAILURE;
        b.start >= trained && !kept
    };
    let losses = info.record.scale == Scale::Exp && width > 0.0;
    Some(Profile {
        length: *length,
        first_failure: losses
            .then(|| buckets.iter().find(failed))
            .flatten()
            .map(|b| b.start),
        buckets,
    })
}
