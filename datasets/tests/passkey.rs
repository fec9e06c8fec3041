//! The passkey task and its scorer, against oracles whose score is known.

use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::passkey::{Filler, Passkey, PasskeyConfig, Trial, score};
use proptest::prelude::*;

fn task() -> Passkey {
    Passkey::new(&PasskeyConfig::default()).unwrap()
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
    task()
        .grid(0, length, 11, 8)
        .into_iter()
        .map(|cell| {
            let argmax: Vec<u32> = cell
                .batch
                .tokens
                .chunks(length)
                .flat_map(|row| induction(row, visible))
                .collect();
            let trials = score(&cell.batch, &argmax);
            let hits = trials.iter().filter(|t| t.hit).count();
            (cell.distance, hits as f64 / trials.len() as f64, trials)
        })
        .collect()
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
    let task = task();
    let cell = &task.grid(1, 32, 3, 2)[1];
    let mut argmax = cell.batch.targets.clone();
    assert_eq!(
        vec![
            Trial {
                hit: true,
                symbols: 5
            };
            2
        ],
        score(&cell.batch, &argmax)
    );
    argmax[31] = 0;
    assert_eq!(
        Trial {
            hit: false,
            symbols: 4
        },
        score(&cell.batch, &argmax)[0]
    );
    argmax[0] = 62;
    assert_eq!(
        Trial {
            hit: true,
            symbols: 5
        },
        score(&cell.batch, &argmax)[1]
    );
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
    for cell in task().grid(5, length, 5, 40) {
        let argmax: Vec<u32> = cell
            .batch
            .tokens
            .chunks(length)
            .flat_map(|row| (1..=length).map(|n| reader(&row[..n])))
            .collect();
        let trials = score(&cell.batch, &argmax);
        let rows = cell
            .batch
            .tokens
            .chunks(length)
            .zip(cell.batch.targets.chunks(length));
        for ((row, targets), trial) in rows.zip(trials) {
            let mut context = row[..length - 4].to_vec();
            for _ in 0..5 {
                context.push(reader(&context));
            }
            let generated = context[length - 4..] == targets[length - 5..];
            assert_eq!(generated, trial.hit);
            hits += usize::from(generated);
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
    let row = &task.grid(7, 20, 6, 3)[3].batch;
    let fed = [
        0, 38, 42, 37, 47, 1, 10, 4, 8, 11, 9, 2, 27, 27, 15, 1, 10, 4, 8, 11,
    ];
    assert_eq!(fed, row.tokens[40..]);
    assert_eq!([38, 42], row.targets[40..42]);
    assert_eq!([10, 4, 8, 11, 9], row.targets[55..]);
    let batch = task.train_batch(7, 3, 2, 24);
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
    let task = task();
    let grid = task.grid(3, 128, 11, 20);
    assert_eq!(grid, task.grid(3, 128, 11, 20));
    let finer = task.grid(3, 128, 21, 30);
    for (cell, same) in grid.iter().zip(finer.iter().step_by(2)) {
        assert_eq!(cell.batch.tokens, same.batch.tokens[..20 * 128]);
    }
    let keys = |seed, length: usize| -> Vec<Vec<u32>> {
        task.grid(seed, length, 2, 4)
            .iter()
            .map(|c| c.batch.tokens[length - 4..length].to_vec())
            .collect()
    };
    let all = [keys(3, 128), keys(4, 128), keys(3, 129)].concat();
    for (i, key) in all.iter().enumerate() {
        assert!(
            !all[..i].contains(key),
            "seed, length and depth each change the key"
        );
    }
    let depths: Vec<f64> = task.grid(0, 64, 1, 1).iter().map(|c| c.depth).collect();
    assert_eq!([0.5], depths[..]);
}

#[test]
fn training_batches_are_pure_and_cover_every_place() {
    let task = task();
    let batches: Vec<_> = (0..60)
        .map(|step| task.train_batch(1, step, 16, 30))
        .collect();
    for step in [59, 3, 30] {
        assert_eq!(batches[step], task.train_batch(1, step as u64, 16, 30));
    }
    assert_ne!(batches[0], batches[1]);
    assert_ne!(batches[0], task.train_batch(2, 0, 16, 30));
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
    let config = PasskeyConfig {
        digits: 3,
        distinct: false,
        filler: Filler::Noise,
        fillers: 4,
    };
    let noise = Passkey::new(&config).unwrap();
    assert_eq!((17, 9), (noise.vocab(), noise.min_length()));
    let example = noise.example(&mut Stream::new(0, "e"), 15, 0.5);
    assert_eq!([0, 13, 14, 15, 1], example.tokens[..5]);
    assert_eq!([2, 16, 13, 14, 1], example.tokens[8..13]);
    let mut repeated = 0;
    let mut stream = Stream::new(0, "keys");
    for _ in 0..1000 {
        let key = noise.example(&mut stream, 9, 0.0).key;
        repeated += usize::from(key[0] == key[1] || key[1] == key[2] || key[0] == key[2]);
    }
    assert!(
        (220..340).contains(&repeated),
        "28 % of keys have a digit twice: {repeated}"
    );

    let hashes: Vec<String> = [
        PasskeyConfig::default(),
        config,
        PasskeyConfig {
            distinct: false,
            ..PasskeyConfig::default()
        },
        PasskeyConfig {
            filler: Filler::Noise,
            ..PasskeyConfig::default()
        },
    ]
    .iter()
    .map(|c| Passkey::new(c).unwrap().hash())
    .collect();
    for (i, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..i].contains(hash));
    }
    for (config, words) in [
        (
            PasskeyConfig {
                digits: 11,
                ..PasskeyConfig::default()
            },
            "passkey.digits: expected 1 to 10",
        ),
        (
            PasskeyConfig {
                digits: 0,
                ..PasskeyConfig::default()
            },
            "passkey.digits",
        ),
        (
            PasskeyConfig {
                fillers: 0,
                ..PasskeyConfig::default()
            },
            "passkey.fillers: expected 1 to",
        ),
    ] {
        let error = Passkey::new(&config).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let typo = toml::from_str::<PasskeyConfig>("digit = 4")
        .unwrap_err()
        .to_string();
    assert!(typo.contains("unknown field `digit`"), "{typo}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Exact length, one information block, the key nowhere else, the depth as asked.
    #[test]
    fn prompts_are_well_formed(seed: u64, extra in 0_usize..600, depth in 0.0..=1.0) {
        let task = task();
        let length = task.min_length() + extra;
        let example = task.example(&mut Stream::new(seed, "example"), length, depth);
        let tokens = &example.tokens;
        prop_assert_eq!(length + 1, tokens.len());
        let marks: Vec<usize> =
            tokens.iter().enumerate().filter(|(_, t)| **t == 1).map(|(i, _)| i).collect();
        prop_assert_eq!(&[example.start, length - 5][..], &marks[..]);
        let info = &tokens[example.start + 1..example.start + 6];
        prop_assert_eq!(&example.key[..], info);
        prop_assert_eq!(&example.key[..], &tokens[length - 4..]);
        prop_assert_eq!(2, tokens[example.start + 6]);
        prop_assert_eq!(0, tokens[0]);
        // Every other token is filler, so no symbol of the key stands anywhere else.
        prop_assert_eq!(extra, tokens.iter().filter(|t| (13..63).contains(*t)).count());
        let mut sorted = example.key.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(5, sorted.len());
        prop_assert_eq!((depth * extra as f64).round() as usize + 1, example.start);
        // The window that ends at the second mark and begins at the first symbol of the key.
        prop_assert_eq!(length - 5 - (example.start + 1) + 1, example.distance);
        let later = task.example(&mut Stream::new(seed, "example"), length, (depth + 0.01).min(1.0));
        prop_assert!(later.start >= example.start && later.distance <= example.distance);
    }
}
