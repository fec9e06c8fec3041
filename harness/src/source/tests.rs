use super::*;
use crate::config::types::{MaskToken, Reads};
use farspan_datasets::DataConfig;
use std::io::Write;

/// Words as a text of bytes.
fn text() -> Source {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    let words: String = (0..4000).map(|i| format!("{} ", i * i % 977)).collect();
    std::fs::File::create(&path)
        .unwrap()
        .write_all(words.as_bytes())
        .unwrap();
    let data = DataConfig {
        files: Some(vec![path.display().to_string()]),
        ..DataConfig::default()
    };
    Source::open(&Reads::Text(data), Path::new("")).unwrap()
}

fn batches(source: &Source) -> CellBatches<'_> {
    CellBatches {
        source,
        seed: 4,
        first: 10,
        sampler: None,
        vocab: 257,
        ids: None,
        validation: Vec::new(),
    }
}

fn masked(share: f64, token: MaskToken) -> TrainConfig {
    TrainConfig {
        length: 64,
        batch: 3,
        mask_inputs: Some(MaskInputs { share, token }),
        ..TrainConfig::default()
    }
}

#[test]
fn masks_are_as_many_as_their_share_and_change_nothing_else() {
    let source = text();
    let batches = batches(&source);
    let plain = TrainConfig {
        mask_inputs: None,
        ..masked(0.0, MaskToken::Id(0))
    };
    for (share, count) in [(0.15, 9), (0.5, 32), (0.01, 1), (0.999, 63)] {
        for (token, id) in [
            (MaskToken::Id(7), 7),
            (MaskToken::Entry(crate::config::types::Added::Added), 256),
        ] {
            let mut places = Vec::new();
            for number in 0..5 {
                let (as_is, with) = (
                    batches.train(number, &plain, 64),
                    batches.train(number, &masked(share, token), 64),
                );
                assert_eq!(
                    (&as_is.targets, &as_is.weights),
                    (&with.targets, &with.weights)
                );
                for (before, after) in as_is.tokens.chunks(64).zip(with.tokens.chunks(64)) {
                    let at: Vec<usize> = (0..64).filter(|&t| after[t] == id).collect();
                    assert_eq!(at.len(), count, "{share}");
                    assert_eq!(after[63], before[63]);
                    assert!((0..64).all(|t| at.contains(&t) || after[t] == before[t]));
                    places.push(at);
                }
            }
            places.sort();
            places.dedup();
            // 63 places for one mask: some of 15 windows agree.
            assert!(
                count >= 63 || places.len() > 10,
                "windows are masked at places of their own"
            );
        }
    }
    // A share of 0 draws nothing.
    let none = batches.train(3, &masked(0.0, MaskToken::Id(7)), 64);
    assert_eq!(none, batches.train(3, &plain, 64));
}

#[test]
fn lengths_have_their_shares_of_one_budget() {
    let source = text();
    let batches = batches(&source);
    let share = |length, share| LengthShare { length, share };
    let config = TrainConfig {
        length: 96,
        batch: 2,
        lengths: vec![share(24, 0.5), share(96, 0.2), share(48, 0.3)],
        ..TrainConfig::default()
    };
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..2000 {
        let batch = batches.train(number, &config, 96);
        assert_eq!(batch.rows * batch.len, 192);
        // By hand: which share the batch's own number falls to.
        let at = Stream::at(4, "lengths/train", 10 + number).uniform();
        let expected = if at < 0.5 {
            24
        } else if at < 0.7 {
            96
        } else {
            48
        };
        assert_eq!(batch.len, expected);
        *counts.entry(batch.len).or_insert(0) += 1;
    }
    // Of 2000, within four standard errors.
    for (length, expected, error) in [(24, 1000, 90), (96, 400, 72), (48, 600, 82)] {
        let found: i32 = counts[&length];
        assert!((found - expected).abs() < error, "{length}: {found}");
    }
    // Windows of one length are those that a training in that length reads.
    let alone = TrainConfig {
        length: 24,
        batch: 8,
        lengths: Vec::new(),
        ..config.clone()
    };
    let first = (0..)
        .find(|&n| batches.train(n, &config, 96).len == 24)
        .unwrap();
    assert_eq!(
        batches.train(first, &config, 96),
        batches.train(first, &alone, 24)
    );
}

#[test]
fn windows_have_the_places_of_their_digits_moved_as_the_recipe_says() {
    let source = text();
    let plain = TrainConfig {
        length: 64,
        batch: 3,
        ..TrainConfig::default()
    };
    let given = |most| CellBatches {
        ids: Some((PositionIds::PLACES.into(), Some(Shift::Together { most }))),
        ..batches(&source)
    };
    let ids = |most| given(most).train(2, &plain, 64).positions.unwrap();
    let tokens = batches(&source).train(2, &plain, 64).tokens;
    let mut place = 0.0;
    let by_hand = tokens.iter().enumerate().map(|(t, id)| {
        let digit = (*id as u8).is_ascii_digit();
        place = match (digit, t % 64) {
            (false, _) => 0.0,
            (true, 0) => 1.0,
            (true, _) => place + 1.0,
        };
        place
    });
    let by_hand: Vec<f64> = by_hand.collect();
    assert_eq!(ids(0), by_hand);
    let moved = ids(1000);
    let by = moved
        .iter()
        .zip(&by_hand)
        .map(|(x, y)| x - y)
        .fold(0.0, f64::max);
    assert!(by > 0.0);
    for (x, y) in moved.iter().zip(&by_hand) {
        assert_eq!(*x, if *y > 0.0 { y + by } else { 0.0 });
    }
    assert!(is_digit("7") && !is_digit("71") && !is_digit("x") && !is_digit(""));
}
