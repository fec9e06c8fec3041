//! Numbers of measures whose samples are trials: passkeys found, and symbols that are right.

use super::*;
use crate::record::{AlsoRecord, Column, Scale};

/// Trials of two depths and three seeds.
const ROPE: [[u8; 12]; 3] = [
    [1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0],
    [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    [1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0],
];

const ALIBI: [[u8; 12]; 3] = [
    [1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0],
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1],
    [1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1],
];

#[test]
fn retrieval() {
    let mut run = blank(&[0, 1, 2]);
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        let all = if record.scheme.name == "rope" {
            ROPE
        } else {
            ALIBI
        };
        let hits = all[record.seed as usize];
        let at = |depth: f64, hits: &[u8]| {
            let distance = if depth == 0.0 { 200.0 } else { 20.0 };
            let numbers =
                |of: &dyn Fn(f64) -> f64| Column(hits.iter().map(|&h| of(f64::from(h))).collect());
            let columns = [
                ("symbols".into(), numbers(&|h| 2.0 + 3.0 * h)),
                ("log-probability".into(), numbers(&|h| h - 1.25)),
            ];
            PointRecord {
                value: numbers(&|h| h).0,
                columns: columns.into(),
                ..found(256, depth, distance, &[])
            }
        };
        let points = vec![at(0.0, &hits[..6]), at(1.0, &hits[6..])];
        record.measures = vec![upgrade::passkey(points, 0.8)];
    }
    let summary = quick(&run);
    let study = &summary.studies[0];
    let rope = first(study, "rope");
    let column = |columns: &[(String, f64)], name: &str| {
        columns.iter().find(|c| c.0 == name).expect("a column").1
    };
    whole(
        "all depths",
        rope.points[0].mean,
        [0.611111111111, 0.373873124699, 0.805276763445],
    );
    let point = &rope.points[0];
    assert_eq!((point.sum, point.weight, point.seeds), (22.0, 36.0, 3));
    close(
        "log-probability",
        column(&point.columns, "log-probability"),
        22.0 / 36.0 - 1.25,
    );
    close("multiple", point.multiple, 2.0);
    whole(
        "depth 0",
        rope.grids[0][0].mean,
        [0.833333333333, 0.316585826191, 0.981807440833],
    );
    whole(
        "depth 1",
        rope.grids[0][1].mean,
        [0.388888888889, 0.194723236555, 0.626126875301],
    );
    close(
        "symbols",
        column(&rope.grids[0][0].columns, "symbols"),
        2.0 + 3.0 * 15.0 / 18.0,
    );
    close(
        "log-probability",
        column(&rope.grids[0][1].columns, "log-probability"),
        7.0 / 18.0 - 1.25,
    );
    whole(
        "alibi",
        first(study, "alibi").points[0].mean,
        [0.861111111111, 0.703230444535, 0.94193481826],
    );
    // By distance: 7 of 18 at 20 tokens, 15 of 18 at 200. k_max ends at the first that fails.
    let k_max = |threshold: f64| {
        let found = rope.reaches.iter().find(|k| k.threshold == threshold);
        let found = found.expect("asked");
        (found.k, found.conservative, found.at_end)
    };
    assert_eq!(
        k_max(0.2),
        (200.0, 0.0, true),
        "0.389 [0.195, 0.626], then 0.833 [0.317, 0.982]"
    );
    assert_eq!(k_max(0.8), (0.0, 0.0, false));
    let difference = study
        .differences
        .iter()
        .find(|d| d.key.of == "passkey")
        .expect("compared");
    whole(
        "difference",
        difference.difference,
        [0.25, -0.0260392623611, 0.499723472887],
    );
    close("p", difference.p.expect("tested"), 0.0641157944426);
    assert_eq!((difference.units, difference.seeds), (12, 3));
}

/// Eleven prompts of five right symbols and one of four: as t interval it would end at 1.020. Scipy: 46.8 effective symbols.
#[test]
fn symbols_right_stay_within_one_and_chance_is_that_of_the_points() {
    let mut run = blank(&[0]);
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        let at = |length: usize, depth: f64, chance: Option<f64>| {
            let symbols = (0..12).map(|i| if i == 7 { 4.0 } else { 5.0 });
            let mut point = found(length, depth, 20.0, &[true; 12]);
            point.chance = chance;
            point.columns = [
                ("symbols right".into(), Column(symbols.collect())),
                ("symbols".into(), Column(vec![5.0; 12])),
            ]
            .into();
            point
        };
        let points = vec![
            at(128, 0.0, Some(0.5)),
            at(128, 1.0, Some(0.25)),
            at(256, 0.5, None),
        ];
        let mut measure = upgrade::passkey(points, 0.8);
        measure.chance = Some(0.1);
        measure.also = vec![AlsoRecord {
            quantity: "symbols right".into(),
            value: "symbols right".into(),
            weight: "symbols".into(),
            times: 1.0,
            scale: Scale::Share,
        }];
        record.measures = vec![measure];
    }
    let summary = quick(&run);
    let study = &summary.studies[0];
    let point = first(study, "rope").at(256).expect("measured");
    whole(
        "symbols right",
        point.also[0].expect("both columns"),
        [59.0 / 60.0, 0.8957817188022409, 0.9975368932624574],
    );
    let info = &study.measures[0];
    assert_eq!(
        (info.chance_at(128), info.chance_at(256)),
        (Some(0.375), Some(0.1))
    );
}
