//! What a user gets for input that cannot be used: an error that says where, what was expected and what was found.

use farspan_datasets::rng::Stream;
use farspan_datasets::{Around, DataConfig, DataError, TextData, TokenizerConfig, TokenizerFile};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use std::path::Path;
use std::sync::Arc;
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

/// Null, and the NaN that Python writes for a text that is missing, are rows without text in either format; numbers that
/// JSON does not have are no reason to refuse a line whose text is there.
#[test]
fn rows_without_text_are_left_out_and_counted_alike() {
    let texts: Vec<String> = (0..40).map(|i| format!("Row {i}: {LINE}")).collect();
    let mut rows: Vec<Option<&[u8]>> = texts.iter().map(|t| Some(t.as_bytes())).collect();
    let mut lines: Vec<String> = texts
        .iter()
        .map(|t| {
            format!(
                "{}\n",
                serde_json::json!({ "text": t, "a": "NaN \\\" NaN" })
            )
        })
        .collect();
    lines[7] = lines[7].replace(
        "\"a\":",
        "\"score\":-Infinity,\"list\":[NaN,Infinity],\"a\":",
    );
    for (at, line) in [
        (3, "{\"text\": null}\n"),
        (9, "{\"text\":NaN}\n"),
        (20, "{\"text\": NaN, \"a\": \"\\\"NaN\"}\n"),
    ] {
        rows.insert(at, None);
        lines.insert(at, line.into());
    }
    let base = folder(&[
        ("a.jsonl", lines.concat().as_bytes()),
        ("a.parquet", &parquet_file(&rows)),
    ]);
    let of = |toml| open(toml, base.path()).unwrap();
    let (lines, rows) = (of("jsonl = \"a.jsonl\""), of("parquet = \"a.parquet\""));
    assert_eq!(lines.hash(), rows.hash());
    for text in [lines, rows] {
        let words = "40 documents, 0.00 MB (left out: 3 records without text)";
        assert!(text.description().contains(words), "{}", text.description());
    }
}

/// Inputs under which the library behind `tokenizer.json` panics while it reads them.
#[test]
fn tokenizers_that_panic_are_errors() {
    let base = folder(&[("a.txt", LINE.repeat(40).as_bytes())]);
    let broken = BROKEN.map(String::from).into_iter();
    let odd = ODD.map(|parts| format!("{{\"version\":\"1.0\",{parts}}}"));
    let deep = format!("{{\"decoder\":{}", "[".repeat(200));
    for json in broken.chain(odd).chain([deep]) {
        std::fs::write(base.path().join("t.json"), json).unwrap();
        let words = ["t.json", "expected a tokenizer.json"];
        refuses(
            "files = \"a.txt\"\ntokenizer = \"t.json\"",
            base.path(),
            &words,
        );
    }
}

/// No whole JSON.
const BROKEN: [&str; 10] = [
    "{\"decoder\":{",
    "{\"decoder\":[",
    "{\"decoder\":\"",
    "{\"decoder\":-",
    "{\"decoder\":tru",
    "{\"decoder\":1e999",
    "{\"decoder\":\"\\ud800\"}",
    "{\"decoder\":{\"type\":\"Fuse\"",
    "{\"normalizer\":{",
    "{\"model\":{",
];

/// Precompiled tables of characters that are none, or whose trie is shorter than its paths; merges longer than every
/// token, or shorter than their prefix.
const ODD: [&str; 9] = [
    r#""model":{"type":"BPE","dropout":0.5,"vocab":{"a":0},"merges":[]}"#,
    r#""model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}"#,
    r#""model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"],"continuing_subword_prefix":"\#\#"}"#,
    r#""model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"},"normalizer":{"type":"Precompiled"}"#,
    r#""normalizer":{"type":"Precompiled","precompiled_charsmap":null}"#,
    r#""normalizer":{"type":"Precompiled","precompiled_charsmap":""}"#,
    r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"!"}"#,
    r#""normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled","precompiled_charsmap":"AAAA"}]}"#,
    r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAB4"},
        "added_tokens":[{"id":3,"content":"s","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,
            "special":true}],
        "model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}"#,
];

/// Inputs that the library reads, and under which it panics when it meets a text or gives one back.
#[test]
fn tokenizers_that_panic_over_a_text_are_errors() {
    let model =
        r#""version":"1.0","model":{"type":"WordLevel","vocab":{"a":0,"?":1},"unk_token":"?"}"#;
    let open = |parts: &str| {
        let json = format!("{{{model},{parts}}}");
        TokenizerFile::from_bytes(Path::new("t.json"), json.as_bytes()).expect(parts)
    };
    let says = |parts: &str, error: DataError, doing: &str| {
        let words = format!("t.json: {doing}: something that its parser cannot survive");
        assert!(error.to_string().contains(&words), "{parts}: {error}");
    };
    for parts in OVER_A_TEXT {
        let encoded = open(parts).encode("a.txt", "é a", Around::All);
        says(parts, encoded.expect_err(parts), "encoding a.txt");
    }
    for parts in OVER_TOKENS {
        let decoded = open(parts).decode(&[0, 0], true);
        says(parts, decoded.expect_err(parts), "decoding");
    }
}

const OVER_A_TEXT: [&str; 7] = [
    r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAAAA=="}"#,
    r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAB4"}"#,
    r#""pre_tokenizer":{"type":"FixedLength","length":0}"#,
    r#""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}],
        "pair":[],"special_tokens":{}}"#,
    r#""post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],
        "pair":[],"special_tokens":{}}"#,
    r#""post_processor":{"type":"Sequence","processors":[{"type":"TemplateProcessing",
        "single":[{"SpecialToken":{"id":"<s>","type_id":0}}],"pair":[],"special_tokens":{}}]}"#,
    r#""normalizer":{"type":"StripAccents"},
        "added_tokens":[{"id":2,"content":"\u0301","single_word":false,"lstrip":false,"rstrip":false,
            "normalized":true,"special":true}]"#,
];

const OVER_TOKENS: [&str; 3] = [
    r#""decoder":{"type":"Strip","content":"a","start":1,"stop":1}"#,
    r#""decoder":{"type":"Strip","content":"a","start":0,"stop":18446744073709551615}"#,
    r#""decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"Regex":"."},"content":""},
        {"type":"Strip","content":"a","start":0,"stop":1}]}"#,
];

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

/// A file with a number, an optional text, a number list's shape left out; two row groups.
fn parquet_file(texts: &[Option<&[u8]>]) -> Vec<u8> {
    let schema = "message m { REQUIRED INT64 id; OPTIONAL BYTE_ARRAY text (UTF8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    for group in texts.chunks(texts.len().div_ceil(2)) {
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..group.len() as i64).collect();
        column
            .typed::<Int64Type>()
            .write_batch(&ids, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let levels: Vec<i16> = group.iter().map(|t| i16::from(t.is_some())).collect();
        let values: Vec<ByteArray> = group
            .iter()
            .flatten()
            .map(|t| ByteArray::from(t.to_vec()))
            .collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&levels), None)
            .unwrap();
        column.close().unwrap();
        rows.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

#[test]
fn tables_that_do_not_fit() {
    let texts: Vec<String> = (0..700).map(|i| format!("Row {i}: {LINE}")).collect();
    let mut rows: Vec<Option<&[u8]>> = texts.iter().map(|t| Some(t.as_bytes())).collect();
    rows[5] = None;
    let good = parquet_file(&rows);
    rows[400] = Some(b"ab\xffcd");
    let bad = parquet_file(&rows);
    let half = &good[..good.len() / 2];
    let base = folder(&[
        ("a.parquet", &good),
        ("b.parquet", &bad),
        ("c.parquet", half),
        ("d.parquet", b""),
        ("e.parquet", b"version https://git-lfs"),
    ]);
    let at = base.path();
    let text = open("parquet = \"a.parquet\"", at).unwrap();
    assert!(
        text.description().contains("699 documents"),
        "{}",
        text.description()
    );
    assert!(
        text.description().contains("1 record without text)"),
        "{}",
        text.description()
    );
    refuses(
        "parquet = \"a.parquet\"\ncolumn = \"body\"",
        at,
        &[
            "a.parquet: schema: expected a column \"body\" (data.column)",
            "\"id\", \"text\"",
        ],
    );
    refuses(
        "parquet = \"a.parquet\"\ncolumn = \"id\"",
        at,
        &["strings in column \"id\"", "INT64"],
    );
    refuses(
        "parquet = \"b.parquet\"",
        at,
        &["b.parquet: row 401: expected UTF-8", "offset 2"],
    );
    assert!(open("parquet = \"b.parquet\"\nskip_bad = 1", at).is_ok());
    for name in ["c", "d", "e"] {
        let file = format!("{name}.parquet");
        refuses(
            &format!("parquet = \"{file}\""),
            at,
            &[&file, "expected a Parquet file"],
        );
    }
    let text = open("parquet = \"a.parquet\"\nmax_bytes = 1000", at).unwrap();
    assert_eq!(1000, text.parts().iter().map(|p| p.bytes).sum::<u64>());
}

/// Damaged files give an error or some text, and never a panic in this thread.
#[test]
fn hostile_tables() {
    let texts: Vec<String> = (0..40).map(|i| format!("Row {i}: {LINE}")).collect();
    let good = parquet_file(&texts.iter().map(|t| Some(t.as_bytes())).collect::<Vec<_>>());
    let mut stream = Stream::new(0, "mutants");
    let (mut read, mut refused) = (0, 0);
    for _ in 0..1500 {
        let mut bytes = good.clone();
        for _ in 0..=stream.below(4) {
            // Half of the damage goes to the footer, which steers the reader.
            let from = if stream.below(2) == 0 {
                bytes.len() * 3 / 4
            } else {
                0
            };
            let at = from + stream.below((bytes.len() - from) as u64) as usize;
            bytes[at] = stream.bits() as u8;
        }
        let base = folder(&[("a.parquet", &bytes)]);
        match open(
            "parquet = \"a.parquet\"\nskip_bad = 3\nmax_bytes = 100000",
            base.path(),
        ) {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                let error = error.to_string();
                assert!(
                    error.contains("a.parquet") || error.contains("found none"),
                    "{error}"
                );
            }
        }
    }
    assert!(read > 50 && refused > 500, "{read} read, {refused} refused");
}

#[test]
fn tokenizers_that_are_none() {
    let base = folder(&[
        ("a.txt", LINE.as_bytes()),
        ("t.json", b"{\"version\": \"1.0\"}"),
    ]);
    let config = DataConfig {
        files: Some(vec!["a.txt".into()]),
        tokenizer: TokenizerConfig::File("t.json".into()),
        ..DataConfig::default()
    };
    let error = TextData::open(&config, base.path(), base.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tokenizer t.json: expected a tokenizer.json, found"),
        "{error}"
    );
    // A cache folder that cannot be one.
    let config = DataConfig {
        tokenizer: TokenizerConfig::Bpe(300),
        ..config
    };
    let error = TextData::open(&config, base.path(), &base.path().join("a.txt"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot be written"), "{error}");
}
