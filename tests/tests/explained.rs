//! `explain` draws and tells what a scheme does with weights, and an extension stands on any bias that a config trains.

use farspan_acceptance::{farspan, run, text, write_config};
use serde_json::Value;
use std::path::Path;

const CONFIG: &str = r#"
name = "explained"
seeds = [0]
[schemes.alibi.alibi]
bias_max = 4
[schemes.kerple.kerple]
per_layer = true
[schemes.far.pi-bias]
extends = "alibi"
factor = 2
[schemes.near.ntk-bias]
extends = "alibi"
[studies.retrieval]
task = "passkey"
model = { layers = 2, width = 32, heads = 2 }
train = { length = 32, batch = 4, steps = 4, warmup = 1, validate_every = 4 }
evaluate.task = { lengths = [32, 64], grid = { depth = 2 }, prompts = 2 }
"#;

#[track_caller]
fn fine(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = farspan(args).current_dir(folder).output().unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{words}");
    output.stdout
}

fn biases(told: &[u8]) -> (Vec<f64>, String) {
    let told: Value = serde_json::from_slice(told).unwrap();
    let bias = &told["bias"];
    let heads = bias["values"].as_array().unwrap().iter();
    let at = heads.map(|head| head[0][0].as_f64().unwrap());
    (at.collect(), bias["note"].as_str().unwrap().to_string())
}

#[test]
fn a_cell_is_explained_with_what_it_learned_and_its_bias_is_stretched() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_config(folder, CONFIG);
    fine(folder, &["run", "config.toml", "--out", "run"]);
    // The extension knows its base with its settings.
    let resolved = std::fs::read_to_string(folder.join("run/resolved.toml")).unwrap();
    assert!(
        resolved.contains("over") && resolved.contains("bias_max"),
        "{resolved}"
    );
    let shown = ["--queries=8", "--keys=0", "--json"];
    let explain = |cell: &str, layer: &str| {
        let cell = format!("--cell=run:retrieval/{cell}/s0");
        let layer = format!("--layer={layer}");
        let mut args = vec!["explain", &cell, &layer];
        args.extend(shown);
        biases(&fine(folder, &args))
    };
    // Before training both heads are told with the mean of the draws; a cell has numbers of its own.
    let drawn = ["explain", "kerple", "--heads=2"];
    let drawn: Vec<&str> = drawn.into_iter().chain(shown).collect();
    let (start, note) = biases(&fine(folder, &drawn));
    assert!(start[0] == start[1] && note.contains("at random"), "{note}");
    let (first, note) = explain("kerple", "0");
    let (second, _) = explain("kerple", "1");
    assert!(
        first[0] != first[1] && first != second && note == "fixed",
        "{first:?} {second:?} {note}"
    );
    let (alibi, _) = explain("alibi", "0");
    let (far, _) = explain("far", "0");
    let (near, _) = explain("near", "0");
    for head in 0..2 {
        assert!((far[head] - alibi[head] / 2.0).abs() < 1e-12, "{far:?}");
    }
    assert!(
        near[0] == alibi[0] && (near[1] - far[1]).abs() < 1e-12,
        "{near:?}"
    );
    let deep = farspan(&["explain", "--cell=run:retrieval/kerple/s0", "--layer=2"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(text(&deep.stderr).contains("a layer below 2, found 2"));
}

/// What reads content has no score by position; a trained cell shows what its heads look at, in text of its own study.
#[test]
fn a_cell_shows_what_its_heads_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = r#"
name = "looks"
seeds = [0]
[schemes.cope.cope]
[schemes.path.path]
[schemes.alibi.alibi]
[schemes.abacus.abacus]
[studies.language]
[studies.sums]
task = { addition = { reverse = true } }
evaluate.task = { lengths = [32], prompts = 2 }
[data]
corpus = "cargo"
tokenizer = "byte"
[model]
layers = 2
width = 32
heads = 2
[train]
length = 32
batch = 4
steps = 4
warmup = 1
validate_every = 4
[evaluate.perplexity]
lengths = [32]
segments = 2
"#;
    write_config(folder, config);
    fine(folder, &["run", "config.toml", "--out", "run"]);
    for study in ["language", "sums"] {
        for scheme in ["cope", "path", "alibi", "abacus"] {
            let cell = format!("--cell=run:{study}/{scheme}/s0");
            let prefix = format!("--svg={study}-{scheme}");
            let args = ["explain", &cell, "--layer=1", &prefix, "--json"];
            let told: Value = serde_json::from_slice(&fine(folder, &args)).unwrap();
            let heads = told["attention"]["heads"].as_array().unwrap().clone();
            assert_eq!(heads.len(), 2);
            for head in &heads {
                let curve = head["by_distance"].as_array().unwrap();
                let known: Vec<f64> = curve.iter().filter_map(Value::as_f64).collect();
                // The first query gives all of its weight to its only key.
                assert!(known[0] > 1.0 / 32.0 && known.iter().all(|w| (-1e-6..=1.0).contains(w)));
                let (low, high) = known.iter().fold((1.0f64, 0.0f64), |(low, high), w| {
                    (low.min(*w), high.max(*w))
                });
                assert!(
                    high > 1.2 * low,
                    "{study} {scheme}: a flat line, {low} to {high}"
                );
                let entropy = head["entropy"].as_f64().unwrap();
                assert!(entropy > 0.5 && entropy < 32f64.ln(), "{entropy}");
            }
            for what in ["attention", "attention-matrix"] {
                let path = folder.join(format!("{study}-{scheme}-{what}.svg"));
                let svg = std::fs::read_to_string(path).unwrap();
                assert!(svg.contains("head 1"), "{study} {scheme} {what}");
            }
            // Beside it the scores that follow from positions, where they do.
            let scores = folder
                .join(format!("{study}-{scheme}-distance.svg"))
                .exists();
            assert_eq!(scores, scheme == "alibi" || scheme == "abacus", "{scheme}");
        }
    }
    let words = text(&fine(folder, &["explain", "--cell=run:language/cope/s0"]));
    assert!(
        words.contains("Attention of layer 0 over 4 windows of 32 tokens"),
        "{words}"
    );
    let output = farspan(&["explain", "cope", "--svg=x"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(text(&output.stderr).contains("--cell RUN:CELL draws"));
}

#[test]
fn pictures_show_weights_and_a_base_beside_its_extension() {
    let folder = tempfile::tempdir().unwrap();
    fine(
        folder.path(),
        &[
            "explain",
            "pi",
            "factor=4",
            "--svg=pi",
            "--length=64",
            "--trained-length=32",
        ],
    );
    for what in ["distance", "weights", "matrix"] {
        let svg = std::fs::read_to_string(folder.path().join(format!("pi-{what}.svg"))).unwrap();
        let base = svg.contains("rope: all heads");
        assert_eq!(base, what != "matrix", "{what}");
    }
    let words = text(&run(&["explain", "rope", "--trained-length=512"]).stdout);
    assert!(words.contains("never round"), "{words}");
}

#[test]
fn a_base_of_another_family_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace(
        "[schemes.kerple.kerple]\nper_layer = true",
        "[schemes.rope.rope]",
    );
    let config = config.replace("extends = \"alibi\"", "extends = \"rope\"");
    let refused = |config: &str| {
        write_config(folder.path(), config);
        let output = farspan(&["plan", "config.toml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        text(&output.stderr)
    };
    let words = refused(&config);
    assert!(
        words.contains("pi-bias extends the bias family, \"rope\" (rope) is of the rotary family"),
        "{words}"
    );
    // Nor may it stand on another scheme than the one whose weights it reads.
    let words = refused(&CONFIG.replace("factor = 2", "over = { t5 = {} }"));
    assert!(
        words.contains("schemes.far.pi-bias.over") && words.contains("that `extends` names"),
        "{words}"
    );
}
