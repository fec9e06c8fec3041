//! The numbers of a page against numpy: sums of a few losses, trials and costs, written out apart from this project (the
//! ratio of sums with its crossed variance of seeds and units, Student's quantiles by integration, Holm, Wilson with Korn
//! and Graubard's effective number, Agresti and Min's paired shares with the spread between seeds added).

mod trials;

use super::*;
use crate::export::{Format, files};
use crate::fixture::{self, Options as Made, found, segments};
use crate::record::{Cost, PointRecord};
use crate::store::upgrade;
use crate::table::tables;
use serde_json::Value;

const TOKENS: [f64; 5] = [32.0, 30.0, 32.0, 28.0, 32.0];
const BYTES: [f64; 5] = [70.0, 61.0, 75.0, 50.0, 64.0];
/// Losses of five segments: (scheme, length), one row per seed.
const LOSSES: [(&str, usize, [[f64; 5]; 2]); 4] = [
    (
        "rope",
        128,
        [
            [64.1, 58.2, 70.3, 50.9, 61.7],
            [65.0, 60.1, 69.4, 52.2, 63.1],
        ],
    ),
    (
        "rope",
        256,
        [
            [66.0, 61.5, 71.9, 55.2, 62.0],
            [67.9, 62.2, 73.3, 54.0, 66.8],
        ],
    ),
    (
        "alibi",
        128,
        [
            [66.2, 59.9, 73.0, 51.1, 64.0],
            [66.1, 61.9, 70.8, 54.9, 64.2],
        ],
    ),
    (
        "alibi",
        256,
        [
            [65.9, 60.3, 73.4, 51.0, 63.5],
            [66.6, 61.1, 71.2, 54.4, 64.4],
        ],
    ),
];

/// Two schemes alone, with nothing measured yet.
fn blank(seeds: &[u64]) -> LoadedRun {
    let mut run = fixture::run(&Made {
        seeds: seeds.to_vec(),
        retrieval: false,
        mishaps: false,
        ..Made::default()
    });
    let kept = |scheme: &str| scheme == "rope" || scheme == "alibi";
    run.cells.retain(|c| kept(&c.planned.scheme));
    run.plan.cells.retain(|c| kept(&c.scheme));
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        record.measures.clear();
    }
    run
}

fn losses() -> LoadedRun {
    let mut run = blank(&[0, 1]);
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        let mine = LOSSES.iter().filter(|l| l.0 == record.scheme.name);
        let points = mine
            .map(|(_, length, nll)| segments(*length, &nll[record.seed as usize], &TOKENS, &BYTES));
        record.measures = vec![upgrade::perplexity("fixed-target", points.collect())];
    }
    run
}

fn close(what: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{what}: {found}, expected {expected}"
    );
}

fn whole(what: &str, found: Estimate, [value, low, high]: [f64; 3]) {
    let interval = found
        .interval
        .unwrap_or_else(|| panic!("{what} has an interval"));
    close(what, found.value, value);
    close(&format!("{what}, low"), interval.low, low);
    close(&format!("{what}, high"), interval.high, high);
}

#[test]
fn losses_perplexities_and_bits() {
    let summary = quick(&losses());
    let study = &summary.studies[0];
    for (label, length, nll, perplexity, bits) in [
        (
            "rope",
            128,
            [1.99675324675, 1.75394872311, 2.2395577704],
            [7.36510456046, 5.77737093175, 9.38917819668],
            [1.38633976585, 1.23762558234, 1.53505394937],
        ),
        (
            "rope",
            256,
            [2.08051948052, 1.73588418283, 2.42515477821],
            [8.0086281602, 5.673942389, 11.3039788935],
            [1.44449840969, 1.21242444176, 1.67657237762],
        ),
        (
            "alibi",
            128,
            [2.05227272727, 1.83718130323, 2.26736415131],
            [7.78557550394, 6.27881521867, 9.65392097339],
            [1.42488677398, 1.29999196628, 1.54978158167],
        ),
        (
            "alibi",
            256,
            [2.0512987013, 1.82964301841, 2.27295438419],
            [7.77799584317, 6.23166167292, 9.70803976718],
            [1.42421051068, 1.30456210843, 1.54385891293],
        ),
    ] {
        let point = first(study, label).at(length).expect("a point");
        whole("loss", point.mean, nll);
        whole("perplexity", point.shown, perplexity);
        whole("bits per byte", point.also[0].expect("bytes"), bits);
        // 154 tokens of each seed.
        assert_eq!((point.weight, point.units, point.seeds), (308.0, 5, 2));
        close("multiple", point.multiple, length as f64 / 128.0);
    }
}

#[test]
fn changes_from_the_trained_length_and_differences_to_the_reference() {
    let summary = quick(&losses());
    let study = &summary.studies[0];
    for (label, change, rises, service) in [
        (
            "rope",
            [0.0837662337662, -0.039995500677, 0.207527968209],
            false,
            Service::NotShown,
        ),
        (
            "alibi",
            [-0.000974025974026, -0.00509941712214, 0.00315136517409],
            false,
            Service::Served,
        ),
    ] {
        let points = &first(study, label).points;
        assert_eq!((points.len(), points[1].length), (2, 256));
        let found = points[1].change.expect("another length");
        whole(label, found.mean, change);
        assert_eq!(
            (found.worse, points[1].service),
            (Some(rises), Some(service))
        );
        assert_eq!(
            (points[0].change, points[0].service),
            (None, Some(Service::Served))
        );
        close("multiple", points[1].multiple, 2.0);
    }
    assert_eq!(study.differences.len(), 2);
    // Two comparisons: each interval at 97.5 %. By itself the first would be [0.018, 0.093].
    for (i, length, difference, p) in [
        (
            0,
            128,
            [0.0555194805195, -0.0188523689007, 0.12989132994],
            0.0334754167131,
        ),
        (
            1,
            256,
            [-0.0292207792208, -0.359762332199, 0.301320773758],
            0.266249877495,
        ),
    ] {
        let found = &study.differences[i];
        assert_eq!((found.label.as_str(), found.length), ("alibi", length));
        whole("difference", found.difference, difference);
        close("p", found.p.expect("tested"), p);
        close("p of both", found.p_adjusted.expect("tested"), 2.0 * p);
        assert_eq!(found.outcome, Outcome::NoDifference, "0.067 is above 0.05");
        assert_eq!((found.units, found.seeds), (5, 2));
    }
}

/// One cell's file: perplexity with the error of exp(x), bits with theirs.
#[test]
fn numbers_of_the_lm_eval_layout() {
    let mut run = losses();
    let record = run.cells[0].result.as_mut().expect("a result");
    assert_eq!((record.scheme.name.as_str(), record.seed), ("rope", 0));
    let trials = vec![
        found(64, 0.0, 64.0, &[true, true, false, true]),
        found(64, 1.0, 4.0, &[false]),
    ];
    record.measures.push(upgrade::passkey(trials, 0.8));
    let file = &files(&run, Format::LmEval).expect("files")[0].1;
    let file: Value = serde_json::from_slice(file).expect("JSON");
    let number = |task: &str, key: &str| file["results"][task][key].as_f64().expect("a number");
    for (key, expected) in [
        ("perplexity,none", 7.255923587505142),
        ("perplexity_stderr,none", 0.45139237496264295),
        ("bits_per_byte,none", 1.3759703952478488),
        ("bits_per_byte_stderr,none", 0.0221791284452355),
    ] {
        close(key, number("farspan_fixed_target_128", key), expected);
    }
    // 3 of 5; sqrt(0.6 · 0.4 / 4).
    close(
        "share",
        number("farspan_passkey_64", "exact_match,none"),
        0.6,
    );
    let error = number("farspan_passkey_64", "exact_match_stderr,none");
    close("its error", error, 0.06_f64.sqrt());
}

#[test]
fn costs_are_means_over_seeds_and_multiples_of_the_reference() {
    let mut run = losses();
    let mib = 1 << 20;
    for cell in &mut run.cells {
        let (speed, memory) = match (cell.planned.scheme.as_str(), cell.planned.seed) {
            ("rope", 0) => (1000.0, 100 * mib),
            ("rope", _) => (1400.0, 120 * mib),
            (_, 0) => (900.0, 240 * mib),
            _ => (1500.0, 210 * mib),
        };
        cell.cost = Some(Cost {
            train_seconds: speed / 100.0,
            evaluate_seconds: speed / 1000.0,
            train_tokens_per_second: speed,
            peak_memory_bytes: memory,
            threads: 2,
            jobs: 1,
            ..Cost::default()
        });
    }
    let summary = quick(&run);
    let cost = curve(&summary.studies[0], "alibi")
        .cost
        .clone()
        .expect("a cost");
    close("speed", cost.tokens_per_second.expect("trained"), 1200.0);
    close(
        "relative speed",
        cost.relative_speed.expect("a reference"),
        1.0,
    );
    assert_eq!(cost.peak_memory_bytes, 240 * mib);
    close(
        "relative memory",
        cost.relative_memory.expect("a reference"),
        2.0,
    );
    close("training", cost.train_seconds, 12.0);
    close("evaluation", cost.evaluate_seconds, 1.2);
    let tables = tables(&summary);
    let table = tables
        .iter()
        .find(|t| t.slug == "language-cost")
        .expect("a table");
    let row = table
        .wide
        .rows
        .iter()
        .find(|r| r[0] == "alibi")
        .expect("a row");
    assert_eq!(row[1..], ["1200", "1.00", "240", "2.00"]);
    for cell in run.cells.iter_mut().filter(|c| c.planned.scheme == "alibi") {
        cell.cost.as_mut().expect("a cost").train_tokens_per_second = 300.0;
    }
    let slow = quick(&run);
    let cost = curve(&slow.studies[0], "alibi")
        .cost
        .clone()
        .expect("a cost");
    close(
        "relative speed",
        cost.relative_speed.expect("a reference"),
        0.25,
    );
}

/// Trained at 128. The second half of it has a loss of 2.0 over 16 tokens and 2.3 over 48: 2.225 on average.
fn positions(past: [f64; 2]) -> Option<Profile> {
    let mut run = losses();
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        let shift = if record.seed == 0 { -0.01 } else { 0.01 };
        let row = |unit: f64| {
            [5.0, 4.0, 2.0, 2.3, past[0], past[1]]
                .map(|x| x + shift + unit)
                .to_vec()
        };
        let rows: [Vec<f64>; 3] = [row(-0.3), row(0.1), row(0.2)];
        let starts = [0.0, 32.0, 64.0, 80.0, 128.0, 192.0]
            .into_iter()
            .enumerate();
        let point = |(i, start): (usize, f64)| PointRecord {
            length: 256,
            at: vec![start],
            value: rows.iter().map(|row| row[i]).collect(),
            ..PointRecord::default()
        };
        record
            .measures
            .push(upgrade::position(starts.map(point).collect()));
    }
    curve(&quick(&run).studies[0], "rope").measured[1]
        .profile
        .clone()
}

#[test]
fn loss_by_position_fails_where_it_exceeds_that_of_the_trained_half_by_a_tenth() {
    for (past, failure) in [
        ([2.32, 2.32], None),
        ([2.32, 2.33], Some(192.0)),
        ([2.33, 2.0], Some(128.0)),
        ([2.0, 2.0], None),
        ([2.0, f64::INFINITY], Some(192.0)),
        ([f64::NAN, 2.0], Some(128.0)),
    ] {
        let found = positions(past).expect("measured");
        assert_eq!(found.first_failure, failure, "{past:?}");
    }
    let found = positions([2.5, 2.6]).expect("measured");
    let ranges: Vec<_> = found.buckets.iter().map(|b| (b.start, b.end)).collect();
    assert_eq!(
        ranges,
        [
            (0.0, 32.0),
            (32.0, 64.0),
            (64.0, 80.0),
            (80.0, 128.0),
            (128.0, 192.0),
            (192.0, 256.0)
        ]
    );
    close("bucket", found.buckets[4].mean.value, 2.5);
    let interval = found.buckets[4].mean.interval.expect("an interval");
    // numpy: seeds 12.7062² · 1e-4, units 4.3027² · (0.09 + 0.01 + 0.04) / 6; nothing of both together.
    let half =
        (12.706204736174712_f64.powi(2) * 1e-4 + 4.302652729749462_f64.powi(2) * 0.14 / 6.0).sqrt();
    close("its interval", interval.high - 2.5, half);
}
