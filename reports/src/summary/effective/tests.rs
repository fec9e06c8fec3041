//! Shares of the simulation: numpy, 200,000 repetitions of the t interval of a mean.

use super::*;
use crate::fixture::{self, Options as Made};
use crate::stats::Panel;
use crate::store::{LoadedRun, upgrade};
use crate::summary::tests::{
    effective_length, first, fixed, language, perplexities, quick, records,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

const MARGIN: f64 = 0.05;

/// Standard normal draws.
struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Rises of a loss over `units` segments that spread by 0.06 nats around `rise`.
fn rises(dice: &mut Dice, rise: f64, units: usize) -> Estimate {
    let level: Vec<f64> = (0..units).map(|_| 2.0 + 0.5 * dice.normal()).collect();
    let panel = |losses: Vec<f64>| {
        let row = losses.into_iter().map(|x| (64.0 * x, 64.0)).collect();
        Panel::new(vec![row]).expect("units")
    };
    let far = level.iter().map(|x| x + rise + 0.06 * dice.normal());
    let contrast = panel(far.collect()).contrast();
    contrast
        .minus(&panel(level).contrast())
        .expect("same shape")
        .estimate(0.95)
}

#[test]
fn a_length_is_served_as_often_as_its_interval_promises() {
    let mut dice = Dice::new(3);
    for (rise, units, served, lost) in [
        (0.0, 4, 0.2182, 0.0005),
        (0.0, 32, 0.9954, 0.0),
        (0.0, 128, 1.0, 0.0),
        (0.02, 4, 0.1086, 0.0032),
        (0.02, 32, 0.7824, 0.0),
        (0.02, 128, 0.9999, 0.0),
        (0.1, 4, 0.0006, 0.2168),
        (0.1, 32, 0.0, 0.9954),
        (0.1, 128, 0.0, 1.0),
        // At the margin itself the rule errs as often as an interval misses on one side.
        (MARGIN, 4, 0.025, 0.025),
        (MARGIN, 32, 0.025, 0.025),
    ] {
        let trials = 4000;
        let mut seen = [0.0; 2];
        for _ in 0..trials {
            match kept(rises(&mut dice, rise, units), MARGIN) {
                Service::Served => seen[0] += 1.0 / f64::from(trials),
                Service::NotServed => seen[1] += 1.0 / f64::from(trials),
                Service::NotShown => {}
            }
        }
        // Three standard errors of a share of 4000 are at most 0.024.
        assert!(
            (seen[0] - served).abs() < 0.024 && (seen[1] - lost).abs() < 0.024,
            "a rise of {rise} over {units} segments: {seen:?}, expected {served} and {lost}"
        );
        let wrong = if rise < MARGIN { seen[1] } else { seen[0] };
        assert!(wrong < 0.04, "{rise} over {units}: {wrong}");
    }
}

#[test]
fn the_bound_is_asked_of_the_whole_interval() {
    let over = |low: f64, high: f64| Estimate {
        value: (low + high) / 2.0,
        interval: Some(Interval { low, high }),
    };
    for (low, high, service) in [
        (-0.2, 0.049, Service::Served),
        (0.01, 0.049, Service::Served),
        (-0.2, 0.05, Service::NotShown),
        (0.049, 0.2, Service::NotShown),
        (0.05, 0.2, Service::NotServed),
    ] {
        assert_eq!(kept(over(low, high), MARGIN), service, "{low} to {high}");
    }
    for (low, high, service) in [
        (0.8, 0.9, Service::Served),
        (0.79, 0.9, Service::NotShown),
        (0.6, 0.8, Service::NotShown),
        (0.6, 0.79, Service::NotServed),
    ] {
        assert_eq!(
            found(over(low, high), 0.8, Better::Higher),
            service,
            "{low} to {high}"
        );
    }
    let unknown = Estimate {
        value: 0.0,
        interval: None,
    };
    assert_eq!(kept(unknown, MARGIN), Service::NotShown);
}

/// A run whose curve rises by `rise` nats at 256, 512 and 1024, read on so many segments.
fn rising(rise: f64, units: usize) -> LoadedRun {
    let mut dice = Dice::new(units as u64);
    let level: Vec<f64> = (0..units).map(|_| 2.0 + 0.3 * dice.normal()).collect();
    let mut run = language(&[0]);
    let mut records = vec![fixed(128, &level)];
    for length in [256, 512, 1024] {
        let far: Vec<f64> = level
            .iter()
            .map(|x| x + rise + 0.06 * dice.normal())
            .collect();
        records.push(fixed(length, &far));
    }
    perplexities(&mut run, "alibi", &records);
    run
}

/// With four segments ALiBi once was said to reach 8 times its trained length, and twice with 32.
#[test]
fn more_segments_lengthen_a_small_rise_and_shorten_a_large_one() {
    let of = |rise: f64, units: usize| {
        effective_length(&quick(&rising(rise, units)).studies[0], "alibi")
    };
    for rise in [0.0, 0.02] {
        let few = of(rise, 3);
        assert!(
            few.length < 1024 && few.high == 1024,
            "{rise}, 3 segments: {few:?}"
        );
        for units in [64, 128, 512] {
            let many = of(rise, units);
            assert_eq!(
                (many.length, many.at_end, many.gaps.len()),
                (1024, true, 0),
                "{rise}, {units} segments"
            );
        }
    }
    for units in [3, 32, 128, 512] {
        let large = of(0.1, units);
        assert_eq!(large.length, 128, "{units} segments");
    }
    assert_eq!(of(0.1, 128).high, 128);
}

/// The margin comes from the plan.
#[test]
fn a_wider_margin_serves_more() {
    let mut run = rising(0.1, 128);
    run.plan.margin = 0.2;
    let summary = quick(&run);
    let found = effective_length(&summary.studies[0], "alibi");
    assert_eq!(found.length, 1024);
    assert!(found.rule.contains("less than 0.2 nats"), "{}", found.rule);
    let said: Vec<&str> = summary.studies[0]
        .verdict
        .iter()
        .map(|s| s.text.as_str())
        .collect();
    let sentence = said.iter().find(|t| t.contains("is excluded for"));
    assert!(
        sentence.is_some_and(|t| t.contains("by 0.2 nats") && t.contains("alibi")),
        "{said:?}"
    );
}

/// Trained at 128. The losses: +0.3 at 256 for one curve; another is level to 512 and rises at 1024.
#[test]
fn lengths_count_by_themselves() {
    let mut run = language(&[0]);
    let wave = |shift: f64, size: f64| -> Vec<f64> {
        (0..16)
            .map(|i| 2.0 + shift + 0.3 * f64::from(i % 4) + size * f64::from(i % 2))
            .collect()
    };
    let level = |l| fixed(l, &wave(0.0, if l == 128 { 0.0 } else { 0.01 }));
    // What a shorter window than the trained one loses is no hole.
    let late = [
        fixed(64, &wave(0.5, 0.0)),
        level(128),
        fixed(256, &wave(-0.004, 0.01)),
        fixed(512, &wave(-0.006, 0.01)),
        fixed(1024, &wave(0.2, 0.01)),
    ];
    perplexities(&mut run, "rope", &late);
    let hole = [
        level(128),
        fixed(256, &wave(0.3, 0.01)),
        fixed(512, &wave(0.0, 0.0)),
    ];
    perplexities(&mut run, "nope", &hole);
    let summary = quick(&run);
    let study = &summary.studies[0];
    let of = |label| effective_length(study, label);
    let rope = of("rope");
    assert_eq!((rope.length, rope.at_end, rope.longest), (512, false, 1024));
    assert_eq!((rope.high, rope.multiple, rope.gaps), (512, 4.0, vec![]));
    let nope = of("nope");
    assert_eq!((nope.length, nope.high, nope.at_end), (512, 512, true));
    assert_eq!(nope.gaps, [(256, Service::NotServed)]);
    assert_eq!(nope.holes(), "not at 256");
    let said = "The loss of nope is served at 512 tokens, though not at 256.";
    assert!(
        study.verdict.iter().any(|s| s.text == said),
        "{:?}",
        study.verdict
    );
    // The learned table refuses 256 and more: its effective length ends by refusal, not by measurement.
    let learned = of("learned");
    assert_eq!(
        (learned.length, learned.at_end, learned.refused_beyond),
        (128, true, true)
    );
}

#[test]
fn too_few_units_show_little() {
    let mut run = language(&[0]);
    let noisy = |l, sign: f64| fixed(l, &[2.0, 2.4 + sign * 0.3, 1.9, 2.2 - sign * 0.28]);
    perplexities(&mut run, "rope", &[noisy(128, 0.0), noisy(256, 1.0)]);
    perplexities(&mut run, "nope", &[fixed(128, &[2.0]), fixed(256, &[9.0])]);
    let summary = quick(&run);
    let rope = effective_length(&summary.studies[0], "rope");
    assert_eq!((rope.length, rope.high, rope.at_end), (128, 256, false));
    let nope = first(&summary.studies[0], "nope");
    assert_eq!(
        nope.effective, None,
        "one unit and one seed support nothing"
    );
    assert_eq!(nope.points[1].change.and_then(|c| c.worse), None);
    assert_eq!(nope.points[1].service, Some(Service::NotShown));
}

#[test]
fn accuracies_are_asked_by_their_intervals() {
    let mut run = fixture::run(&Made {
        language: false,
        mishaps: false,
        ..Made::default()
    });
    // Wilson (scipy): 100 of 100 gives [0.963, 1], 85 [0.767, 0.907], 70 [0.604, 0.781], 89 [0.814, 0.937].
    let shares = [(64, 100), (128, 85), (256, 70), (512, 89)];
    let set = |run: &mut LoadedRun, shares: &[(usize, usize)]| {
        let of = |&(length, hits): &(usize, usize)| {
            let hits: Vec<bool> = (0..100).map(|i| i < hits).collect();
            fixture::found(length, 0.5, length as f64 / 2.0, &hits)
        };
        for record in records(run, "rope") {
            record.measures = vec![upgrade::passkey(shares.iter().map(of).collect(), 0.8)];
        }
    };
    let effective_length_of = |run: &LoadedRun| {
        let summary = quick(run);
        (effective_length(&summary.studies[0], "rope"), summary)
    };
    set(&mut run, &shares);
    let (found, summary) = effective_length_of(&run);
    assert_eq!((found.length, found.high, found.at_end), (512, 512, true));
    assert_eq!(found.holes(), "not at 256, not shown at 128");
    let said = "Passkey retrieval: keys found at least 80% at 512 tokens, though not at 256, not shown at 128, by rope.";
    assert!(summary.studies[0].verdict.iter().any(|s| s.text == said));
    set(&mut run, &shares[1..3]);
    let (found, summary) = effective_length_of(&run);
    assert_eq!((found.length, found.high), (0, 128));
    assert_eq!(found.words(), "not shown");
    let said = "Passkey retrieval: keys found at least 80% is shown at no length for";
    let open = summary.studies[0]
        .verdict
        .iter()
        .find(|s| s.text.starts_with(said));
    let open = open.map(|s| s.text.as_str()).unwrap_or_default();
    assert!(
        open.contains("rope (85% [77%, 91%] at 128 tokens)"),
        "{open}"
    );
}
