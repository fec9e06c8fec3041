//! Passkey retrieval by length, depth and distance.

use super::group::Group;
use super::{KMax, PasskeyCell, PasskeyInfo, PasskeyPoint, effective};
use crate::record::PasskeyRecord;
use crate::stats::{Estimate, mean, share};
use std::collections::{BTreeMap, BTreeSet};

/// Threshold of the definition of k_max.
const K_MAX_THRESHOLD: f64 = 0.2;

/// Trials of one seed.
type Trials<'a> = (u64, Vec<&'a PasskeyRecord>);

/// Records of all seeds put together.
struct Pool {
    accuracy: Estimate,
    hits: usize,
    trials: usize,
    symbols: f64,
    log_prob: f64,
}

fn pool(seeds: &[Vec<&PasskeyRecord>], confidence: f64) -> Pool {
    let count = |records: &Vec<&PasskeyRecord>| {
        let hits = records
            .iter()
            .flat_map(|r| &r.hits)
            .filter(|&&hit| hit)
            .count();
        (hits, records.iter().map(|r| r.hits.len()).sum::<usize>())
    };
    let counts: Vec<(usize, usize)> = seeds.iter().map(count).collect();
    let all = || seeds.iter().flatten();
    let symbols: Vec<f64> = all()
        .flat_map(|r| &r.symbols)
        .map(|&s| f64::from(s))
        .collect();
    let log_prob: Vec<f64> = all().flat_map(|r| &r.log_prob).copied().collect();
    Pool {
        accuracy: share(&counts, confidence),
        hits: counts.iter().map(|c| c.0).sum(),
        trials: counts.iter().map(|c| c.1).sum(),
        symbols: mean(&symbols),
        log_prob: mean(&log_prob),
    }
}

/// The grid of a curve: by length, then by depth.
pub(super) fn grid(group: &Group<'_>, confidence: f64) -> Vec<PasskeyCell> {
    let mut cells = Vec::new();
    for length in group.passkey_lengths() {
        let seeds = group.passkey_at(length);
        for depth in depths(&seeds) {
            let found = only(&seeds, |r| r.depth == depth);
            let pooled = pool(&found, confidence);
            let distance = found.iter().flatten().next().map_or(0, |r| r.distance);
            cells.push(PasskeyCell {
                length,
                depth,
                distance,
                accuracy: pooled.accuracy,
                hits: pooled.hits,
                trials: pooled.trials,
                symbols: pooled.symbols,
                log_prob: pooled.log_prob,
            });
        }
    }
    cells
}

/// The records that are asked for, seed by seed.
fn only<'a>(
    seeds: &[Trials<'a>],
    wanted: impl Fn(&PasskeyRecord) -> bool,
) -> Vec<Vec<&'a PasskeyRecord>> {
    seeds
        .iter()
        .map(|(_, records)| records.iter().filter(|r| wanted(r)).copied().collect())
        .collect()
}

fn depths(seeds: &[Trials<'_>]) -> Vec<f64> {
    let mut depths: Vec<f64> = seeds.iter().flat_map(|s| &s.1).map(|r| r.depth).collect();
    depths.sort_by(f64::total_cmp);
    depths.dedup();
    depths
}

/// Accuracy by length, all depths together.
pub(super) fn points(group: &Group<'_>, confidence: f64, threshold: f64) -> Vec<PasskeyPoint> {
    let Some(trained) = group.trained_length() else {
        return Vec::new();
    };
    let point = |length: usize| {
        let seeds: Vec<_> = group.passkey_at(length).into_iter().map(|s| s.1).collect();
        let pooled = pool(&seeds, confidence);
        PasskeyPoint {
            length,
            multiple: length as f64 / trained as f64,
            accuracy: pooled.accuracy,
            hits: pooled.hits,
            trials: pooled.trials,
            log_prob: pooled.log_prob,
            seeds: seeds.len(),
            service: effective::found(pooled.accuracy, threshold),
        }
    };
    group.passkey_lengths().into_iter().map(point).collect()
}

/// k_max at the definition's threshold and at the run's, for every length.
pub(super) fn k_max(group: &Group<'_>, threshold: f64, confidence: f64) -> Vec<KMax> {
    let mut thresholds = vec![K_MAX_THRESHOLD, threshold];
    thresholds.dedup();
    let mut found = Vec::new();
    for length in group.passkey_lengths() {
        let shares = by_distance(&group.passkey_at(length), confidence);
        for &threshold in &thresholds {
            let reach = |passes: &dyn Fn(&Estimate) -> bool| {
                shares
                    .iter()
                    .take_while(|(_, e)| passes(e))
                    .last()
                    .map_or(0, |(&k, _)| k)
            };
            let k = reach(&|e| e.value >= threshold);
            found.push(KMax {
                length,
                threshold,
                k,
                conservative: reach(&|e| e.interval.is_some_and(|i| i.low >= threshold)),
                at_end: shares.keys().next_back() == Some(&k),
            });
        }
    }
    found
}

/// Accuracy by distance from the key to the end of the prompt.
fn by_distance(seeds: &[Trials<'_>], confidence: f64) -> BTreeMap<usize, Estimate> {
    let distances: BTreeSet<usize> = seeds
        .iter()
        .flat_map(|s| &s.1)
        .map(|r| r.distance)
        .collect();
    let at = |distance: usize| {
        (
            distance,
            pool(&only(seeds, |r| r.distance == distance), confidence).accuracy,
        )
    };
    distances.into_iter().map(at).collect()
}

/// How the grid of a study was made.
pub(super) fn info(groups: &[Group<'_>]) -> Option<PasskeyInfo> {
    let records: Vec<_> = groups
        .iter()
        .flat_map(Group::records)
        .flat_map(|r| &r.passkey)
        .collect();
    let trials = records.iter().map(|r| r.hits.len()).min()?;
    let lengths: BTreeSet<usize> = records.iter().map(|r| r.length).collect();
    let mut depths: Vec<f64> = records.iter().map(|r| r.depth).collect();
    depths.sort_by(f64::total_cmp);
    depths.dedup();
    Some(PasskeyInfo {
        lengths: lengths.into_iter().collect(),
        depths,
        trials,
    })
}
