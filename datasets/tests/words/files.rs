//! Files of prompts: the forms that others write, and what is no such file.

use farspan_datasets::words::{Form, PromptFile, Reading, Scorer, read_prompts};
use std::path::PathBuf;

fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn read(name: &str, content: &str) -> PromptFile {
    let (_folder, path) = file(name, content);
    read_prompts(&path, &Reading::default()).unwrap()
}

#[test]
fn ruler() {
    let read = read(
        "niah_single_1/validation.jsonl",
        concat!(
            r#"{"index": 0, "input": "Text. What is it?", "outputs": ["123", "456"], "length": 4096, "answer_prefix": " It is"}"#,
            "\n\n",
            r#"{"index": 1, "input": "More. What is it?", "outputs": ["789"], "length": 4090, "answer_prefix": ""}"#,
        ),
    );
    assert_eq!(Form::Ruler, read.form);
    assert_eq!(
        "the prompt from input and answer_prefix, its references from outputs",
        read.taken
    );
    let [first, second] = &read.prompts[..] else {
        panic!("{read:?}")
    };
    assert_eq!("Text. What is it? It is", first.whole());
    assert_eq!(vec!["123", "456"], first.references);
    assert_eq!(128, first.answer_tokens);
    assert_eq!("More. What is it?", second.whole());
    assert_eq!(Some(0.5), Scorer::All.score(first.sought(), "It is 456."));
    // Without a prefix, and the port's.
    let bare = self::read(
        "vt.jsonl",
        r#"{"index": 0, "input": "Text", "outputs": ["A"], "length": 9}"#,
    );
    assert_eq!(
        (Form::Ruler, "Text", 30),
        (
            bare.form,
            bare.prompts[0].whole().as_str(),
            bare.prompts[0].answer_tokens
        )
    );
    let port = self::read(
        "cwe.jsonl",
        r#"{"input": "Text", "outputs": ["A"], "gen_prefix": "Answer:", "max_length": 9}"#,
    );
    assert_eq!("Text Answer:", port.prompts[0].whole());
}

#[test]
fn samples_of_the_harness() {
    let line = r#"{"doc_id": 0, "doc": {"input": "x", "outputs": ["12", "13"]}, "target": "['12', '13']",
        "arguments": {"gen_args_0": {"arg_0": "The whole prompt", "arg_1": {"until": [], "max_gen_toks": 77}}}}"#;
    let read = read("samples.jsonl", &line.replace('\n', " "));
    assert_eq!(Form::Harness, read.form);
    assert_eq!(
        "the prompt from arguments, its references from doc.outputs",
        read.taken
    );
    let prompt = &read.prompts[0];
    assert_eq!(
        ("The whole prompt", 77),
        (prompt.text.as_str(), prompt.answer_tokens)
    );
    assert_eq!(vec!["12", "13"], prompt.references);
    // As its earlier versions wrote it, the target beside the document.
    let older = self::read(
        "samples_babilong_qa1_2026.jsonl",
        r#"{"doc": {"question": "Where?"}, "target": "garden", "arguments": [["Prompt", {"until": ["."]}]]}"#,
    );
    let prompt = &older.prompts[0];
    assert_eq!(
        "the prompt from arguments, its references from target",
        older.taken
    );
    assert_eq!(
        ("Prompt", "Where?", 16),
        (
            prompt.text.as_str(),
            prompt.question.as_str(),
            prompt.answer_tokens
        )
    );
    assert_eq!(vec!["garden"], prompt.references);
    // A choice by likelihood.
    let choice = self::read(
        "samples.jsonl",
        r#"{"doc": {"answer": "B"}, "target": 1, "arguments": [["Prompt", " yes"], ["Prompt", " no"]]}"#,
    );
    let prompt = &choice.prompts[0];
    assert_eq!(vec!["no"], prompt.references);
    assert_eq!(Some(vec!["yes".to_string(), "no".into()]), prompt.choices);
}

#[test]
fn parts_are_put_together() {
    let helmet = read(
        "json_kv/test_k105_dep6.jsonl",
        r#"{"context": "{\"a\": \"b\"}", "question": "a", "answer": "b", "demos": [], "num_kvs": 105}"#,
    );
    assert_eq!(Form::Parts, helmet.form);
    assert_eq!(
        "the prompt from context and question, its references from answer",
        helmet.taken
    );
    let prompt = &helmet.prompts[0];
    assert_eq!("{\"a\": \"b\"}\n\nQuestion: a\nAnswer:", prompt.whole());
    assert_eq!(("a", 100), (prompt.question.as_str(), prompt.answer_tokens));
    let babilong = read(
        "qa2.jsonl",
        r#"{"input": "Facts.", "question": "Where?", "target": "office"}"#,
    );
    assert_eq!(
        "Facts.\n\nQuestion: Where?\nAnswer:",
        babilong.prompts[0].whole()
    );
    assert_eq!(16, babilong.prompts[0].answer_tokens);
    let score = |said: &str| Scorer::OnlyLabel.score(babilong.prompts[0].sought(), said);
    assert_eq!(Some(1.0), score("In the office."));
    assert_eq!(Some(0.0), score("In the office or the garden."));
    // Labels that the question names are no choices.
    let gift = read(
        "qa5.jsonl",
        r#"{"input": "Facts.", "question": "What did Fred give to Bill?", "target": "milk"}"#,
    );
    let choices = gift.prompts[0].choices.clone().unwrap();
    assert_eq!(vec!["Jeff", "Mary", "apple", "football", "milk"], choices);
    // Another task of the same name.
    let other = read(
        "qa1.jsonl",
        r#"{"input": "I", "question": "Q", "target": "Rome"}"#,
    );
    assert_eq!(None, other.prompts[0].choices);
}

#[test]
fn plain_lines() {
    for (line, whole, references) in [
        (
            r#"{"prompt": "P", "target": "x", "max_new_tokens": 5}"#,
            "P",
            vec!["x"],
        ),
        (
            r#"{"input": "P", "answers": ["x", ["y", "z"]], "max_new_tokens": 5}"#,
            "P",
            vec!["x", "y", "z"],
        ),
        (
            r#"{"question": "P?", "references": ["x"], "max_new_tokens": 5}"#,
            "P?",
            vec!["x"],
        ),
        (
            r#"{"text": "P", "answer": 12, "max_new_tokens": 5}"#,
            "P",
            vec!["12"],
        ),
        (
            r#"{"prompt": "P", "input": "I", "question": "Q", "outputs": [" x "], "max_new_tokens": 5}"#,
            "P",
            vec!["x"],
        ),
        (
            "\u{feff}{\"prompt\": \"P \u{e9}\", \"target\": \"x\", \"max_new_tokens\": 5, \"more\": {\"a\": [1]}}",
            "P \u{e9}",
            vec!["x"],
        ),
    ] {
        let read = read("any.jsonl", line);
        assert_eq!(whole, read.prompts[0].whole());
        assert_eq!(references, read.prompts[0].references);
        assert_eq!(5, read.prompts[0].answer_tokens);
        assert_eq!(64, read.hash.len());
    }
    let (_folder, path) = file(
        "any.jsonl",
        r#"{"prompt": "P", "target": "x", "max_new_tokens": 5, "choices": ["x", "y"]}"#,
    );
    let reading = Reading {
        max_new_tokens: Some(9),
    };
    let read = read_prompts(&path, &reading).unwrap();
    assert_eq!(9, read.prompts[0].answer_tokens, "what is set wins");
    assert_eq!(
        Some(vec!["x".to_string(), "y".into()]),
        read.prompts[0].choices
    );
}

#[test]
fn what_is_no_file_of_prompts_is_said() {
    let good = r#"{"prompt": "P", "target": "x", "max_new_tokens": 5}"#;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (content, words) in [
        ("", "expected prompts, one JSON object a line, found none".to_string()),
        ("\n \n", "found none".into()),
        ("{", "line 1: expected one JSON object, found EOF".into()),
        (&format!("{good}\n\n{{\"prompt\": 1,}}"), "line 3: expected one JSON object, found trailing comma".into()),
        ("[1]", "line 1: expected one JSON object, found a list".into()),
        ("\"x\"", "found a string".into()),
        (&deep, "line 1: expected one JSON object, found recursion limit exceeded".into()),
        ("{}", "line 1: expected a prompt in one of prompt, input, question, text, found no keys".into()),
        (r#"{"a": 1}"#, "found the keys a".into()),
        (r#"{"prompt": "P"}"#, "line 1: expected references in one of outputs, answers,".into()),
        (r#"{"prompt": "P", "target": null}"#, "found the keys prompt, target".into()),
        (r#"{"prompt": "P", "target": ""}"#, "in \"target\", found an empty reference".into()),
        (r#"{"prompt": "P", "target": " "}"#, "found an empty reference".into()),
        (r#"{"prompt": "P", "target": []}"#, "found an empty list".into()),
        (r#"{"prompt": "P", "target": ["x", ""]}"#, "found an empty reference".into()),
        (r#"{"prompt": "P", "target": ["x", null]}"#, "found null".into()),
        (r#"{"prompt": "P", "target": {"a": 1}}"#, "found an object".into()),
        (r#"{"prompt": "", "target": "x"}"#, "expected text in \"prompt\", found an empty string".into()),
        (r#"{"prompt": ["P"], "target": "x"}"#, "expected text in \"prompt\", found a list".into()),
        (r#"{"prompt": "P", "target": "x"}"#, "tokens that an answer may take (max_new_tokens)".into()),
        (r#"{"prompt": "P", "target": "x", "max_new_tokens": 0}"#, "a number from 1 in \"max_new_tokens\", found 0".into()),
        (r#"{"prompt": "P", "target": "x", "max_new_tokens": -3}"#, "found -3".into()),
        (
            &format!("{good}\n{{\"input\": \"P\", \"target\": \"x\"}}"),
            "line 2: expected the key \"prompt\", as in the lines before, found the keys input, target".into(),
        ),
        (
            &format!("{good}\n{{\"prompt\": \"P\", \"answer\": \"x\", \"max_new_tokens\": 5}}"),
            "line 2: expected the key \"target\", as in the lines before".into(),
        ),
        (r#"{"doc": {}, "arguments": [], "target": "x"}"#, "expected what the model was asked in \"arguments\", found nothing".into()),
        (r#"{"doc": {}, "arguments": 3, "target": "x"}"#, "found nothing".into()),
        (r#"{"doc": {}, "arguments": [[5]], "target": "x"}"#, "expected text in \"arguments\", found a number".into()),
        (r#"{"doc": {}, "arguments": [["P"]]}"#, "expected references".into()),
        (
            r#"{"doc": {}, "target": 7, "arguments": [["P", "a"], ["P", "b"]]}"#,
            "expected one of 2 choices in \"target\", found 7".into(),
        ),
        (
            r#"{"context": "C", "question": "", "answer": "x"}"#,
            "expected text in \"question\", found an empty string".into(),
        ),
        (
            r#"{"input": "C", "outputs": ["x"], "answer_prefix": 3}"#,
            "expected text in \"answer_prefix\", found a number".into(),
        ),
    ] {
        let (_folder, path) = file("any.jsonl", content);
        let error = read_prompts(&path, &Reading::default()).unwrap_err().to_string();
        let shown: String = content.chars().take(80).collect();
        assert!(error.contains(&words) && error.contains("any.jsonl"), "{shown}: {error}");
    }
    let (_folder, path) = file("any.jsonl", b"{\"prompt\": \"\xff\"}");
    let error = read_prompts(&path, &Reading::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 1: expected UTF-8, found an invalid byte at offset 12 of the line"),
        "{error}"
    );
    let error = read_prompts(path.parent().unwrap(), &Reading::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected a regular file, found a folder"),
        "{error}"
    );
}

#[test]
fn there_is_an_end_to_files() {
    let line = "{\"prompt\": \"P\", \"target\": \"x\", \"max_new_tokens\": 5}\n";
    let (_folder, path) = file("many.jsonl", line.repeat(100_000));
    assert_eq!(
        100_000,
        read_prompts(&path, &Reading::default())
            .unwrap()
            .prompts
            .len()
    );
    std::fs::write(&path, line.repeat(100_001)).unwrap();
    let error = read_prompts(&path, &Reading::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 100001: expected at most 100000 prompts in a file"),
        "{error}"
    );
    // Sparse: nothing of it is on the disk.
    let sparse = std::fs::File::create(&path).unwrap();
    sparse.set_len((1 << 30) + 1).unwrap();
    let error = read_prompts(&path, &Reading::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("at most 1073741824 bytes of prompts"),
        "{error}"
    );
    sparse.set_len(100 << 20).unwrap();
    let error = read_prompts(&path, &Reading::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 1: expected a line of at most 67108864 bytes, found a longer one"),
        "{error}"
    );
}

/// Any bytes: an error or prompts that can be scored, never a panic.
#[test]
fn any_bytes_are_read_or_refused() {
    use farspan_datasets::rng::Stream;
    let seeds = [
        r#"{"index": 0, "input": "Text?", "outputs": ["123"], "answer_prefix": " It is"}"#,
        r#"{"doc": {"outputs": ["12"]}, "target": "12", "arguments": {"gen_args_0": {"arg_0": "P", "arg_1": {"max_gen_toks": 7}}}}"#,
        r#"{"context": "C", "question": "Q", "answer": ["b", "é"], "max_new_tokens": 3}"#,
    ];
    let mut rng = Stream::new(0, "test/bytes");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("niah.jsonl");
    let (mut read, mut refused) = (0, 0);
    for round in 0..3000 {
        let mut bytes = format!("{}\n{}\n", seeds[round % 3], seeds[round % 3]).into_bytes();
        for _ in 0..rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:\n0"[rng.below(9) as usize]),
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        match read_prompts(&path, &Reading::default()) {
            Ok(file) => {
                read += 1;
                for prompt in file.prompts {
                    assert!(!prompt.whole().is_empty() && prompt.answer_tokens > 0);
                    assert!(Scorer::All.score(prompt.sought(), "12").is_some());
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 500 && refused > 500, "{read} {refused}");
}
