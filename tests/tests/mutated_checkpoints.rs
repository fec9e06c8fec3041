//! The entry functions of the fuzz targets over mutated files: no input may panic, hang, or break a promise.

#[path = "../../fuzz/entries.rs"]
mod entries;

use farspan_acceptance::checkpoints;
use farspan_acceptance::mutants::rounds;

/// Pieces that mean something to the readers.
const WORDS: [&[u8]; 24] = [
    b"0",
    b"-1",
    b"1e308",
    b"18446744073709551615",
    b"9223372036854775808",
    b"null",
    b"true",
    b"\"\"",
    b"[]",
    b"{}",
    b"\"F32\"",
    b"\"BF16\"",
    b"\"I4\"",
    b"[0,0]",
    b"[4294967296,4294967296]",
    b"\"..\"",
    b"\"/a\"",
    b"\"a/../b\"",
    b"\\u0000",
    b"\"rope_type\":\"yarn\"",
    b"\"factor\":0.0",
    b"\"rope_scaling\":{}",
    b"\"head_dim\":1",
    b",",
];

fn golden(folder: &str, file: &str) -> Vec<u8> {
    let path = checkpoints::golden(folder).join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn headers() {
    let seeds = ["llama-default", "gpt2", "falcon-groups"].map(|folder| {
        let file = golden(folder, "model.safetensors");
        let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
        let data = (file.len() - 8 - length) as u64;
        [&data.to_le_bytes()[..], &file[8..8 + length]].concat()
    });
    rounds("headers", &seeds, &WORDS, 6000, entries::header);
}

#[test]
fn indices() {
    let text = r#"{"metadata": {"total_size": 12}, "weight_map": {"a.weight": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    rounds(
        "indices",
        &[text.as_bytes().to_vec()],
        &WORDS,
        20_000,
        entries::index,
    );
}

#[test]
fn configs() {
    let folders = [
        "llama-default",
        "llama-yarn",
        "llama-longrope",
        "mistral-dynamic",
        "qwen2-windows",
        "qwen3-llama3",
        "phi3-longrope",
        "gemma2",
        "gpt_neox-linear",
        "gpt2",
        "bloom",
        "mpt",
        "falcon-alibi",
    ];
    let seeds = folders.map(|folder| golden(folder, "config.json"));
    rounds("configs", &seeds, &WORDS, 13_000, entries::config);
}
