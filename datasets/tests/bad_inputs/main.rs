//! What a user gets for input that cannot be used: an error that says where, what was expected and what was found.

mod tables;
mod tokenizers;

use farspan_datasets::{DataConfig, DataError, TextData};
use std::path::Path;
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn open(toml: &str, base: &Path) -> Result<TextData, DataError> {
    let mut config: DataConfig = toml::from_str(toml).unwrap();
    // One line makes most of these texts.
    config.max_overlap = Some(1.0);
    TextData::open(&config, base, &base.join("cache"))
}

/// The error of a config, which must hold all words.
fn refuses(toml: &str, base: &Path, words: &[&str]) -> String {
    let error = open(toml, base).expect_err(toml).to_string();
    for word in words {
        assert!(
            error.contains(word),
            "{toml}: expected {word:?} in {error:?}"
        );
    }
    error
}

const LINE: &str = "A line of text that is long enough to be a document.\n";

#[test]
fn paths_that_name_nothing() {
    let base = folder(&[("a.txt", LINE.as_bytes())]);
    let place = base.path().display().to_string();
    std::fs::create_dir(base.path().join("sub")).unwrap();
    let at = base.path();
    refuses(
        "files = \"b.txt\"",
        at,
        &["data.files", "\"b.txt\"", &place, "found none"],
    );
    refuses(
        "files = [\"a.txt\", \"*.md\"]",
        at,
        &["\"*.md\"", "found none"],
    );
    refuses("jsonl = \"*.jsonl\"", at, &["data.jsonl"]);
    refuses(
        "parquet = \"/nowhere/*.parquet\"",
        at,
        &["data.parquet", "/nowhere/"],
    );
    refuses(
        "files = \"sub\"",
        at,
        &["sub: expected a file, found a folder", "sub/**/*.txt"],
    );
    refuses(
        "files = \"a***\"",
        at,
        &["data.files: expected a path or a glob"],
    );
    refuses(
        "tokenizer = \"t.json\"\nfiles = \"a.txt\"",
        at,
        &["t.json: cannot be read"],
    );
    refuses(
        "",
        at,
        &["exactly one of corpus, files, jsonl and parquet, found none"],
    );
}

#[test]
fn names_with_glob_characters_are_files_too() {
    let base = folder(&[("[a].txt", LINE.as_bytes())]);
    assert!(open("files = \"[a].txt\"", base.path()).is_ok());
    let odd = base.path().join("[odd] folder");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("x.txt"), LINE).unwrap();
    assert!(open("files = \"*.txt\"", &odd).is_ok());
}

#[test]
fn bytes_that_are_no_text() {
    let good = LINE.as_bytes();
    let bad = [good, b"\xff\xfe"].concat();
    let offset = format!("invalid byte at offset {}", good.len());
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let squeezed = zstd::encode_all(&bad[..], 3).unwrap();
    let base = folder(&[
        ("a.txt", good),
        ("b.txt", &bad),
        ("c.txt", pointer),
        ("d.txt.zst", good),
        ("e.txt.zst", &squeezed),
        ("f.txt.zst", &squeezed[..squeezed.len() - 4]),
    ]);
    let at = base.path();
    refuses("files = \"b.txt\"", at, &["b.txt: expected UTF-8", &offset]);
    refuses("files = \"c.txt\"", at, &["c.txt", "Git LFS pointer"]);
    refuses("files = \"d.txt.zst\"", at, &["d.txt.zst: cannot be read"]);
    refuses(
        "files = \"e.txt.zst\"",
        at,
        &["e.txt.zst: expected UTF-8", &offset],
    );
    refuses("files = \"f.txt.zst\"", at, &["f.txt.zst: cannot be read"]);
    // Bad files are counted, and one too many is an error.
    let text = open("files = \"*\"\nskip_bad = 5", at).unwrap();
    assert!(
        text.description().contains("5 bad records"),
        "{}",
        text.description()
    );
    refuses(
        "files = \"*\"\nskip_bad = 4",
        at,
        &[
            "5 bad records",
            "data.skip_bad = 4 allows no more; the last one: ",
            "f.txt.zst",
        ],
    );
    refuses(
        "files = \"b.txt\"\nskip_bad = 1",
        at,
        &["expected text, found none", "1 bad record"],
    );
}

#[cfg(unix)]
#[test]
fn things_that_are_no_files() {
    let base = folder(&[]);
    std::os::unix::fs::symlink("/dev/zero", base.path().join("zero.txt")).unwrap();
    let pipe = base.path().join("pipe.txt");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for name in ["zero.txt", "pipe.txt"] {
        for key in ["files", "jsonl", "parquet"] {
            let config = format!("{key} = \"{name}\"");
            refuses(&config, base.path(), &[name, "expected a regular file"]);
        }
    }
    std::fs::rename(&pipe, base.path().join("pipe.json")).unwrap();
    std::fs::write(base.path().join("a.txt"), LINE).unwrap();
    refuses(
        "files = \"a.txt\"\ntokenizer = \"pipe.json\"",
        base.path(),
        &["pipe.json", "expected a regular file"],
    );
    // A pattern finds files only.
    open("files = \"*.txt\"", base.path()).unwrap();
}

#[test]
fn too_little_text() {
    let base = folder(&[
        ("a.txt", b""),
        ("b.txt", b" \n\n"),
        ("c.txt", LINE.as_bytes()),
    ]);
    let at = base.path();
    refuses(
        "files = [\"a.txt\", \"b.txt\"]",
        at,
        &[
            "2 files of text: expected text, found none",
            "2 empty documents",
        ],
    );
    refuses(
        "files = \"c.txt\"\nmin_document_bytes = 100",
        at,
        &["1 document below min_document_bytes"],
    );
    let text = open("files = \"c.txt\"", at).unwrap();
    let error = text.check_training(64).unwrap_err().to_string();
    assert!(
        error.contains("training part: expected a document of at least 65 tokens")
            && error.contains("found 1 document, the longest of 45 tokens"),
        "{error}"
    );
    let error = text.check_training(20).unwrap_err().to_string();
    assert!(
        error.contains("validation part") && error.contains("data.validation"),
        "{error}"
    );
    let error = text.test_segments(7, Some(1)).unwrap_err().to_string();
    assert!(
        error.contains("test part: expected 1 stretches of 7 tokens"),
        "{error}"
    );
    // A text of one character leaves parts empty, and nothing breaks before the check says so.
    let tiny = folder(&[("a.txt", "é".as_bytes())]);
    for toml in [
        "files = \"a.txt\"",
        "files = \"a.txt\"\npack = true\ntokenizer = { bpe = 300 }",
    ] {
        assert!(open(toml, tiny.path()).unwrap().check_training(1).is_err());
    }
}

#[test]
fn lines_that_are_no_records() {
    for (line, words) in [
        (
            &b"{\"text\": \"a\", }"[..],
            &["line 3: expected one JSON object, found", "at column"][..],
        ),
        (
            b"[1, 2]",
            &["line 3: expected one JSON object, found a list"],
        ),
        (
            b"{\"text\": 5}",
            &[
                "line 3: expected a string in column \"text\"",
                "found a number",
            ],
        ),
        (
            b"{\"text\": [null]}",
            &[
                "line 3: expected a string in column \"text\"",
                "found a list",
            ],
        ),
        (b"{\"text\": NaNa}", &["line 3: expected one JSON object"]),
        (
            b"{\"text\": \"a\", \"b\": Inf}",
            &["line 3: expected one JSON object"],
        ),
        (
            b"{\"body\": \"a\", \"id\": 3}",
            &[
                "line 3: expected a column \"text\"",
                "data.column",
                "\"body\", \"id\"",
            ],
        ),
        (b"{}", &["found the columns (none)"]),
        (
            b"{\"text\": \"\xff\"}",
            &["line 3: expected UTF-8, found an invalid byte at offset 10"],
        ),
        (
            b"{\"text\": \"\\ud800\"}",
            &["line 3: expected one JSON object"],
        ),
    ] {
        let good = format!("{{\"text\": \"{}\"}}\n", LINE.trim());
        let content = [
            good.as_bytes(),
            b"\n",
            line,
            b"\n",
            b"{\"text\": \"The last line.\"}",
        ]
        .concat();
        let base = folder(&[("a.jsonl", &content)]);
        refuses("jsonl = \"a.jsonl\"", base.path(), words);
        refuses("jsonl = \"a.jsonl\"", base.path(), &["a.jsonl"]);
        let text = open("jsonl = \"a.jsonl\"\nskip_bad = 1", base.path()).unwrap();
        assert!(
            text.description().contains("2 documents"),
            "{}",
            text.description()
        );
        assert!(
            text.description().contains("1 bad record"),
            "{}",
            text.description()
        );
    }
}

#[test]
fn lines_and_archives_without_end() {
    let good = format!("{{\"text\": \"{}\"}}\n", LINE.trim());
    let endless = vec![b'a'; (64 << 20) + 10];
    let long = [
        good.as_bytes(),
        &endless,
        b"\n",
        b"{\"text\": \"The last line.\"}\n",
    ]
    .concat();
    let bomb = zstd::encode_all(&vec![b'a'; 80 << 20][..], 3).unwrap();
    let blank = zstd::encode_all(&vec![b'\n'; 80 << 20][..], 3).unwrap();
    let base = folder(&[
        ("a.jsonl", &long),
        ("b.txt.zst", &bomb),
        ("c.jsonl.zst", &blank),
    ]);
    let at = base.path();
    refuses(
        "jsonl = \"a.jsonl\"",
        at,
        &["a.jsonl: line 2: expected a line of at most 67108864 bytes"],
    );
    let text = open("jsonl = \"a.jsonl\"\nskip_bad = 1", at).unwrap();
    assert!(
        text.description().contains("2 documents"),
        "{}",
        text.description()
    );
    refuses(
        "files = \"b.txt.zst\"",
        at,
        &["b.txt.zst", "decompresses to more than 67108864 bytes"],
    );
    refuses(
        "jsonl = \"c.jsonl.zst\"",
        at,
        &["c.jsonl.zst", "decompresses to more than"],
    );
    // With a cap on the text, no more than that is read.
    assert!(open("files = \"b.txt.zst\"\nmax_bytes = 1000", at).is_ok());
}
