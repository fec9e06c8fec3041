//! What curves cost in time and memory, and how their training went.

use super::group::Group;
use super::{CostSummary, Curve, SeedTraining, TrainingCurve};
use crate::record::Cost;
use crate::stats::mean;
use std::collections::{BTreeMap, BTreeSet};

/// Loss while training, seed by seed and on average.
pub(super) fn training(group: &Group<'_>) -> TrainingCurve {
    let seeds: Vec<SeedTraining> = group
        .records()
        .map(|r| SeedTraining {
            seed: r.seed,
            train: r.train.curve.clone(),
            validation: r.train.validation.clone(),
        })
        .collect();
    let train: Vec<_> = seeds.iter().map(|s| s.train.as_slice()).collect();
    let validation: Vec<_> = seeds.iter().map(|s| s.validation.as_slice()).collect();
    TrainingCurve {
        train: average(&train),
        validation: average(&validation),
        seeds,
    }
}

/// Mean over curves at the steps that all have.
fn average(curves: &[&[(u64, f64)]]) -> Vec<(u64, f64)> {
    let Some((first, rest)) = curves.split_first() else {
        return Vec::new();
    };
    let at = |&(step, value): &(u64, f64)| {
        let others = rest
            .iter()
            .map(|c| c.iter().find(|p| p.0 == step).map(|p| p.1));
        let values: Option<Vec<f64>> = [Some(value)].into_iter().chain(others).collect();
        values.map(|v| (step, mean(&v)))
    };
    first.iter().filter_map(at).collect()
}

/// What a curve cost; `None` if no cell wrote it down.
pub(super) fn cost(group: &Group<'_>) -> Option<CostSummary> {
    let seeds: Vec<_> = group
        .cells
        .iter()
        .filter_map(|(cell, record)| cell.cost.as_ref().map(|cost| (record.seed, cost.clone())))
        .collect();
    let costs = || seeds.iter().map(|s| &s.1);
    let speeds: Vec<f64> = costs().map(speed).filter(|&speed| speed > 0.0).collect();
    Some(CostSummary {
        tokens_per_second: (!speeds.is_empty()).then(|| mean(&speeds)),
        relative_speed: None,
        peak_memory_bytes: costs().map(|c| c.peak_memory_bytes).max()?,
        relative_memory: None,
        train_seconds: mean(&costs().map(|c| c.train_seconds).collect::<Vec<_>>()),
        evaluate_seconds: mean(&costs().map(|c| c.evaluate_seconds).collect::<Vec<_>>()),
        seeds,
    })
}

/// The machine that most of these cells ran on, for processor time says nothing beside that of another machine.
pub(crate) fn usual_machine<'a>(costs: impl Iterator<Item = &'a Cost>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for cost in costs {
        *counts.entry(&cost.machine).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(_, count)| count);
    most.map(|(machine, _)| machine)
}

/// Training tokens per second. On a CPU that tells processor time it is what the cell's threads do when nothing else runs
/// beside them: time on the clock grows with the rest of the load. Training has its share of the time on the clock.
fn speed(cost: &Cost) -> f64 {
    let clock = cost.train_seconds + cost.evaluate_seconds;
    let busy = cost.cpu_seconds / cost.threads.max(1) as f64;
    if cost.device.starts_with("cpu") && busy > 0.0 && clock > 0.0 {
        cost.train_tokens_per_second * clock / busy
    } else {
        cost.train_tokens_per_second
    }
}

/// Puts every curve's cost in relation to the reference's, its speed where both ran on machines of the same kind.
pub(super) fn relate(curves: &mut [Curve], reference: Option<&str>) {
    let baseline = curves.iter().find(|c| Some(c.label.as_str()) == reference);
    let Some(baseline) = baseline.and_then(|c| c.cost.clone()) else {
        return;
    };
    let machines = |cost: &CostSummary| -> BTreeSet<String> {
        let seeds = cost.seeds.iter();
        seeds.map(|(_, cost)| cost.machine.clone()).collect()
    };
    let own = machines(&baseline);
    for cost in curves.iter_mut().filter_map(|c| c.cost.as_mut()) {
        let same = machines(cost) == own;
        let speeds = cost.tokens_per_second.zip(baseline.tokens_per_second);
        cost.relative_speed = speeds.filter(|_| same).map(|(a, b)| a / b);
        let memory = baseline.peak_memory_bytes as f64;
        cost.relative_memory = (memory > 0.0).then(|| cost.peak_memory_bytes as f64 / memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_machine_is_that_of_most_cells() {
        let on = |machine: &str| Cost {
            machine: machine.into(),
            ..Cost::default()
        };
        let costs = [on("wide"), on("narrow"), on("wide")];
        assert_eq!(usual_machine(costs.iter()), Some("wide"));
        assert_eq!(usual_machine([].into_iter()), None);
    }

    /// 1000 tokens in 4 s of training that waited for half of it, and 1 s of measuring that did as well.
    #[test]
    fn speed_is_that_of_an_idle_machine_where_processor_time_is_told() {
        let mut cost = Cost {
            train_seconds: 4.0,
            evaluate_seconds: 1.0,
            train_tokens_per_second: 250.0,
            cpu_seconds: 5.0,
            threads: 2,
            device: "cpu".into(),
            ..Cost::default()
        };
        assert!((speed(&cost) - 500.0).abs() < 1e-9, "{}", speed(&cost));
        cost.device = "wgpu:0: a card".into();
        assert!((speed(&cost) - 250.0).abs() < 1e-9);
        (cost.device, cost.cpu_seconds) = ("cpu".into(), 0.0);
        assert!((speed(&cost) - 250.0).abs() < 1e-9);
    }
}
