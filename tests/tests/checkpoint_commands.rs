//! Commands over checkpoints: what is refused in place of being cut or passed over, where a text ends, what is told.

use farspan_acceptance::checkpoints::Place;
use farspan_acceptance::{farspan, text};
use serde_json::{Value, json};
use std::path::Path;

fn output(place: &Place, args: &[&str]) -> (i32, String, String) {
    let output = farspan(args)
        .current_dir(place.folder())
        .output()
        .expect("a run");
    let code = output.status.code().expect("a code");
    (code, text(&output.stdout), text(&output.stderr))
}

fn config(place: &Place, change: impl Fn(&mut Value)) {
    edit(&place.path("model/config.json"), change);
}

fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let text = std::fs::read_to_string(path).expect("a file");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut value);
    std::fs::write(path, value.to_string()).expect("a file");
}

#[test]
fn what_cannot_be_done_as_asked_is_refused() {
    let place = Place::make();
    std::fs::write(place.path("latin.txt"), b"caf\xe9").expect("a file");
    std::fs::write(place.path("ids"), b"1 2 \xff").expect("a file");
    let eval = ["eval", "--model", "model", "text.txt", "--lengths"];
    let generate = ["generate", "--model", "model", "--prompt", "red"];
    for (start, more, code, words) in [
        (
            &eval[..],
            "16 --protocol sliding --stride 20",
            2,
            "the shortest of --lengths, 16, found 20",
        ),
        (
            &eval[..],
            "8,16 --protocol fixed-target --target 12",
            2,
            "the shortest of --lengths, 8, found 12",
        ),
        (
            &eval[..],
            "16 --stride 8",
            2,
            "--stride is for --protocol sliding",
        ),
        (
            &eval[..],
            "16 --protocol sliding --target 8",
            2,
            "--target is for --protocol fixed-target",
        ),
        (&eval[..], "16 --segments 0", 2, "at least 1"),
        (&eval[..], "16,0", 2, "at least 1"),
        (
            &eval[..],
            "16 --scheme own,factor=2",
            2,
            "takes no settings",
        ),
        (
            &eval[..],
            "16 --scheme yarn,factor=4,factor=8",
            2,
            "given twice",
        ),
        (&eval[..], "16 --scheme yarn,", 2, "behind each comma"),
        (
            &eval[..],
            "16 --scheme longrope,factor=2,long_factors=[1,2,3]",
            2,
            "long_factors",
        ),
        (
            &eval[..],
            "16 --ignore-keys mystery",
            2,
            "no key `mystery` to ignore",
        ),
        (&eval[..], "16 latin.txt", 65, "UTF-8"),
        (&generate[..], "--top-k 3", 2, "--temperature above 0"),
        (&generate[..], "--seed 3", 2, "--temperature above 0"),
        (&generate[..], "--temperature 1 --top-k 0", 2, "at least 1"),
        (
            &["logits", "--model", "model", "--out", "x", "--ids"],
            "ids",
            65,
            "UTF-8",
        ),
        (
            &["check", "nowhere/at-all/ever"],
            "",
            65,
            "expected a checkpoint folder",
        ),
        (
            &["explain", "yarn", "factor=4", "factor=8"],
            "",
            2,
            "given twice",
        ),
        (
            &["explain", "longrope"],
            "short_factor=[1] short_factors=[1]",
            2,
            "given twice",
        ),
    ] {
        let args: Vec<&str> = start
            .iter()
            .copied()
            .chain(more.split_whitespace())
            .collect();
        let (found, _, told) = output(&place, &args);
        assert_eq!(found, code, "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
    std::fs::remove_file(place.path("model/config.json")).expect("removal");
    let (code, _, told) = output(&place, &["check", "model"]);
    assert_eq!(code, 65, "{told}");
    assert!(told.contains("config.json"), "{told}");
}

#[test]
fn explain_takes_the_librarys_words() {
    let place = Place::make();
    let words = [
        "explain",
        "longrope",
        "factor=4",
        "--head-dim",
        "8",
        "--json",
    ];
    let theirs = [
        "short_factor=[1,1.1,1.2,1.3]",
        "long_factor=[2,3,4,5]",
        "original_max_position_embeddings=64",
    ];
    let ours = [
        "short_factors=[1,1.1,1.2,1.3]",
        "long_factors=[2,3,4,5]",
        "trained_length=64",
    ];
    let told = |more: &[&str]| output(&place, &[&words[..], more].concat());
    let (code, found, error) = told(&theirs);
    assert_eq!(code, 0, "{error}");
    assert_eq!(found, told(&ours).1);
    let (code, _, error) = output(
        &place,
        &["explain", "dynamic", "factor=2", "--length", "4096"],
    );
    assert_eq!(code, 0, "{error}");
}

#[test]
fn every_row_of_a_comparison_scores_the_same_tokens() {
    let place = Place::make();
    for protocol in ["non-overlap", "sliding", "fixed-target"] {
        let args = [
            "eval",
            "--model",
            "model",
            "--lengths",
            "24,32,48",
            "--protocol",
            protocol,
            "--unit",
            "stretch",
            "--segments",
            "3",
            "--json",
            "text.txt",
        ];
        let (code, found, error) = output(&place, &args);
        assert_eq!(code, 0, "{error}");
        let report: Value = serde_json::from_str(&found).expect("JSON");
        let rows = report["rows"].as_array().expect("rows");
        let tokens: Vec<u64> = rows
            .iter()
            .map(|row| row["scored"]["tokens"].as_u64().expect("a number"))
            .collect();
        let expected = if protocol == "fixed-target" {
            3 * 24
        } else {
            3 * 48
        };
        assert_eq!(tokens, [expected; 3], "{protocol}");
    }
}

#[test]
fn what_is_doubtful_or_against_advice_is_told_with_the_numbers() {
    let place = Place::make();
    config(&place, |config| {
        config["rope_parameters"] =
            json!({"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0});
        config["mystery"] = json!(7);
    });
    let (code, _, told) = output(&place, &["check", "model"]);
    assert_eq!(code, 65);
    assert!(
        told.contains("mystery") && told.contains("--ignore-keys"),
        "{told}"
    );
    let ignoring = ["--ignore-keys", "mystery"];
    let (code, found, told) = output(&place, &[&["check", "model"][..], &ignoring].concat());
    assert_eq!(code, 0, "{told}");
    for word in [
        "32 is taken, 8 is possible",
        "key `mystery` = 7 was ignored",
    ] {
        assert!(found.contains(word), "{found}");
    }
    let eval = [
        "eval",
        "--model",
        "model",
        "--lengths",
        "16",
        "--segments",
        "1",
        "--json",
        "text.txt",
    ];
    let scheme = ["--scheme", "own", "--scheme", "dynamic-ntk"];
    let (code, found, told) = output(&place, &[&eval[..], &ignoring, &scheme].concat());
    assert_eq!(code, 0, "{told}");
    let report: Value = serde_json::from_str(&found).expect("JSON");
    let notes = report["notes"].to_string();
    for word in [
        "8 is possible",
        "`mystery`",
        "scheme dynamic-ntk computes with the trained length",
    ] {
        assert!(notes.contains(word) && told.contains(word), "{notes}");
    }
    let set = ["--trained-length", "8"];
    let (code, found, told) = output(&place, &[&eval[..], &ignoring, &scheme, &set].concat());
    assert_eq!(code, 0, "{told}");
    let report: Value = serde_json::from_str(&found).expect("JSON");
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("trained length is 8, as was asked for"),
        "{notes}"
    );
    assert!(!notes.contains("possible"), "{notes}");
    // In a run the same is said in the config, and stands in every record.
    let run = r#"
name = "told"
[model]
checkpoint = "model"
ignore_keys = ["mystery"]
[data]
files = ["text.txt"]
test = 0.3
[train]
batch = 4
[schemes.rope.rope]
[schemes.dynamic.dynamic-ntk]
extends = "rope"
[evaluate.perplexity]
lengths = [32]
segments = 2
"#;
    std::fs::write(place.path("told.toml"), run).expect("a file");
    let (code, told) = place.run(&["run", "told.toml", "--out", "told"]);
    assert_eq!(code, 0, "{told}");
    for record in place.records("told") {
        let notes = record.model.notes.join("\n");
        assert!(
            notes.contains("8 is possible") && notes.contains("`mystery`"),
            "{notes}"
        );
        let inherits = notes.contains("scheme dynamic-ntk computes");
        assert_eq!(inherits, record.scheme.id == "dynamic-ntk", "{notes}");
    }
    let (code, told) = place.run(&[
        "run",
        "told.toml",
        "model.trained_length=8",
        "--out",
        "set",
        "evaluate.perplexity.lengths=[8]",
    ]);
    assert_eq!(code, 0, "{told}");
    let records = place.records("set");
    assert!(records.iter().all(|r| r.trained_length == 8));
}

#[test]
fn a_text_ends_where_the_checkpoint_says_and_goes_on_from_the_prompt() {
    let place = Place::make();
    let generate = |more: &[&str]| {
        let args = [
            "generate", "--model", "model", "--prompt", "red fish", "--tokens", "12",
        ];
        let (code, found, told) = output(&place, &[&args[..], more].concat());
        assert_eq!(code, 0, "{told}");
        found.trim_end_matches('\n').to_string()
    };
    let whole = generate(&[]);
    let letters = farspan_acceptance::checkpoints::LETTERS;
    let new: Vec<char> = whole.chars().skip("red fish".len()).collect();
    assert_eq!(new.len(), 12);
    // The first letter that does not come before ends the text.
    let at = (1..12)
        .find(|&at| !new[..at].contains(&new[at]))
        .expect("a new letter");
    let id = letters.find(new[at]).expect("a letter");
    let cut: String = whole.chars().take("red fish".len() + at + 1).collect();
    assert_eq!(generate(&["--stop", &id.to_string()]), cut);
    config(&place, |config| config["eos_token_id"] = json!([63, id]));
    assert_eq!(generate(&[]), cut);
    assert_eq!(generate(&["--ignore-eos"]), whole);
    // generation_config.json is asked first.
    let other = place.path("model/generation_config.json");
    std::fs::write(&other, json!({"eos_token_id": 0}).to_string()).expect("a file");
    assert_eq!(generate(&["--stop", &id.to_string()]), cut);
    std::fs::write(&other, json!({"eos_token_id": "x"}).to_string()).expect("a file");
    let (code, _, told) = output(&place, &["generate", "--model", "model", "--prompt", "red"]);
    assert_eq!(code, 65, "{told}");
    std::fs::remove_file(&other).expect("removal");
    config(&place, |config| config["eos_token_id"] = Value::Null);
    // A tokenizer that closes every text does not close the prompt.
    edit(&place.path("model/tokenizer.json"), |tokenizer| {
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "?", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"?": {"id": "?", "ids": [0], "tokens": ["?"]}},
        });
    });
    assert_eq!(generate(&[]), whole);
}
