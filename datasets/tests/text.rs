//! Text from files to windows: what the splits, batches and segments promise.

use farspan_datasets::{DataConfig, DataError, NamedCorpus, TextData, TokenizerConfig};
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

#[test]
fn copies_never_straddle_parts() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..60 {
        // Thirty texts, each twice: once with CRLF and a byte-order mark.
        let text = format!("text {}\n", i / 2).repeat(20);
        let text = if i % 2 == 0 {
            text
        } else {
            format!("\u{feff}{}", text.replace('\n', "\r\n"))
        };
        std::fs::write(folder.path().join(format!("{i:02}.txt")), text).unwrap();
    }
    let text = open(&files(&["*.txt"]), folder.path()).unwrap();
    assert_eq!(30, text.parts().iter().map(|p| p.documents).sum::<usize>());
    assert!(
        text.description().contains("30 copies"),
        "{}",
        text.description()
    );
    let batch = text.train_batch(0, 0, 64, 100);
    assert!(!batch.tokens.contains(&13), "no carriage return");
}

/// Text of letters that repeats nothing.
fn noise(label: &'static str, index: u64, n: usize) -> String {
    let mut stream = farspan_datasets::rng::Stream::at(0, label, index);
    (0..n)
        .map(|_| char::from(b'a' + stream.below(26) as u8))
        .collect()
}

#[test]
fn near_copies_of_training_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        std::fs::write(
            folder.path().join(format!("{i:02}.txt")),
            noise("document", i, 1000),
        )
        .unwrap();
    }
    let config = files(&["*.txt"]);
    let text = open(&config, folder.path()).unwrap();
    let is_clean = "; 0.0 % of validation and 0.0 % of test stand in training";
    assert!(
        text.description().contains(is_clean),
        "{}",
        text.description()
    );
    // Each test document gets a fifth of a training document, one of them a third.
    let test: Vec<String> = (0..4)
        .map(|i| text.decode(&text.test_segments(1000, Some(4)).unwrap()[i].tokens))
        .collect();
    let trained = text.decode(&text.train_batch(0, 0, 1, 999).tokens);
    for i in 0..40 {
        let path = folder.path().join(format!("{i:02}.txt"));
        let whole = std::fs::read_to_string(&path).unwrap();
        if let Some(place) = test.iter().position(|t| *t == whole) {
            let n = if place == 2 { 300 } else { 200 };
            let mixed = format!("{}{}", &trained[..n], &whole[n..]);
            std::fs::write(&path, mixed).unwrap();
        }
    }
    let mixed = open(&config, folder.path()).unwrap();
    assert_eq!(3, mixed.parts()[2].documents);
    for words in [
        "near copies of training left out: 1 from test",
        "0.0 % of validation and 20.0 % of test stand in training, in matches of 48 bytes",
    ] {
        assert!(
            mixed.description().contains(words),
            "{}",
            mixed.description()
        );
    }
    let keep = |max_overlap| DataConfig {
        max_overlap: Some(max_overlap),
        ..config.clone()
    };
    let all = open(&keep(1.0), folder.path()).unwrap();
    assert_eq!(4, all.parts()[2].documents);
    assert!(
        all.description().contains("and 22.5 % of test"),
        "{}",
        all.description()
    );
    let error = open(&keep(0.1), folder.path()).unwrap_err().to_string();
    for words in [
        "test part",
        "at most 10 %",
        "4 documents",
        "data.max_overlap",
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn one_file_is_cut_and_said_to_be() {
    let folder = letters(&[10_000]);
    let text = open(&files(&["d000.txt"]), folder.path()).unwrap();
    let sizes = text.parts().map(|p| (p.name, p.documents, p.tokens));
    assert_eq!(
        [
            ("train", 1, 8500),
            ("validation", 1, 500),
            ("test", 1, 1000)
        ],
        sizes
    );
    assert_eq!(
        "1 file of text: 1 document, 0.01 MB; few documents, so each is cut into training, validation and test in \
         this order: 85.0 %, 5.0 %, 10.0 %; 100.0 % of validation and 100.0 % of test stand in training, in matches \
         of 48 bytes or more",
        text.description()
    );
}

#[test]
fn the_same_documents_in_every_format_are_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..20)
        .map(|i| format!("Zeile {i} — «ß»\n").repeat(30))
        .collect();
    let mut lines = String::new();
    for (i, text) in texts.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{i:02}.txt")), text).unwrap();
        std::fs::write(
            folder.path().join(format!("{i:02}.txt.zst")),
            zstd::encode_all(text.as_bytes(), 3).unwrap(),
        )
        .unwrap();
        lines += &format!("{}\n\n", serde_json::json!({ "id": i, "body": text }));
    }
    std::fs::write(folder.path().join("a.jsonl"), &lines).unwrap();
    let compressed = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    std::fs::write(folder.path().join("a.jsonl.zst"), compressed).unwrap();
    let jsonl = |path: &str| DataConfig {
        jsonl: Some(vec![path.into()]),
        column: Some("body".into()),
        ..DataConfig::default()
    };
    let configs = [
        files(&["*.txt"]),
        files(&["*.txt.zst"]),
        jsonl("a.jsonl"),
        jsonl("a.jsonl.zst"),
    ];
    let hashes: Vec<String> = configs
        .iter()
        .map(|c| open(c, folder.path()).unwrap().hash().to_string())
        .collect();
    assert!(hashes.iter().all(|h| *h == hashes[0]), "{hashes:?}");

    // Overlapping patterns name each file once; a cap takes the first documents.
    let twice = open(&files(&["0*.txt", "*.txt"]), folder.path()).unwrap();
    assert_eq!(hashes[0], twice.hash());
    let some = DataConfig {
        max_bytes: Some(2000),
        ..files(&["*.txt"])
    };
    let some = open(&some, folder.path()).unwrap();
    assert_eq!(2000, some.parts().iter().map(|p| p.bytes).sum::<u64>());
    assert!(
        some.description().contains("cut at max_bytes"),
        "{}",
        some.description()
    );
}

#[test]
fn byte_pairs_cover_the_text_and_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        let text = format!(
            "The {i}th fern — naïve and 雪 — unfolds its frond no. {}.\n",
            i * i
        );
        std::fs::write(folder.path().join(format!("{i:02}.txt")), text.repeat(40)).unwrap();
    }
    let config = DataConfig {
        tokenizer: TokenizerConfig::Bpe(320),
        ..files(&["*.txt"])
    };
    let text = open(&config, folder.path()).unwrap();
    assert_eq!(320, text.vocab());
    let [_, _, test] = text.parts();
    assert!(
        test.tokens * 2 < test.bytes as usize,
        "{} tokens",
        test.tokens
    );
    for segment in text.test_segments(60, Some(20)).unwrap() {
        let decoded = text.decode(&segment.tokens);
        let is_whole = !decoded.contains('\u{fffd}');
        assert!(!is_whole || decoded.len() as u32 == segment.bytes.iter().sum::<u32>());
    }
    // The second opening reads what the first has kept; a damaged file is made again.
    let cache = folder.path().join("cache");
    let kept = |wanted: &str| {
        let entries = std::fs::read_dir(&cache)
            .unwrap()
            .map(|e| e.unwrap().path());
        entries
            .filter(|p| p.to_string_lossy().contains(wanted))
            .collect::<Vec<_>>()
    };
    assert_eq!((1, 3), (kept("bpe-").len(), kept("tokens-").len()));
    assert_eq!(text.hash(), open(&config, folder.path()).unwrap().hash());
    for path in kept("tokens-") {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(text.hash(), open(&config, folder.path()).unwrap().hash());
    // The tokenizer depends on the training part alone.
    let all = open(
        &DataConfig {
            tokenizer: TokenizerConfig::Bpe(400),
            ..config.clone()
        },
        folder.path(),
    )
    .unwrap();
    assert_ne!(text.tokenizer_hash(), all.tokenizer_hash());
}

/// Trains in this process and in two others. Hash tables walk differently in each.
#[test]
fn trained_tokenizers_are_the_same_in_every_process() {
    const OUT: &str = "FARSPAN_TEST_TOKENIZER_OUT";
    let folder = tempfile::tempdir().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/**/*.rs");
    let config = DataConfig {
        tokenizer: TokenizerConfig::Bpe(1500),
        ..files(&[source])
    };
    let text = open(&config, folder.path()).unwrap();
    let hashes = format!("{} {}", text.tokenizer_hash(), text.hash());
    if let Some(out) = std::env::var_os(OUT) {
        std::fs::write(out, hashes).unwrap();
        return;
    }
    for child in 0..2 {
        let out = folder.path().join(format!("hashes-{child}"));
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "trained_tokenizers_are_the_same_in_every_process",
            ])
            .env(OUT, &out)
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(hashes, std::fs::read_to_string(out).unwrap());
    }
}

/// The corpus that every machine with a build of this project has.
#[test]
fn the_cargo_corpus_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = DataConfig {
        corpus: Some(NamedCorpus::Cargo),
        ..DataConfig::default()
    };
    let started = std::time::Instant::now();
    let text = open(&config, folder.path()).unwrap();
    eprintln!("{} in {:?}", text.description(), started.elapsed());
    let [train, validation, test] = text.parts();
    let total = (train.bytes + validation.bytes + test.bytes) as f64;
    assert!((8e6..20e6).contains(&total), "{total} bytes");
    assert!(
        (test.bytes as f64 / total - 0.10).abs() < 0.005,
        "{}",
        text.description()
    );
    assert!(
        (validation.bytes as f64 / total - 0.05).abs() < 0.005,
        "{}",
        text.description()
    );
    text.check_training(512).unwrap();
    text.test_segments(16_385, Some(32)).unwrap();
    // Measured outside (sets of all 48-byte strings, in Python).
    for words in ["by whole packages", "5.0 % of test stand in training"] {
        assert!(text.description().contains(words), "{}", text.description());
    }
    assert!(
        started.elapsed().as_secs_f64() < 10.0,
        "{:?}",
        started.elapsed()
    );
}

/// A tokenizer of single letters that puts `<s>` before a text.
fn with_bos(folder: &Path) {
    let json = r#"{
        "version": "1.0", "added_tokens": [{
            "id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        }],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
        "post_processor": {
            "type": "TemplateProcessing", "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
        },
        "model": {"type": "WordLevel", "vocab": {"<s>": 0, "a": 1, "b": 2, "?": 3}, "unk_token": "?"}
    }"#;
    std::fs::write(folder.join("tokenizer.json"), json).unwrap();
}

#[test]
fn documents_begin_with_bos_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    with_bos(folder.path());
    for (name, text) in [("1.txt", "abab"), ("2.txt", "bb"), ("3.txt", "aba")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let config = |bos: bool| DataConfig {
        tokenizer: TokenizerConfig::File("tokenizer.json".into()),
        validation: 0.0,
        test: 1.0,
        bos,
        ..files(&["*.txt"])
    };
    let text = open(&config(true), folder.path()).unwrap();
    assert_eq!(text.bos().unwrap(), [0]);
    // All of it is measured on, the first documents that are long enough.
    let found = text.test_documents(4, None).unwrap();
    let tokens: Vec<_> = found.iter().map(|s| s.tokens.clone()).collect();
    assert_eq!(tokens, [vec![0, 1, 2, 1, 2], vec![0, 1, 2, 1]]);
    assert_eq!(found[1].bytes, [0, 1, 1, 1]);
    assert_eq!(text.test_documents(4, Some(1)).unwrap().len(), 1);
    let error = text.test_documents(4, Some(3)).unwrap_err().to_string();
    assert!(
        error.contains("3 documents of at least 4 tokens"),
        "{error}"
    );
    let plain = open(&config(false), folder.path()).unwrap();
    assert_eq!(plain.test_documents(4, None).unwrap().len(), 1);
    assert_ne!(plain.tokenizer_hash(), text.tokenizer_hash());
    let bytes = DataConfig {
        tokenizer: TokenizerConfig::Byte,
        ..config(true)
    };
    let error = bytes.validate().unwrap_err().to_string();
    assert!(error.contains("data.bos"), "{error}");
}

#[test]
fn every_tokenizer_can_be_written_down() {
    let folder = letters(&[400, 300, 200]);
    for tokenizer in [TokenizerConfig::Byte, TokenizerConfig::Bpe(260)] {
        let config = DataConfig {
            tokenizer,
            ..files(&["*.txt"])
        };
        let text = open(&config, folder.path()).unwrap();
        let json = text.tokenizer_json().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), json).unwrap();
        let again = DataConfig {
            tokenizer: TokenizerConfig::File("tokenizer.json".into()),
            ..config
        };
        let again = open(&again, folder.path()).unwrap();
        assert_eq!(again.vocab(), text.vocab());
        let (ours, theirs) = (text.test_segments(8, None), again.test_segments(8, None));
        assert_eq!(ours.unwrap(), theirs.unwrap());
    }
    // Bytes that no letter shows, too.
    std::fs::write(folder.path().join("odd.txt"), "é\0\n 世 \u{7f}\u{ad}").unwrap();
    let file = farspan_datasets::TokenizerFile::open(&folder.path().join("tokenizer.json"));
    let bytes = open(&files(&["odd.txt"]), folder.path())
        .unwrap()
        .tokenizer_json();
    std::fs::write(folder.path().join("bytes.json"), bytes.unwrap()).unwrap();
    let bytes = farspan_datasets::TokenizerFile::open(&folder.path().join("bytes.json")).unwrap();
    assert!(file.is_ok());
    let odd = "é\0\n 世 \u{7f}\u{ad}";
    let tokens = bytes
        .encode("odd", odd, farspan_datasets::Around::All)
        .unwrap();
    let expected: Vec<u32> = odd.bytes().map(u32::from).collect();
    assert_eq!(tokens.ids, expected);
    assert_eq!(bytes.decode(&tokens.ids, true).unwrap(), odd);
}
