//! The entry functions of the fuzz targets over mutated configs, expressions, tables, texts, tokenizers and run folders:
//! no input may panic, hang, or break a promise.

#[path = "../../fuzz/entries.rs"]
mod entries;

use farspan_acceptance::mutants::rounds;
use farspan_acceptance::spelling;
use std::path::Path;

fn file(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn configs_of_runs() {
    let words: [&[u8]; 16] = [
        b"0",
        b"-1",
        b"nan",
        b"1e999",
        b"99999999999999999999",
        b"\"\"",
        b"[]",
        b"{}",
        b"true",
        b"\"rope\"",
        b"{ bpe = 300 }",
        b"[schemes.a.yarn]\n",
        b"base = \"rope\"\n",
        b"[sweep]\nproduct = { train.lr = [1, 2] }\n",
        b"\"\"\"",
        b"a.b.c.d = 1\n",
    ];
    let seeds = [
        "harness/configs/quickstart.toml",
        "harness/configs/research.toml",
    ]
    .map(file);
    rounds("configs of runs", &seeds, &words, 400, entries::toml);
}

#[test]
fn expressions() {
    let seeds = [
        "select(q - k < 4, raw, raw1 * exp(-slope[h] * ln(1 + q - k)))",
        "min(raw, 3) + net mlp(ln(q - k + 1) / n) - gate@q * table[h, q - k] + list[k]",
        "-(-raw) / 2 - (q - k) * 0.5 + abs(tanh(floor(raw)))",
    ]
    .map(|text| text.as_bytes().to_vec());
    let words: [&[u8]; 16] = [
        b"raw",
        b"raw1",
        b"q",
        b"(",
        b")",
        b"--",
        b"- -",
        b"1e400",
        b"0.1",
        b"select(",
        b"[h]",
        b"@k",
        b"net x(",
        b" < ",
        b"min(",
        b"\xc3\xa9",
    ];
    rounds("expressions", &seeds, &words, 30_000, entries::expression);
}

#[test]
fn tables_of_numbers() {
    let words: [&[u8]; 10] = [
        b"(4294967296, 4294967296)",
        b"(1000000000,)",
        b"(-1,)",
        b"()",
        b"'<f2'",
        b"'>f8'",
        b"True",
        b"\xff\xff\xff\xff",
        b"[18446744073709551615]",
        b"\"F8_E4M3\"",
    ];
    let names = [
        "f8.npy",
        "fortran.npy",
        "version_2.npy",
        "u1.npy",
        "one.safetensors",
        "all.safetensors",
    ];
    let seeds = names.map(|name| file(&format!("tests/golden/numbers/{name}")));
    rounds("tables of numbers", &seeds, &words, 60_000, entries::table);
}

#[test]
fn texts() {
    let words: [&[u8]; 10] = [
        b"null",
        b"NaN",
        b"-Infinity",
        b"\"\"",
        b"{}",
        b"[[[[",
        b"\\ud800",
        b"\n\n",
        b"\xff",
        b"\"text\":",
    ];
    let line =
        |i: u32| format!("{{\"id\": {i}, \"text\": \"a line of words, the {i}th\", \"x\": 0.5}}\n");
    let lines: String = (0..20).map(line).collect();
    rounds(
        "lines of JSON",
        &[lines.clone().into_bytes()],
        &words,
        2000,
        entries::json_lines,
    );
    rounds(
        "compressed text",
        &[COMPRESSED.to_vec()],
        &[b"\x28\xb5\x2f\xfd"],
        2000,
        entries::zst,
    );
    // Parquet is broken in the tests of the crate that can write it.
}

/// "a line of words\n", twenty times, by the `zstd` program.
const COMPRESSED: &[u8] = include_bytes!("../golden/text.zst");

#[test]
fn tokenizers() {
    let words: [&[u8]; 16] = [
        b"null",
        b"{",
        b"[]",
        b"\"\"",
        b"0",
        b"-1",
        b"4294967295",
        b"\"BPE\"",
        b"\"Unigram\"",
        b"\"WordPiece\"",
        b"\"Regex\":\"(\"",
        b"\"Metaspace\"",
        b"\"ByteFallback\"",
        b"\"Strip\"",
        b"\"Sequence\"",
        b"0.5",
    ];
    let seeds = [
        spelling::bytes(true, true),
        spelling::characters(true, false),
    ]
    .map(|t| t.to_string().into_bytes());
    rounds("tokenizers", &seeds, &words, 2000, entries::tokenizer);
}

#[test]
fn run_folders() {
    let words: [&[u8]; 10] = [
        b"null",
        b"-1",
        b"18446744073709551615",
        b"1e308",
        b"[]",
        b"{}",
        b"\"\"",
        b"\"</script><b>\"",
        b"\"\\u202e\"",
        b"\"../../x\"",
    ];
    let seeds = entries::run_files();
    rounds("run folders", &seeds, &words, 120, entries::run_folder);
}
