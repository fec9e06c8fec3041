//! From text to tokens: trained tokenizers, those of others, and what they put before a text.

use super::{files, letters, open};
use farspan_datasets::{DataConfig, NamedCorpus, TokenizerConfig};
use std::path::Path;

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
                "tokenizers::trained_tokenizers_are_the_same_in_every_process",
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
