//! Opens the text of a `[data]` table and says what it holds.
//!
//! `cargo run --release -p farspan-datasets --example corpus -- 'corpus = "cargo"' 'tokenizer = { bpe = 2048 }'`
#![expect(clippy::print_stdout, reason = "printing is what this example does")]

use farspan_datasets::{DataConfig, TextData};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let lines: Vec<String> = std::env::args().skip(1).collect();
    let config: DataConfig = toml::from_str(&lines.join("\n"))?;
    let cache = std::env::temp_dir().join("farspan-example-cache");
    let started = Instant::now();
    let text = TextData::open(&config, Path::new("."), &cache)?;
    println!(
        "{}\ntokenizer: {}",
        text.description(),
        text.tokenizer_description()
    );
    println!(
        "data {}, tokenizer {}",
        &text.hash()[..16],
        &text.tokenizer_hash()[..16]
    );
    for part in text.parts() {
        let ratio = part.bytes as f64 / part.tokens as f64;
        println!(
            "{:>10}: {} documents, {} tokens, {ratio:.2} bytes per token",
            part.name, part.documents, part.tokens
        );
    }
    println!(
        "opened in {:.2?}\n\nfrom the middle of the test part:",
        started.elapsed()
    );
    println!(
        "{}",
        text.decode(&text.test_segments(200, Some(1))?[0].tokens)
    );
    Ok(())
}
