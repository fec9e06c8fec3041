//! Files that are no tokenizers.

use super::{LINE, folder, refuses};
use farspan_datasets::{Around, DataConfig, DataError, TextData, TokenizerConfig, TokenizerFile};
use std::path::Path;

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
