use super::*;

fn parse(text: &str) -> Result<DataConfig, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

#[test]
fn every_form_is_read_and_survives_a_round_trip() {
    for (text, tokenizer) in [
        (
            "corpus = \"cargo\"\ntokenizer = { bpe = 2048 }",
            TokenizerConfig::Bpe(2048),
        ),
        (
            "files = \"a.txt\"\ntokenizer = \"byte\"",
            TokenizerConfig::Byte,
        ),
        ("files = [\"a.txt\", \"b/*.txt\"]", TokenizerConfig::Byte),
        (
            "jsonl = \"a.jsonl.zst\"\ncolumn = \"body\"\ntokenizer = \"m/tokenizer.json\"",
            TokenizerConfig::File("m/tokenizer.json".into()),
        ),
        (
            "parquet = [\"a.parquet\"]\nskip_bad = 3\npack = true",
            TokenizerConfig::Byte,
        ),
    ] {
        let config = parse(text).expect(text);
        config.validate().expect(text);
        assert_eq!(tokenizer, config.tokenizer);
        assert_eq!(
            config,
            parse(&toml::to_string(&config).expect(text)).expect(text)
        );
        let json = serde_json::to_string(&config).expect(text);
        assert_eq!(config, serde_json::from_str(&json).expect(text));
    }
    assert_eq!(
        Some(vec!["a.txt".to_string()]),
        parse("files = \"a.txt\"").unwrap().files
    );
}

#[test]
fn errors_name_the_key_and_the_rule() {
    for (text, words) in [
        ("corpus = \"cargo\"\nfile = \"a\"", "unknown field `file`"),
        ("corpus = \"wikipedia\"", "unknown variant `wikipedia`"),
        ("files = 3", "a path or a list of paths"),
        ("files = [3]", "expected a string"),
        (
            "tokenizer = \"bytes\"",
            "\"byte\", a path ending in .json, or { bpe = N }",
        ),
        ("tokenizer = { bpe = 300, bp = 1 }", "unknown field `bp`"),
        ("tokenizer = { bpe = \"a\" }", "invalid type"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
    for (text, words) in [
        (
            "",
            "data: expected exactly one of corpus, files, jsonl and parquet, found none",
        ),
        (
            "corpus = \"cargo\"\nfiles = \"a\"",
            "found corpus and files",
        ),
        ("files = []", "data.files: expected at least one path"),
        (
            "files = \"\"",
            "data.files: expected a path, found an empty string",
        ),
        ("files = \"a\"\ncolumn = \"b\"", "data.column"),
        (
            "files = \"a\"\ntest = 0",
            "data.test: expected a number between 0 and 1",
        ),
        ("files = \"a\"\nvalidation = nan", "data.validation"),
        (
            "files = \"a\"\nvalidation = 0.5\ntest = 0.5",
            "a tenth for training",
        ),
        ("files = \"a\"\nmax_bytes = 0", "data.max_bytes"),
        ("files = \"a\"\nmax_overlap = nan", "data.max_overlap"),
        (
            "files = \"a\"\ntokenizer = { bpe = 256 }",
            "data.tokenizer.bpe",
        ),
    ] {
        let error = parse(text)
            .expect(text)
            .validate()
            .expect_err(text)
            .to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema = serde_json::to_value(schemars::schema_for!(DataConfig)).unwrap();
    let config = serde_json::to_value(DataConfig {
        corpus: Some(NamedCorpus::Cargo),
        files: Some(vec![]),
        jsonl: Some(vec![]),
        parquet: Some(vec![]),
        column: Some(String::new()),
        min_document_bytes: Some(1),
        max_bytes: Some(1),
        max_overlap: Some(1.0),
        skip_bad: Some(1),
        ..DataConfig::default()
    })
    .unwrap();
    for key in config.as_object().unwrap().keys() {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}
