//! The passkey task and its scorer, against oracles whose score is known.

use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::passkey::{Filler, Passkey};
use farspan_datasets::tasks::{
    AnyTask, Asked, Point, Rule, Trial, grid, score, shares, train_batch,
};
use proptest::prelude::*;

fn task() -> Passkey {
    Passkey::default()
}

fn at(seed: u64, length: usize, depth: f64, count: usize) -> Asked {
    let point = Point {
        length,
        at: vec![depth],
    };
    grid(&task(), seed, &point, count)
}

fn scored(asked: &Asked, argmax: &[u32]) -> Vec<Trial> {
    score(Rule::All, &asked.examples, asked.batch.len, argmax)
}

/// Copies what followed the last earlier occurrence of the present token, if the copied token satisfies `visible`
/// (its index, the present index). Symbol 0 if there is none.
fn induction(tokens: &[u32], visible: impl Fn(usize, usize) -> bool) -> Vec<u32> {
    (0..tokens.len())
        .map(|now| {
            let earlier = (0..now).rev().find(|&at| tokens[at] == tokens[now]);
            earlier
                .filter(|at| visible(at + 1, now))
                .map_or(0, |at| tokens[at + 1])
        })
        .collect()
}

/// Shares of hits per depth, for an oracle.
fn map(
    length: usize,
    visible: impl Fn(usize, usize) -> bool + Copy,
) -> Vec<(usize, f64, Vec<Trial>)> {
    let cell = |depth: f64| {
        let asked = at(0, length, depth, 8);
        let rows = asked.batch.tokens.chunks(length);
        let argmax: Vec<u32> = rows.flat_map(|row| induction(row, visible)).collect();
        let trials = scored(&asked, &argmax);
        let hits = trials.iter().map(|t| t.right).sum::<usize>();
        let distance = asked.examples[0].distance.unwrap();
        (distance, hits as f64 / trials.len() as f64, trials)
    };
    shares(11).into_iter().map(cell).collect()
}

#[test]
fn induction_finds_every_key() {
    for length in [13, 14, 64, 100, 512] {
        for (_, share, trials) in map(length, |_, _| true) {
            assert_eq!(1.0, share, "length {length}");
            assert!(trials.iter().all(|t| t.symbols == 5));
        }
    }
}

#[test]
fn a_short_reach_finds_near_keys_only() {
    for reach in [10, 64, 65, 200] {
        for (distance, share, _) in map(256, |copied, now| now - copied < reach) {
            assert_eq!(
                f64::from(distance <= reach),
                share,
                "reach {reach}, distance {distance}"
            );
        }
    }
}

#[test]
fn an_eye_for_the_beginning_finds_early_keys_only() {
    for seen in [7, 50, 120] {
        for (distance, share, _) in map(256, |copied, _| copied < seen) {
            // The last symbol of the key stands 251 − distance places after the beginning, plus four for the rest.
            let last = (256 - 5) - (distance - 1) + 4;
            assert_eq!(
                f64::from(last < seen),
                share,
                "{seen} seen, last symbol at {last}"
            );
        }
    }
}

#[test]
fn half_right_is_no_hit() {
    let cell = &at(1, 32, 0.5, 2);
    let mut argmax = cell.batch.targets.clone();
    let trial = |right, symbols| Trial {
        right,
        asked: 1,
        symbols,
        of: 5,
        off: None,
    };
    assert_eq!(vec![trial(1, 5); 2], scored(cell, &argmax));
    argmax[31] = 0;
    assert_eq!(trial(0, 4), scored(cell, &argmax)[0]);
    argmax[0] = 62;
    assert_eq!(trial(1, 5), scored(cell, &argmax)[1]);
}

/// Any deterministic reader: mostly induction, with a mistake that depends on the whole context.
fn reader(context: &[u32]) -> u32 {
    let mut hash = context.iter().fold(1469598103934665603_u64, |h, &t| {
        (h ^ u64::from(t)).wrapping_mul(1099511628211)
    });
    hash ^= hash >> 29;
    if hash % 7 == 0 {
        3 + (hash >> 8) as u32 % 10
    } else {
        *induction(context, |_, _| true).last().unwrap()
    }
}

#[test]
fn one_forward_scores_as_generation_does() {
    let length = 40;
    let mut hits = 0;
    for depth in shares(5) {
        let cell = at(5, length, depth, 40);
        let rows = cell.batch.tokens.chunks(length);
        let argmax: Vec<u32> = rows
            .flat_map(|row| (1..=length).map(|n| reader(&row[..n])))
            .collect();
        let trials = scored(&cell, &argmax);
        let rows = cell.batch.tokens.chunks(length);
        let rows = rows.zip(cell.batch.targets.chunks(length));
        for ((row, targets), trial) in rows.zip(trials) {
            let mut context = row[..length - 4].to_vec();
            for _ in 0..5 {
                context.push(reader(&context));
            }
            let generated = context[length - 4..] == targets[length - 5..];
            assert_eq!(usize::from(generated), trial.right);
            hits += trial.right;
        }
    }
    assert!(
        (20..180).contains(&hits),
        "both outcomes occur: {hits} of 200"
    );
}

/// Sequences from a separate implementation (Python) of the generator.
#[test]
fn golden() {
    let task = task();
    // Depth 4 of 7 is what 0.6 rounds to: room is 7, 0.6 · 7 = 4.2.
    let row = &at(7, 20, 0.6, 3).batch;
    let fed = [
        0, 38, 42, 37, 47, 1, 10, 4, 8, 11, 9, 2, 27, 27, 15, 1, 10, 4, 8, 11,
    ];
    assert_eq!(fed, row.tokens[40..]);
    assert_eq!([38, 42], row.targets[40..42]);
    assert_eq!([10, 4, 8, 11, 9], row.targets[55..]);
    let batch = train_batch(&task, 7, 3, 2, 24);
    assert_eq!(
        [
            0, 47, 18, 31, 39, 54, 15, 35, 26, 1, 3, 7, 4, 6, 5, 2, 39, 54, 59, 1, 3, 7, 4, 6
        ],
        batch.tokens[..24]
    );
    assert_eq!(
        [
            24, 46, 21, 1, 7, 8, 6, 5, 10, 2, 40, 36, 48, 41, 48, 16, 50, 53, 1, 7, 8, 6, 5, 10
        ],
        batch.targets[24..]
    );
    assert_eq!(
        "<bos> z ad y ai <mark> 7 1 5 8 6 <end> o o c <mark> 7 1 5 8",
        task.render(&fed)
    );
}

#[test]
fn prompts_depend_on_what_they_should() {
    for depth in shares(11) {
        let cell = at(3, 128, depth, 20);
        assert_eq!(cell, at(3, 128, depth, 20));
        // Finer grids and more prompts change none of those that were there.
        let finer = at(3, 128, shares(21)[(depth * 20.0).round() as usize], 30);
        assert_eq!(cell.batch.tokens, finer.batch.tokens[..20 * 128]);
    }
    let keys = |seed, length: usize| -> Vec<Vec<u32>> {
        let key = |depth: f64| at(seed, length, depth, 4).batch.tokens[length - 4..length].to_vec();
        shares(2).into_iter().map(key).collect()
    };
    let all = [keys(3, 128), keys(4, 128), keys(3, 129)].concat();
    for (i, key) in all.iter().enumerate() {
        assert!(
            !all[..i].contains(key),
            "seed, length and depth each change the key"
        );
    }
    assert_eq!([0.5], shares(1)[..]);
}

#[test]
fn training_batches_are_pure_and_cover_every_place() {
    let task = task();
    let batches: Vec<_> = (0..60)
        .map(|step| train_batch(&task, 1, step, 16, 30))
        .collect();
    for step in [59, 3, 30] {
        assert_eq!(batches[step], train_batch(&task, 1, step as u64, 16, 30));
    }
    assert_ne!(batches[0], batches[1]);
    assert_ne!(batches[0], train_batch(&task, 2, 0, 16, 30));
    let mut places = [0; 18];
    for batch in &batches {
        assert_eq!(
            (16, 30, 16 * 5),
            (
                batch.rows,
                batch.len,
                batch.weights.iter().sum::<f32>() as i32
            )
        );
        for row in batch.tokens.chunks(30) {
            places[row.iter().position(|&t| t == 1).unwrap() - 1] += 1;
        }
    }
    // 960 draws of 18 places: 53 each, five standard deviations are 36.
    assert!(places.iter().all(|n| (17..=90).contains(n)), "{places:?}");
}

#[test]
fn other_settings_are_obeyed() {
    let noise = Passkey {
        digits: 3,
        distinct: false,
        filler: Filler::Noise,
        fillers: 4,
    };
    assert_eq!(
        (17, 9),
        (AnyTask::vocab(&noise), AnyTask::least(&noise, &[0.0]))
    );
    let example = AnyTask::example(&noise, &mut Stream::new(0, "e"), 15, &[0.5]);
    assert_eq!([0, 13, 14, 15, 1], example.tokens[..5]);
    assert_eq!([2, 16, 13, 14, 1], example.tokens[8..13]);
    let mut repeated = 0;
    let mut stream = Stream::new(0, "keys");
    for _ in 0..1000 {
        let example = AnyTask::example(&noise, &mut stream, 9, &[0.0]);
        let key = &example.tokens[7..];
        repeated += usize::from(key[0] == key[1] || key[1] == key[2] || key[0] == key[2]);
    }
    assert!(
        (220..340).contains(&repeated),
        "28 % of keys have a digit twice: {repeated}"
    );

    let hashes: Vec<String> = [
        Passkey::default(),
        noise,
        Passkey {
            distinct: false,
            ..Passkey::default()
        },
        Passkey {
            filler: Filler::Noise,
            ..Passkey::default()
        },
    ]
    .iter()
    .map(AnyTask::hash)
    .collect();
    for (i, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..i].contains(hash));
    }
    let refused = |settings: serde_json::Value| {
        let error = crate::try_task("passkey", settings).unwrap_err();
        error.to_string()
    };
    for (settings, words) in [
        (
            serde_json::json!({"digits": 11}),
            "digits: expected 1 to 10",
        ),
        (serde_json::json!({"digits": 0}), "digits"),
        (serde_json::json!({"fillers": 0}), "fillers: expected 1 to"),
        (
            serde_json::json!({"digit": 4}),
            "passkey: digit: expected one of its settings (digits,",
        ),
    ] {
        let error = refused(settings);
        assert!(error.contains(words), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Exact length, one information block, the key nowhere else, the depth as asked.
    #[test]
    fn prompts_are_well_formed(seed: u64, extra in 0_usize..600, depth in 0.0..=1.0) {
        let task = task();
        let draw = |depth: f64| {
            AnyTask::example(&task, &mut Stream::new(seed, "example"), 13 + extra, &[depth])
        };
        let length = AnyTask::least(&task, &[depth]) + extra;
        let example = draw(depth);
        let tokens = &example.tokens;
        prop_assert_eq!(length + 1, tokens.len());
        let marks: Vec<usize> =
            tokens.iter().enumerate().filter(|(_, t)| **t == 1).map(|(i, _)| i).collect();
        let start = marks[0];
        prop_assert_eq!(&[start, length - 5][..], &marks[..]);
        let info = &tokens[start + 1..start + 6];
        prop_assert_eq!(&example.answers[..], &[farspan_datasets::tasks::Answer::new(length - 4..length + 1)][..]);
        prop_assert_eq!(info, &tokens[length - 4..]);
        prop_assert_eq!(2, tokens[start + 6]);
        prop_assert_eq!(0, tokens[0]);
        // Every other token is filler, so no symbol of the key stands anywhere else.
        prop_assert_eq!(extra, tokens.iter().filter(|t| (13..63).contains(*t)).count());
        let mut sorted = info.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(5, sorted.len());
        prop_assert_eq!((depth * extra as f64).round() as usize + 1, start);
        // The window that ends at the second mark and begins at the first symbol of the key.
        prop_assert_eq!(Some(length - 5 - (start + 1) + 1), example.distance);
        let later = draw((depth + 0.01).min(1.0));
        prop_assert!(later.distance <= example.distance);
    }
}
