//! What `[model]` says beside sizes: every choice is trained, saved and read again, and reaches the numbers.

use farspan::checkpoint::config::{families, like};
use farspan::model::{Decoder, Shape};
use farspan_acceptance::checkpoints::losses;
use farspan_acceptance::{farspan, text, write_config};
use farspan_attention::Device;
use farspan_attention::plan::Geometry;
use farspan_datasets::Batch;
use farspan_pe::{Len, Registry};
use farspan_reports::record::CellRecord;
use farspan_reports::store::RunDir;
use std::sync::Arc;
use tempfile::TempDir;

fn config(model: &str) -> String {
    format!(
        r#"
name = "built"
seeds = [0]
data = {{ files = "text.txt" }}
model = {{ layers = 2, width = 16, heads = 2, {model} }}
train = {{ length = 32, batch = 2, steps = 6, warmup = 2, lr = 5e-3 }}
evaluate.perplexity = {{ lengths = [32], segments = 2, target = 16 }}
[schemes.rope.rope]
"#
    )
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let line = |i: usize| format!("the {} of {} was {}. ", i % 7, i * i % 11, i % 13);
    let words: String = (0..400).map(line).collect();
    std::fs::write(folder.path().join("text.txt"), words).unwrap();
    folder
}

/// Trains under a choice and gives the record, and the mean loss of its first segment as the saved cell has it.
fn built(folder: &TempDir, number: usize, model: &str) -> (CellRecord, f64) {
    write_config(folder.path(), &config(model));
    let out = format!("run{number}");
    let done = |args: &[&str]| {
        let output = farspan(args)
            .current_dir(folder.path())
            .env("FARSPAN_CACHE", folder.path().join("cache"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{model}: {}", text(&output.stderr));
    };
    done(&["run", "config.toml", "--out", &out]);
    let saved = format!("saved{number}");
    let cell = format!("{out}:language/rope/s0");
    done(&[
        "save", "--model", &cell, "--format", "farspan", "--out", &saved,
    ]);
    let dir = RunDir::open(&folder.path().join(&out)).unwrap();
    let plan = dir.plan().unwrap();
    let record = dir.result_of(&plan.cells[0]).unwrap().expect("a result");
    let saved = folder.path().join(saved);
    let model = farspan::checkpoint::open(&saved, &Registry::builtin(), None, &Device::cpu());
    let data: farspan_datasets::DataConfig =
        serde_json::from_str(r#"{"files": "text.txt"}"#).unwrap();
    let data = farspan_datasets::TextData::open(&data, folder.path(), &folder.path().join("cache"));
    let segment = &data.unwrap().test_segments(33, Some(2)).unwrap()[0];
    let loss = losses(&model.unwrap(), &segment.tokens).iter().sum();
    (record, loss)
}

#[test]
fn every_choice_is_trained_and_changes_the_numbers() {
    let folder = folder();
    let choices = [
        "",
        "query_key_norm = \"head\"",
        "block = \"parallel\"",
        "block = \"sandwich\"",
        "norm = \"layer\", biases = true",
        "activation = \"gelu\"",
        "gated = false, activation = \"relu\"",
        "score_cap = 0.02",
        "logit_cap = 3",
        "score_scale = 50",
        "embed_scale = 1",
        "residual_scale = 0.5",
        "logit_scale = 0.25",
        "tied = false",
        "windowed = [true, false], window = 5",
        "like = \"gemma2\"",
        "like = \"qwen3\"",
    ];
    let mut seen: Vec<(f64, &str)> = Vec::new();
    for (number, choice) in choices.into_iter().enumerate() {
        let (record, loss) = built(&folder, number, choice);
        let found = record.measured("perplexity", "", "non-overlap");
        let nll = found.expect("a perplexity").points[0].value[0];
        assert!((nll - loss).abs() < 1e-3, "{choice}: {nll}, {loss}");
        for (other, theirs) in &seen {
            assert!((nll - other).abs() > 1e-4, "{choice} is as {theirs:?}");
        }
        seen.push((nll, choice));
        let both = [
            "",
            "tied = false",
            "embed_scale = 1",
            "logit_cap = 3",
            "logit_scale = 0.25",
        ];
        let windowed = choice.starts_with("windowed") || choice.starts_with("score");
        if both.contains(&choice) || windowed {
            assert_eq!(record.engine.fused_halves, "both", "{choice}");
        }
        if choice.contains("parallel") {
            assert_eq!(record.engine.fused_halves, "none");
        }
    }
}

/// A family's choices at small sizes: a loss that is near that of guessing, with gradients for all weights.
#[test]
fn every_family_can_be_what_a_model_is_like() {
    let geometry = Geometry {
        layers: 4,
        width: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        trained_length: 12,
    };
    let shape = Shape {
        geometry,
        hidden: 24,
        vocab: 11,
    };
    let tokens: Vec<u32> = (0..24).map(|t| (7 * t + t * t) % 11).collect();
    let batch = Batch {
        targets: tokens.clone(),
        weights: vec![1.0; 24],
        tokens,
        positions: None,
        documents: None,
        rows: 2,
        len: 12,
    };
    let mut built = 0;
    for family in families() {
        let architecture = match like(family) {
            Ok(architecture) => architecture.at(&shape),
            Err(error) => {
                let text = error.to_string();
                let reasons = ["experts or latent", "found nothing"];
                let told = reasons.iter().any(|reason| text.contains(reason));
                assert!(told || family == "farspan", "{family}: {text}");
                continue;
            }
        };
        let scheme = Registry::builtin().parse("alibi", serde_json::json!({}));
        let (scheme, device) = (Arc::from(scheme.unwrap()), Device::cpu());
        let decoder = Decoder::drawn(architecture, scheme, Len(12), 3, None, &device);
        let decoder = decoder.unwrap_or_else(|e| panic!("{family}: {e}"));
        let ready = decoder.prepare(Len(12), 12);
        let ready = ready.unwrap_or_else(|e| panic!("{family}: {e}"));
        let found = decoder.backward(&batch, &ready).unwrap();
        assert!(
            (found.loss - 11f64.ln()).abs() < 2.0,
            "{family}: {}",
            found.loss
        );
        let gradients = found.gradients.expect("gradients");
        for (name, weight) in decoder.weights() {
            assert!(gradients.get(&weight.var).is_some(), "{family}: {name}");
        }
        built += 1;
    }
    assert!(built >= 30, "{built} families");
}

#[test]
fn what_a_llama_has_not_is_named() {
    let folder = folder();
    built(&folder, 0, "query_key_norm = \"head\", logit_cap = 3");
    let output = farspan(&["save", "--model", "run0:language/rope/s0", "--out", "llama"])
        .current_dir(folder.path())
        .env("FARSPAN_CACHE", folder.path().join("cache"))
        .output()
        .unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for words in ["query_key_norm", "logit_cap", "--format farspan"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn choices_that_cannot_be_are_mistakes() {
    let folder = folder();
    for (choice, words) in [
        ("like = \"gema2\"", "did you mean `gemma2`"),
        (
            "score_cap = 0",
            "model.score_cap: expected a number above 0",
        ),
        ("window = 4", "is for layers that have one"),
        ("windowed = []", "at least one entry"),
        ("query_key_norm = \"heads\"", "query_key_norm"),
        ("checkpoint = \"x\"", "checkpoint"),
    ] {
        let path = write_config(folder.path(), &config(choice));
        let output = farspan(&["validate", path.to_str().unwrap()])
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{choice}: {told}");
        assert!(told.contains(words), "{choice}: {told}");
    }
}
