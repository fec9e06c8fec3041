//! Passkey prompts for checkpoints: texts that are written whole and turned into tokens once.

use farspan::checkpoint::passkey::TextPasskey;
use farspan::checkpoint::text::Tokenizer;
use farspan::evaluate::passkey::Prompts;
use farspan_acceptance::spelling::{self, BOS, EOS};
use std::path::Path;
use tempfile::TempDir;

const TASK: &str = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. \
                    I will quiz you about the important information there.";
const SENTENCES: [&str; 5] = [
    " The grass is green.",
    " The sky is blue.",
    " The sun is yellow.",
    " Here we go.",
    " There and back again.",
];
const VOCAB: usize = 1000;

/// One prompt of a grid.
struct Asked {
    depth: f64,
    distance: usize,
    /// The tokens up to the end of the key.
    tokens: Vec<u32>,
    /// How many of them, at the end, are scored.
    scored: usize,
    length: usize,
}

fn prompts(dir: &Path, length: usize, depths: usize, trials: usize) -> Vec<Asked> {
    let task = TextPasskey::open(dir, VOCAB).expect("a tokenizer");
    let grid = task.grid(3, length, depths, trials).expect("prompts");
    let mut all = Vec::new();
    for cell in grid {
        let batch = &cell.batch;
        assert_eq!((batch.rows, batch.len), (trials, length));
        for row in 0..trials {
            let row = row * length..(row + 1) * length;
            let weights = &batch.weights[row.clone()];
            let first = weights.iter().position(|w| *w > 0.0).expect("a key");
            let last = weights.iter().rposition(|w| *w > 0.0).expect("a key");
            assert!(weights[first..=last].iter().all(|w| *w == 1.0));
            let (fed, targets) = (&batch.tokens[row.clone()], &batch.targets[row]);
            assert_eq!(fed[1..], targets[..length - 1]);
            let mut tokens = fed[..=last].to_vec();
            tokens.push(targets[last]);
            all.push(Asked {
                depth: cell.depth,
                distance: cell.distance,
                tokens,
                scored: last + 1 - first,
                length,
            });
        }
    }
    all
}

/// Checks the words of a prompt, and how full it is; `sentence` is the most that a sentence takes. Returns the text.
fn check(asked: &Asked, text: &str, sentence: usize) -> String {
    let key = &text[text.len() - 5..];
    assert!(key.bytes().all(|b| b.is_ascii_digit()), "{text}");
    assert!(!text.contains("  "), "{text}");
    let info = format!(" The pass key is {key}. Remember it. {key} is the pass key.");
    let end = format!(" What is the pass key? The pass key is {key}");
    let middle = text
        .strip_prefix(TASK)
        .and_then(|rest| rest.strip_suffix(&end));
    let middle = middle.unwrap_or_else(|| panic!("{text}"));
    let (before, after) = middle.split_once(&info).unwrap_or_else(|| panic!("{text}"));
    let sentences = |mut filler: &str| {
        let mut count = 0;
        while !filler.is_empty() {
            let next = SENTENCES[count % 5];
            filler = filler
                .strip_prefix(next)
                .unwrap_or_else(|| panic!("{text}"));
            count += 1;
        }
        count
    };
    let (before, after) = (sentences(before), sentences(after));
    let expected = asked.depth * (before + after) as f64;
    assert!(
        (before as f64 - expected).abs() <= 0.5,
        "{before} {after} {text}"
    );
    let unused = (asked.length + 1) - asked.tokens.len();
    assert!(unused < sentence, "{unused} tokens are unused: {text}");
    text.to_string()
}

fn folder(tokenizer: &serde_json::Value) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).expect("a file");
    dir
}

#[test]
fn prompts_are_the_tokens_of_their_text() {
    for (bos, eos) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = folder(&spelling::bytes(bos, eos));
        for length in [420, 512, 771] {
            for asked in prompts(dir.path(), length, 3, 4) {
                let body = &asked.tokens[usize::from(bos)..];
                assert_eq!(bos, asked.tokens[0] == BOS);
                assert!(
                    !body.contains(&BOS) && !body.contains(&EOS),
                    "{:?}",
                    asked.tokens
                );
                let bytes: Vec<u8> = body.iter().map(|&id| id as u8).collect();
                let text = check(&asked, &String::from_utf8(bytes).expect("text"), 22);
                assert_eq!(6, asked.scored, "a blank and five digits");
                // From the blank before the key where the text names it last to the end of the question.
                let key = &text[text.len() - 6..];
                let named = text[..text.len() - 6].rfind(key).expect("the key");
                let last = text[..named].len();
                assert_eq!(asked.distance, text.len() - 6 - last);
            }
        }
        let dir = folder(&spelling::characters(bos, eos));
        for asked in prompts(dir.path(), 512, 2, 4) {
            let body = &asked.tokens[usize::from(bos)..];
            assert_eq!(bos, asked.tokens[0] == 0);
            assert!(body.iter().all(|id| *id >= 32), "{:?}", asked.tokens);
            let text: String = body.iter().filter_map(|&id| char::from_u32(id)).collect();
            // Llama's blank before a text.
            check(&asked, text.strip_prefix(' ').expect("a blank"), 22);
        }
    }
}

#[test]
fn the_shortest_length_holds_every_key() {
    let dir = folder(&spelling::bytes(true, true));
    let task = TextPasskey::open(dir.path(), VOCAB).expect("a tokenizer");
    let least = task.least().expect("a length");
    task.grid(0, least, 1, 500).expect("prompts that fit");
    let error = task
        .grid(0, least - 1, 1, 1)
        .expect_err("no room")
        .to_string();
    assert!(error.contains("no room"), "{error}");
}

#[test]
fn tokens_that_a_model_cannot_read_are_named_where_they_occur() {
    let dir = folder(&spelling::bytes(true, false));
    // "z" has the highest id that occurs in the words, the mark of the beginning a higher one.
    for (bos, vocab, token, id) in [(false, 122, "\"z\"", 122), (true, 256, "\"<s>\"", 256)] {
        let dir = folder(&spelling::bytes(bos, false));
        let error = TextPasskey::open(dir.path(), vocab)
            .and_then(|task| task.grid(0, 512, 1, 1))
            .expect_err("ids beyond the vocabulary");
        assert_eq!(error.exit_code(), 65);
        let error = error.to_string();
        for words in [
            token,
            &format!("id {id}"),
            "tokenizer.json",
            &format!("below {vocab}"),
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
    // The mark of the end is never read, so a model without it will do.
    let task = TextPasskey::open(dir.path(), 257).expect("a tokenizer");
    task.grid(0, 512, 1, 1).expect("prompts");
}

#[test]
fn keys_that_a_tokenizer_cannot_spell_are_an_error() {
    let mut tokenizer = spelling::characters(false, false);
    let vocab = tokenizer["model"]["vocab"]
        .as_object_mut()
        .expect("a vocabulary");
    ('0'..='9').for_each(|digit| drop(vocab.remove(&digit.to_string())));
    let dir = folder(&tokenizer);
    let task = TextPasskey::open(dir.path(), VOCAB).expect("a tokenizer");
    let error = task.grid(0, 512, 1, 1).expect_err("no digits").to_string();
    assert!(error.contains("cannot spell the key"), "{error}");
}

#[test]
fn prompts_of_a_real_tokenizer() {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/checkpoints/stories260K/hf");
    if !dir.is_dir() {
        eprintln!("SKIPPED: {} is absent", dir.display());
        return;
    }
    let tokenizer = Tokenizer::open(&dir).expect("a tokenizer");
    for asked in prompts(&dir, 512, 5, 4) {
        let text = tokenizer.text(&asked.tokens).expect("a text");
        check(&asked, &text, 16);
        assert_eq!(
            asked.tokens,
            tokenizer.document("prompt", &text).expect("tokens").ids
        );
        assert_eq!(1, asked.tokens.iter().filter(|id| **id == 1).count());
    }
}
