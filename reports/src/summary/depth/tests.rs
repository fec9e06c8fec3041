use super::*;
use crate::fixture::{self, Options as Made, found};
use crate::store::upgrade;
use crate::summary::tests::{quick, records};

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-12,
        "{found}, expected {expected}"
    );
}

#[test]
fn primacy_recency_and_basin() {
    let shares = [
        (0.0, 0.9),
        (0.2, 0.5),
        (0.3, 0.3),
        (0.5, 0.2),
        (0.7, 0.4),
        (0.9, 0.6),
        (1.0, 0.8),
    ];
    let [primacy, recency, basin] = effect(&shares).expect("both ends are there");
    close(primacy, 0.7);
    close(recency, 0.6);
    // (0.9 + 0.8) / 2 − (0.3 + 0.2 + 0.4) / 3.
    close(basin, 0.55);
    assert_eq!(effect(&shares[1..]), None);
    assert_eq!(effect(&[(0.0, 1.0), (1.0, 1.0)]), None);
}

/// All keys at the ends are found, half of them in the middle.
#[test]
fn effects_of_a_place_have_intervals() {
    let mut run = fixture::run(&Made {
        language: false,
        mishaps: false,
        ..Made::default()
    });
    for record in records(&mut run, "rope") {
        let at = |depth: f64, right: usize| {
            let hits: Vec<bool> = (0..40).map(|i| i < right).collect();
            found(64, depth, 64.0 - 60.0 * depth, &hits)
        };
        record.measures = vec![upgrade::passkey(
            vec![at(0.0, 40), at(0.5, 20), at(1.0, 30)],
            0.8,
        )];
    }
    let summary = quick(&run);
    let effects = &summary.studies[0].depth_effects;
    let rope = effects
        .iter()
        .find(|e| e.label == "rope")
        .expect("three depths");
    for (effect, expected) in [
        (rope.primacy, 0.5),
        (rope.recency, 0.25),
        (rope.basin, 0.375),
    ] {
        close(effect.value, expected);
        let interval = effect.interval.expect("forty trials");
        assert!(
            interval.contains(expected) && interval.low > 0.0,
            "{interval:?}"
        );
        // The standard error of 0.5 is 0.079.
        let half = (interval.high - interval.low) / 2.0;
        assert!((0.1..0.25).contains(&half), "{half}");
    }
}
