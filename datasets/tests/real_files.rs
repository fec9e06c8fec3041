//! Real files of the folder `shared/data` beside the repository. Skipped, and said to be, where that is absent.

use farspan_datasets::{DataConfig, TextData, TokenizerConfig};
use std::path::PathBuf;

fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

fn open(base: &std::path::Path, toml: &str) -> TextData {
    let config: DataConfig = toml::from_str(toml).unwrap();
    let cache = tempfile::tempdir().unwrap();
    TextData::open(&config, base, cache.path()).unwrap()
}

#[test]
fn books_with_marks_and_carriage_returns() {
    let Some(base) = data() else { return };
    let text = open(&base, "files = \"books/*.txt\"");
    assert_eq!(13, text.parts().iter().map(|p| p.documents).sum::<usize>());
    let bytes: u64 = std::fs::read_dir(base.join("books"))
        .unwrap()
        .map(|entry| {
            let raw = std::fs::read(entry.unwrap().path()).unwrap();
            let returns = raw.windows(2).filter(|w| *w == b"\r\n").count();
            let mark = if raw.starts_with(b"\xef\xbb\xbf") {
                3
            } else {
                0
            };
            (raw.len() - returns - mark) as u64
        })
        .sum();
    assert_eq!(bytes, text.parts().iter().map(|p| p.bytes).sum::<u64>());
    text.check_training(256).unwrap();
    text.test_segments(8193, Some(32)).unwrap();
}

#[test]
fn one_text_as_byte_pairs() {
    let Some(base) = data() else { return };
    let text = open(
        &base,
        "files = \"tinyshakespeare/input.txt\"\ntokenizer = { bpe = 1024 }",
    );
    let [train, _, test] = text.parts();
    let ratio = train.bytes as f64 / train.tokens as f64;
    assert!((2.2..3.5).contains(&ratio), "{ratio} bytes per token");
    let whole = &text.test_segments(test.tokens, Some(1)).unwrap()[0];
    assert_eq!(
        test.bytes,
        whole.bytes.iter().map(|b| u64::from(*b)).sum::<u64>()
    );
    let original = std::fs::read_to_string(base.join("tinyshakespeare/input.txt")).unwrap();
    assert!(original.ends_with(&text.decode(&whole.tokens)));
}

#[test]
fn json_lines() {
    let Some(base) = data() else { return };
    let text = open(&base, "jsonl = \"jsonl/sherlock_stories.jsonl\"");
    assert_eq!(
        [4, 4, 4],
        text.parts().map(|p| p.documents),
        "{}",
        text.description()
    );
    open(&base, "jsonl = [\"jsonl/text_data.jsonl\"]\npack = true");
}

#[test]
fn parquet_of_two_writers() {
    let Some(base) = data() else { return };
    let text = open(&base, "parquet = \"parquet/books/*.parquet\"\npack = true");
    assert!(
        text.description().contains("28 documents"),
        "{}",
        text.description()
    );
    let text = open(
        &base,
        "parquet = \"parquet/foods1.parquet\"\ncolumn = \"category\"",
    );
    assert!(
        text.description().contains("4 documents"),
        "{}",
        text.description()
    );
}

#[test]
fn a_tokenizer_of_a_real_checkpoint() {
    let Some(base) = data() else { return };
    let Some(path) = glob::glob(&format!("{}/checkpoints/**/tokenizer.json", base.display()))
        .unwrap()
        .next()
        .map(|path| path.unwrap())
    else {
        eprintln!("SKIPPED: no tokenizer.json below {}", base.display());
        return;
    };
    let config = DataConfig {
        files: Some(vec!["books/frankenstein.txt".into()]),
        tokenizer: TokenizerConfig::File(path.display().to_string()),
        max_bytes: Some(200_000),
        ..DataConfig::default()
    };
    let cache = tempfile::tempdir().unwrap();
    let text = TextData::open(&config, &base, cache.path()).unwrap();
    let [_, _, test] = text.parts();
    let whole = &text.test_segments(test.tokens, Some(1)).unwrap()[0];
    assert_eq!(
        test.bytes,
        whole.bytes.iter().map(|b| u64::from(*b)).sum::<u64>()
    );
    assert!(whole.tokens.iter().all(|t| (*t as usize) < text.vocab()));
}
