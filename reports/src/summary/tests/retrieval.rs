//! Retrieval: how far back keys are found, and with which intervals and differences.

use super::*;
use crate::stats::wilson;

/// A recency model finds a key exactly when its distance is at most w: k_max is w, and the effective length follows.
#[test]
fn a_recency_model_has_its_window_as_k_max() {
    let mut run = fixture::run(&Made {
        language: false,
        ..Made::default()
    });
    let w = 100.0;
    for record in records(&mut run, "rope") {
        for p in &mut record.measures[0].points {
            let hit = f64::from(u8::from(p.facts["distance"] <= w));
            p.value.fill(hit);
        }
    }
    let expected = |length: usize| {
        let tested = run
            .cells
            .iter()
            .filter_map(|c| c.result.as_ref())
            .find(|r| r.scheme.name == "rope");
        let distances = tested
            .into_iter()
            .flat_map(|r| &r.measures[0].points)
            .filter(|p| p.length == length);
        distances
            .map(|p| p.facts["distance"])
            .filter(|&d| d <= w)
            .fold(0.0, f64::max)
    };
    let summary = quick(&run);
    for k in &first(&summary.studies[0], "rope").reaches {
        assert_eq!(k.k, expected(k.length), "length {}", k.length);
        assert_eq!(k.at_end, k.length == 64, "length {}", k.length);
    }
    let effective = effective_length(&summary.studies[0], "rope");
    // At 128 nine of eleven distances are within it (0.818, Wilson's lower end 0.762), at 256 four.
    assert_eq!((effective.length, effective.high), (64, 128));
}

#[test]
fn passkey_intervals_are_wilson_s() {
    let summary = quick(&fixture::run(&Made {
        language: false,
        ..Made::default()
    }));
    let alibi = first(&summary.studies[0], "alibi");
    for cell in &alibi.grids[0] {
        assert_eq!(cell.units, 20);
        let expected = wilson(cell.sum, 20.0, 0.95);
        assert_eq!(cell.mean.interval, Some(expected));
    }
    let at_128 = alibi.grids[0].iter().filter(|c| c.length == 128);
    let total: f64 = at_128.map(|c| c.sum).sum();
    let point = alibi.at(128).expect("128 is evaluated");
    assert_eq!((point.sum, point.weight, point.units), (total, 220.0, 220));
}

/// A hole ends k_max, which is defined so; an effective length counts what lies behind it, and says so.
#[test]
fn a_hole_ends_k_max_and_is_told_of_an_effective_length() {
    let mut run = fixture::run(&Made {
        language: false,
        ..Made::default()
    });
    for record in records(&mut run, "rope") {
        for p in &mut record.measures[0].points {
            // At 128 the middle third fails; 256 fails; 512 works again.
            let hit = match p.length {
                128 => !(0.35..0.65).contains(&p.at[0]),
                256 => false,
                _ => true,
            };
            p.value.fill(f64::from(u8::from(hit)));
        }
    }
    let summary = quick(&run);
    let rope = first(&summary.studies[0], "rope");
    let at_128 = rope.grids[0].iter().filter(|c| c.length == 128);
    let before_hole = at_128
        .filter(|c| c.at > 0.65)
        .filter_map(|c| c.distance)
        .fold(0.0, f64::max);
    for k in rope.reaches.iter().filter(|k| k.length == 128) {
        assert_eq!(k.k, before_hole);
        assert!(!k.at_end);
    }
    assert!(
        rope.reaches
            .iter()
            .filter(|k| k.length == 256)
            .all(|k| k.k == 0.0)
    );
    let effective = effective_length(&summary.studies[0], "rope");
    // 8 of 11 at 128: 0.727 [0.665, 0.782].
    assert_eq!((effective.length, effective.at_end), (512, true));
    assert_eq!(effective.holes(), "not at 128 and 256");
}

#[test]
fn retrieval_differences_point_the_right_way() {
    let summary = quick(&fixture::run(&Made {
        language: false,
        ..Made::default()
    }));
    let study = &summary.studies[0];
    let share = |label: &str| {
        first(study, label)
            .at(128)
            .expect("128 is evaluated")
            .mean
            .value
    };
    let found = study
        .differences
        .iter()
        .find(|d| d.label == "alibi" && d.length == 128)
        .expect("compared");
    assert_eq!(found.key.of, "passkey");
    assert!((found.difference.value - (share("alibi") - share("rope"))).abs() < 1e-12);
    assert!(
        found.difference.value > 0.5,
        "alibi reaches 96 tokens back, rope nothing past its window"
    );
    assert_eq!(found.outcome, Outcome::BetterOnce);
    assert_eq!((found.units, found.seeds), (220, 1));
}
