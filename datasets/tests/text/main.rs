//! Text from files to windows: what the splits, batches and segments promise.

mod documents;
mod tokenizers;

use farspan_datasets::{DataConfig, DataError, TextData};
use std::path::Path;
use tempfile::TempDir;

/// A folder of documents `dN.txt`, the N-th of one letter repeated `sizes[N]` times.
fn letters(sizes: &[usize]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (i, &n) in sizes.iter().enumerate() {
        let letter = char::from_u32('A' as u32 + i as u32).unwrap();
        std::fs::write(
            folder.path().join(format!("d{i:03}.txt")),
            letter.to_string().repeat(n),
        )
        .unwrap();
    }
    folder
}

fn files(patterns: &[&str]) -> DataConfig {
    let files = Some(patterns.iter().map(|p| p.to_string()).collect());
    DataConfig {
        files,
        ..DataConfig::default()
    }
}

fn open(config: &DataConfig, base: &Path) -> Result<TextData, DataError> {
    TextData::open(config, base, &base.join("cache"))
}

#[test]
fn windows_lie_inside_documents() {
    let folder = letters(&[200; 60]);
    let text = open(&files(&["*.txt"]), folder.path()).unwrap();
    let [train, validation, test] = text.parts();
    assert_eq!(
        (51, 3, 6),
        (train.documents, validation.documents, test.documents)
    );
    assert_eq!((10_200, 10_200), (train.tokens, train.bytes));
    assert_eq!(256, text.vocab());
    for step in 0..50 {
        let batch = text.train_batch(0, step, 4, 100);
        assert_eq!((4, 100, 400), (batch.rows, batch.len, batch.targets.len()));
        assert!(batch.weights.iter().all(|w| *w == 1.0));
        for (tokens, targets) in batch.tokens.chunks(100).zip(batch.targets.chunks(100)) {
            assert!(tokens.iter().chain(targets).all(|t| *t == tokens[0]));
        }
    }
    // Exactly the whole document, and not one token more.
    text.train_batch(0, 0, 1, 199);
    assert!(text.check_training(199).is_ok());
    assert!(text.check_training(200).is_err());
}

#[test]
fn targets_are_the_next_tokens_of_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let long: String = (0..20_000)
        .map(|i| char::from(32 + (i * i % 89) as u8))
        .collect();
    std::fs::write(folder.path().join("a.txt"), &long).unwrap();
    let text = open(&files(&["a.txt"]), folder.path()).unwrap();
    for batch in [text.train_batch(1, 1, 8, 64)]
        .into_iter()
        .chain(text.validation_batches(3, 64, 2))
    {
        for (tokens, targets) in batch.tokens.chunks(64).zip(batch.targets.chunks(64)) {
            assert_eq!(tokens[1..], targets[..63]);
            let window = text.decode(tokens) + &text.decode(&targets[63..]);
            assert!(long.contains(&window));
        }
    }
}

#[test]
fn batches_are_pure_functions_of_seed_and_step() {
    let folder = letters(&[3000; 40]);
    let text = open(&files(&["*.txt"]), folder.path()).unwrap();
    let forward: Vec<_> = (0..20)
        .map(|step| text.train_batch(7, step, 4, 16))
        .collect();
    let again = open(&files(&["*.txt"]), folder.path()).unwrap();
    for step in (0..20).rev() {
        assert_eq!(forward[step], again.train_batch(7, step as u64, 4, 16));
    }
    assert_ne!(forward[0], text.train_batch(8, 0, 4, 16));
    assert_eq!(text.hash(), again.hash());
    assert_eq!(
        text.validation_batches(2, 16, 3),
        again.validation_batches(2, 16, 3)
    );
}

#[test]
fn starts_are_uniform_over_all_places() {
    // One document of increasing numbers would need more symbols: two bytes spell each place instead.
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..40)
        .map(|i| format!("{}{}", (b'A' + i / 10) as char, i % 10))
        .collect();
    std::fs::write(
        folder.path().join("a.txt"),
        format!("{text}{}", "z".repeat(16)),
    )
    .unwrap();
    let config = DataConfig {
        validation: 0.08,
        test: 0.08,
        ..files(&["a.txt"])
    };
    let text = open(&config, folder.path()).unwrap();
    assert_eq!(80, text.parts()[0].tokens);
    let mut counts = [0_u32; 77];
    for step in 0..1000 {
        for window in text.train_batch(0, step, 8, 3).tokens.chunks(3) {
            let window = text.decode(window);
            let (letter, digit, skip) = if window.as_bytes()[0] >= b'A' {
                (window.as_bytes()[0], window.as_bytes()[1], 0)
            } else {
                (window.as_bytes()[1], window.as_bytes()[0], 1)
            };
            // A window that begins with a digit belongs to the letter before the one it shows, if that digit is 9.
            let place = if skip == 0 {
                20 * usize::from(letter - b'A') + 2 * usize::from(digit - b'0')
            } else {
                let letter = if digit == b'9' { letter - 1 } else { letter };
                20 * usize::from(letter - b'A') + 2 * usize::from(digit - b'0') + 1
            };
            counts[place] += 1;
        }
    }
    let expected = 8000.0 / 77.0;
    let chi: f64 = counts
        .iter()
        .map(|&n| (f64::from(n) - expected).powi(2) / expected)
        .sum();
    assert!(
        chi < 130.0,
        "chi-square with 76 degrees of freedom, p = 1e-4: {chi}"
    );
}

#[test]
fn packed_windows_cross_documents_and_show_the_separator() {
    let folder = letters(&[50; 40]);
    let config = DataConfig {
        pack: true,
        ..files(&["*.txt"])
    };
    let text = open(&config, folder.path()).unwrap();
    assert_eq!(257, text.vocab());
    let [train, _, test] = text.parts();
    assert_eq!((34, 34 * 50 + 33), (train.documents, train.tokens));
    let batch = text.train_batch(0, 0, 1, train.tokens - 1);
    assert_eq!(33, batch.tokens.iter().filter(|t| **t == 256).count());
    assert!(text.decode(&batch.tokens).contains("<sep>"));
    let segments = text.test_segments(test.tokens, Some(1)).unwrap();
    assert_eq!(200, segments[0].bytes.iter().sum::<u32>());
    assert!(
        segments[0]
            .tokens
            .iter()
            .zip(&segments[0].bytes)
            .all(|(t, b)| (*t == 256) == (*b == 0))
    );
    let unpacked = open(&files(&["*.txt"]), folder.path()).unwrap();
    assert_ne!(text.hash(), unpacked.hash());
    assert_ne!(text.tokenizer_hash(), unpacked.tokenizer_hash());
}

#[test]
fn segments_are_disjoint_pieces_of_test_documents() {
    let folder = letters(&[1000; 40]);
    let text = open(&files(&["*.txt"]), folder.path()).unwrap();
    let segments = text.test_segments(300, Some(12)).unwrap();
    assert_eq!(12, segments.len());
    for (i, segment) in segments.iter().enumerate() {
        assert_eq!(
            (300, vec![1; 300]),
            (segment.tokens.len(), segment.bytes.clone())
        );
        assert!(segment.tokens.iter().all(|t| *t == segment.tokens[0]));
        assert_eq!(
            (i / 3, 25 + 325 * (i % 3)),
            (segment.document, segment.offset)
        );
    }
    assert_eq!(segments, text.test_segments(300, Some(12)).unwrap());
    let error = text.test_segments(300, Some(13)).unwrap_err().to_string();
    assert!(
        error.contains("expected 13 stretches of 300 tokens"),
        "{error}"
    );
    assert!(error.contains("room for 12 in 4 documents"), "{error}");
    assert!(
        text.test_segments(1001, Some(1))
            .unwrap_err()
            .to_string()
            .contains("evaluate.perplexity")
    );
    let error = text.check_training(1000).unwrap_err().to_string();
    assert!(
        error.contains("training part: expected a document of at least 1001 tokens")
            && error.contains("34 documents, the longest of 1000 tokens")
            && error.contains("data.pack = true"),
        "{error}"
    );
}
