use super::*;

fn documents(texts: &[&str]) -> Vec<Document> {
    texts
        .iter()
        .map(|t| Document {
            name: "d".into(),
            text: t.to_string(),
            group: None,
        })
        .collect()
}

fn config(tokenizer: TokenizerConfig, pack: bool) -> DataConfig {
    DataConfig {
        tokenizer,
        pack,
        ..DataConfig::default()
    }
}

/// Some hundred kilobytes of words, lines and characters of every width.
fn long_text() -> String {
    let mut stream = crate::rng::Stream::new(4, "words");
    let words = [
        "the", " fern", "\n", "\n\n", "  ", "\tx", "ß", "雪", "😀", "don't", "12", "...\n",
        "e\u{301}",
    ];
    (0..450_000)
        .map(|_| words[stream.below(words.len() as u64) as usize])
        .collect()
}

#[test]
fn widths_sum_to_the_text_and_decoding_undoes_encoding() {
    let cache = tempfile::tempdir().unwrap();
    let text = long_text();
    let all = documents(&[&text, "a", "naïve 雪 😀", "\n"]);
    for (tokenizer, pack) in [
        (TokenizerConfig::Byte, true),
        (TokenizerConfig::Bpe(400), false),
    ] {
        let config = config(tokenizer, pack);
        let tokenizer = Tokenizer::open(&config, Path::new(""), cache.path(), &all).unwrap();
        for (document, encoded) in all.iter().zip(tokenizer.encode(&all).unwrap()) {
            assert_eq!(
                document.text.len() as u32,
                encoded.widths.iter().sum::<u32>()
            );
            assert!(document.text == tokenizer.decode(&encoded.ids));
            assert_eq!(encoded.ids.len(), encoded.widths.len());
        }
    }
}

/// Text in pieces, by the quick path where it is ASCII, against the crate on the whole text.
#[test]
fn quick_encoding_equals_that_of_the_crate() {
    let text = long_text();
    let ascii: String = text.chars().filter(char::is_ascii).collect();
    let runs = format!(
        "{}\n{}x{}\n",
        "=".repeat(1000),
        " ".repeat(700),
        "=".repeat(300)
    );
    let every: String = (0..128).map(char::from).collect();
    let source = &(include_str!("../tokenizer.rs").to_string() + &every + &every);
    assert!(pieces(&text).len() > 50);
    assert!(pieces(&text).concat() == text);
    let json = bpe::train(&pieces(&text), 600).unwrap();
    assert_eq!(
        json,
        bpe::train(&[&text], 600).unwrap(),
        "whole and in pieces"
    );
    let on_source = bpe::train(&[source, &ascii, &runs], 900).unwrap();
    for json in [json, on_source] {
        let crates = parse("bpe", json.as_bytes()).unwrap();
        let quick = bpe::AsciiEncoder::from_json(json.as_bytes()).unwrap();
        for text in [&text, &ascii, &runs, source] {
            let whole = crates
                .encode(text.as_str(), false)
                .unwrap()
                .get_ids()
                .to_vec();
            assert!(whole == encode_trained(&crates, &quick, text).unwrap());
        }
    }
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let cache = tempfile::tempdir().unwrap();
    let all = documents(&["low lower lowest\n", "slow slower slowest\n"]);
    let config = config(TokenizerConfig::Bpe(300), false);
    let open = || Tokenizer::open(&config, Path::new(""), cache.path(), &all).unwrap();
    let first = open();
    let file = std::fs::read_dir(cache.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(first.hash, open().hash);
    assert_eq!(whole, std::fs::read(&file).unwrap());
    assert!(
        first.vocab < 300,
        "fewer merges than asked for: {}",
        first.description
    );
}

/// A word-level file that lowers case, skips blanks, truncates and pads: the hard cases for widths.
#[test]
fn files_are_applied_to_whole_documents() {
    let folder = tempfile::tempdir().unwrap();
    let json = r#"{"version":"1.0",
            "truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},
            "padding":{"strategy":{"Fixed":9},"direction":"Right","pad_to_multiple_of":null,
                "pad_id":0,"pad_type_id":0,"pad_token":"?"},
            "added_tokens":[{"id":4,"content":"</s>","single_word":false,"lstrip":false,
                "rstrip":false,"normalized":false,"special":true}],
            "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},
            "post_processor":null,"decoder":null,
            "model":{"type":"WordLevel","vocab":{"?":0,"snow":1,"falls":2,"é":3},"unk_token":"?"}}"#;
    std::fs::write(folder.path().join("t.json"), json).unwrap();
    let config = config(TokenizerConfig::File("t.json".into()), true);
    let tokenizer = Tokenizer::open(&config, folder.path(), folder.path(), &[]).unwrap();
    assert_eq!((5, Some(4)), (tokenizer.vocab, tokenizer.separator));
    let encoded = tokenizer
        .encode(&documents(&[" Snow  É falls on\n"]))
        .unwrap();
    assert_eq!(vec![1, 3, 2, 0], encoded[0].ids);
    assert_eq!(vec![5, 4, 6, 4], encoded[0].widths);
    assert_eq!("snow<sep>falls", tokenizer.decode(&[1, 4, 2]));

    std::fs::write(folder.path().join("t.json"), "{}").unwrap();
    let error = Tokenizer::open(&config, folder.path(), folder.path(), &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("t.json: expected a tokenizer.json"),
        "{error}"
    );
}
