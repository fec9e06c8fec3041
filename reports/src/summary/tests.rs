use super::*;
use crate::fixture::{self, Options as Made, segments};
use crate::record::{CellRecord, PointRecord, State};
use crate::stats::mean_interval;
use crate::store::LoadedRun;
use crate::store::upgrade;

mod numbers;
mod retrieval;

pub(super) fn quick(run: &LoadedRun) -> Summary {
    summarise_with(
        run,
        &Options {
            resamples: 300,
            ..Options::default()
        },
    )
}

pub(super) fn language(seeds: &[u64]) -> LoadedRun {
    let seeds = seeds.to_vec();
    fixture::run(&Made {
        seeds,
        retrieval: false,
        ..Made::default()
    })
}

pub(super) fn curve<'a>(study: &'a StudySummary, label: &str) -> &'a Curve {
    study
        .curves
        .iter()
        .find(|c| c.label == label)
        .expect("the fixture has it")
}

/// The records of a scheme.
pub(super) fn records<'a>(
    run: &'a mut LoadedRun,
    scheme: &'a str,
) -> impl Iterator<Item = &'a mut CellRecord> {
    let all = run.cells.iter_mut().filter_map(|c| c.result.as_mut());
    all.filter(move |r| r.scheme.name == scheme)
}

/// Replaces the perplexities of a scheme's cells.
pub(super) fn perplexities(run: &mut LoadedRun, scheme: &str, points: &[PointRecord]) {
    for record in records(run, scheme) {
        record.measures = vec![upgrade::perplexity("fixed-target", points.to_vec())];
    }
}

/// What headlines of a curve.
pub(super) fn first<'a>(study: &'a StudySummary, label: &str) -> &'a Measured {
    let key = &study.compared().next().expect("something was measured").key;
    curve(study, label).measured(key).expect("it was measured")
}

pub(super) fn effective_length(study: &StudySummary, label: &str) -> EffectiveLength {
    first(study, label).effective.clone().expect("it was asked")
}

pub(super) fn fixed(length: usize, nats: &[f64]) -> PointRecord {
    let (n, nll) = (nats.len(), nats.iter().map(|x| x * 32.0));
    segments(
        length,
        &nll.collect::<Vec<_>>(),
        &vec![32.0; n],
        &vec![64.0; n],
    )
}

/// A model that knows nothing about V symbols: perplexity V, bits per byte log2(V)·N/B, an interval without width.
#[test]
fn a_uniform_model_has_the_perplexity_of_its_vocabulary() {
    let mut run = language(&[0]);
    let nats = 256.0_f64.ln();
    perplexities(
        &mut run,
        "rope",
        &[fixed(128, &[nats; 8]), fixed(256, &[nats; 8])],
    );
    let summary = quick(&run);
    for point in &first(&summary.studies[0], "rope").points {
        assert!((point.shown.value - 256.0).abs() < 1e-9);
        let bits = point.also[0].expect("bytes were counted");
        assert!(
            (bits.value - 8.0 * 0.5).abs() < 1e-12,
            "two bytes per token: {bits:?}"
        );
        let interval = point.shown.interval.expect("eight units");
        assert!(interval.high - interval.low < 1e-9);
        assert_eq!((point.weight, point.units, point.seeds), (256.0, 8, 1));
    }
}

#[test]
fn values_are_looked_up_by_length() {
    let mut run = language(&[0]);
    let expected = quick(&run);
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        record.measures.iter_mut().for_each(|m| m.points.reverse());
        record.refused.reverse();
    }
    run.cells.reverse();
    let shuffled = quick(&run);
    let by_label = |s: &Summary| {
        let mut curves = s.studies[0].curves.clone();
        curves.sort_by(|a, b| a.label.cmp(&b.label));
        curves
            .iter()
            .map(|c| (c.label.clone(), c.index, c.measured.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        by_label(&shuffled),
        by_label(&expected),
        "indices come from the plan, not from the files"
    );
}

#[test]
fn a_summary_is_pure() {
    let run = language(&[0, 1]);
    assert_eq!(quick(&run), quick(&run));
}

#[test]
fn seeds_are_the_outer_unit() {
    let mut run = language(&[0, 1, 2]);
    let levels = [2.0, 2.1, 2.4];
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        let points = vec![fixed(128, &[levels[record.seed as usize]; 40])];
        record.measures = vec![upgrade::perplexity("fixed-target", points)];
    }
    let summary = quick(&run);
    let study = &summary.studies[0];
    let point = &first(study, "rope").points[0];
    let expected = mean_interval(&levels, 0.95);
    let (found, want) = (
        point.mean.interval.expect("three seeds"),
        expected.interval.expect("three"),
    );
    assert!((found.low - want.low).abs() < 1e-9 && (found.high - want.high).abs() < 1e-9);
    assert_eq!((point.seeds, point.units), (3, 40));
    assert!(
        study.interval_basis.contains("3 seeds"),
        "{}",
        study.interval_basis
    );
    let one = quick(&language(&[0]));
    assert!(one.studies[0].interval_basis.contains("there is one seed"));
}

#[test]
fn differences_are_paired_and_corrected() {
    let mut run = language(&[0]);
    let base: Vec<f64> = (0..12).map(|i| 2.0 + 0.5 * f64::from(i % 5)).collect();
    let shifted: Vec<f64> = base
        .iter()
        .enumerate()
        .map(|(i, x)| x + 0.05 + 0.001 * (i % 3) as f64)
        .collect();
    for name in ["nope", "alibi", "learned", "pi-x4", "yarn-x4"] {
        perplexities(&mut run, name, &[fixed(128, &base)]);
    }
    perplexities(&mut run, "rope", &[fixed(128, &base)]);
    perplexities(&mut run, "nope", &[fixed(128, &shifted)]);
    let summary = quick(&run);
    let study = &summary.studies[0];
    assert_eq!(
        study.reference,
        Some(Reference {
            label: "rope".into(),
            declared: true
        })
    );
    let nope = study
        .differences
        .iter()
        .find(|d| d.label == "nope")
        .expect("compared");
    assert!((nope.difference.value - 0.051).abs() < 1e-9);
    assert_eq!(
        nope.outcome,
        Outcome::WorseOnce,
        "0.05 of 0.7 spread, but paired: {nope:?}"
    );
    let interval = nope.difference.interval.expect("twelve units");
    assert!(
        interval.low > 0.049 && interval.high < 0.053,
        "{interval:?}"
    );
    let others: Vec<_> = study
        .differences
        .iter()
        .filter(|d| d.label != "nope")
        .collect();
    assert!(others.iter().all(|d| d.outcome == Outcome::NoDifference));
    let n = study.differences.len() as f64;
    assert!(
        (nope.p_adjusted.expect("tested") / nope.p.expect("tested") - n).abs() < 1e-9,
        "{n} comparisons"
    );
}

#[test]
fn mishaps_are_told() {
    let mut run = fixture::run(&Made {
        seeds: vec![0, 1],
        ..Made::default()
    });
    run.cells[0].result = None;
    run.cells[0].status = None;
    let summary = quick(&run);
    let counts = summary.run.counts;
    assert_eq!(
        (
            counts.planned,
            counts.diverged,
            counts.failed,
            counts.unfinished
        ),
        (36, 2, 1, 1)
    );
    assert_eq!(counts.done + 4, counts.planned);
    let all = summary.problems.join("\n");
    assert!(
        all.contains("language/wild_50%/s0 diverged: loss inf at step 313"),
        "{all}"
    );
    assert!(
        all.contains("retrieval/nope/s1 failed: its process ended"),
        "{all}"
    );
    assert!(
        all.contains("1 of 36 cells are not done yet: language/nope/s0."),
        "{all}"
    );
    let absent = &summary.studies[0].absent;
    assert_eq!(absent.len(), 1);
    assert_eq!(
        (absent[0].label.as_str(), absent[0].state),
        ("wild_50%", State::Diverged)
    );
    let learned = curve(&summary.studies[0], "learned");
    assert_eq!(
        learned.refused.iter().map(|r| r.length).collect::<Vec<_>>(),
        [256, 512, 1024]
    );
}

#[test]
fn mixed_data_is_a_problem() {
    let mut run = language(&[0]);
    run.cells[1]
        .result
        .as_mut()
        .expect("rope has a result")
        .data
        .hash = "other".into();
    assert!(
        quick(&run)
            .problems
            .iter()
            .any(|p| p.contains("2 different data sets"))
    );
}

#[test]
fn small_runs_summarise() {
    for options in [
        Made {
            only: Some("rope"),
            ..Made::default()
        },
        Made {
            language: false,
            ..Made::default()
        },
        Made {
            multiples: vec![1],
            ..Made::default()
        },
        Made {
            multiples: vec![2, 4],
            ..Made::default()
        },
        Made {
            units: 1,
            trials: 1,
            ..Made::default()
        },
    ] {
        let summary = quick(&fixture::run(&options));
        assert!(
            summary.studies.iter().all(|s| !s.curves.is_empty()),
            "{options:?}"
        );
    }
    let mut empty = language(&[0]);
    for cell in &mut empty.cells {
        (cell.result, cell.status) = (None, None);
    }
    let summary = quick(&empty);
    assert!(summary.studies[0].curves.is_empty() && summary.studies[0].absent.len() == 9);
    assert!(summary.studies[0].interval_basis.contains("No cell"));
}

#[test]
fn two_runs_compare_over_the_same_data_only() -> Result<(), Box<dyn std::error::Error>> {
    let first = language(&[0]);
    let mut second = first.clone();
    for record in second
        .cells
        .iter_mut()
        .filter_map(|c| c.result.as_mut())
        .filter(|r| r.scheme.name == "rope")
    {
        for p in record.measures.iter_mut().flat_map(|m| &mut m.points) {
            let weights = p.weight.clone();
            p.value
                .iter_mut()
                .zip(&weights)
                .for_each(|(nll, n)| *nll -= 0.1 * n);
        }
    }
    let found = compare(&first, &second, false)?;
    let differences = &found.studies[0].differences;
    let rope: Vec<_> = differences.iter().filter(|d| d.label == "rope").collect();
    assert_eq!(rope.len(), 4);
    assert!(
        rope.iter()
            .all(|d| (d.difference.value + 0.1).abs() < 1e-9 && d.outcome == Outcome::BetterOnce)
    );
    assert!(
        differences
            .iter()
            .filter(|d| d.label != "rope")
            .all(|d| d.outcome == Outcome::NoDifference)
    );
    let mut lost = second.clone();
    lost.cells[1].result = None;
    let error = compare(&first, &lost, false)
        .expect_err("rope is missing")
        .to_string();
    assert!(
        error.contains("language: rope has no result in the second run"),
        "{error}"
    );
    assert!(
        compare(&first, &lost, true)?
            .left_out
            .iter()
            .any(|s| s.contains("rope"))
    );
    for record in second.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        record.data.hash = "feed".into();
    }
    let error = compare(&first, &second, true)
        .expect_err("other data")
        .to_string();
    assert!(
        error.contains("read different data") && error.contains("feed in the second"),
        "{error}"
    );
    Ok(())
}
