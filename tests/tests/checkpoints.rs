//! Pretrained checkpoints against the reference library's logits. `tests/golden/checkpoints/make.py` made the numbers.
#![expect(
    clippy::result_large_err,
    reason = "closures that a model calls return its errors, which name both sides"
)]

use farspan::checkpoint::decoder::{Cache, Pretrained};
use farspan_acceptance::checkpoints::golden;
use farspan_attention::Device;
use farspan_pe::Registry;
use serde_json::Value;
use std::path::PathBuf;

/// Largest difference from the reference's float32 logits, relative to their largest.
const TOLERANCE: f64 = 1e-4;

fn folder() -> PathBuf {
    golden("")
}

fn cases() -> Vec<String> {
    let mut cases: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder of golden checkpoints")
        .filter_map(|entry| {
            let entry = entry.expect("a readable entry");
            let is_case = entry.path().join("config.json").exists();
            is_case.then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    cases.sort();
    cases
}

/// The model of a case; scalings share the weights of their family's default.
fn open(case: &str) -> Pretrained {
    let source = folder().join(case);
    let family = case.split('-').next().expect("a first part");
    let own = source.join("model.safetensors");
    let weights = match own.exists() {
        true => own,
        false => folder().join(format!("{family}-default/model.safetensors")),
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(source.join("config.json"), dir.path().join("config.json")).expect("a config");
    std::fs::copy(weights, dir.path().join("model.safetensors")).expect("weights");
    Pretrained::open(dir.path(), &Registry::builtin(), None, &Device::cpu())
        .unwrap_or_else(|e| panic!("{case}: {e}"))
}

fn expected(case: &str) -> Vec<(Vec<u32>, Value)> {
    let path = folder().join(case).join("expected.json");
    let text = std::fs::read_to_string(&path).expect("expected.json");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let texts = value["texts"].as_array().expect("a list of texts");
    let text = |text: &Value| {
        let ids = text["ids"].as_array().expect("ids").iter();
        let ids = ids.map(|id| id.as_u64().expect("an id") as u32);
        (ids.collect(), text.clone())
    };
    texts.iter().map(text).collect()
}

/// All logits, run in pieces of `chunk` tokens.
fn logits(model: &Pretrained, ids: &[u32], chunk: usize) -> Vec<f32> {
    let mut logits = Vec::new();
    model
        .run(ids, chunk, |_, hidden| {
            logits.extend(model.logits(hidden)?.to_flat::<f32>()?);
            Ok(())
        })
        .expect("a run");
    logits
}

/// Largest difference of the recorded rows relative to the largest logit, and relative difference of the norms.
fn difference(found: &[f32], vocab: usize, text: &Value) -> (f64, f64) {
    let largest = found.iter().fold(0f32, |m, x| m.max(x.abs()));
    let mut worst = 0f64;
    for (row, values) in text["rows"].as_object().expect("rows") {
        let row: usize = row.parse().expect("a row number");
        let values = values.as_array().expect("logits");
        assert_eq!(values.len(), vocab);
        for (x, y) in found[row * vocab..].iter().zip(values) {
            worst = worst.max((f64::from(*x) - y.as_f64().expect("a number")).abs());
        }
    }
    let norm = found
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    let reference = text["norm"].as_f64().expect("a norm");
    (
        worst / f64::from(largest),
        (norm - reference).abs() / reference,
    )
}

#[test]
fn logits_are_those_of_the_reference_library() {
    let cases = cases();
    assert!(cases.len() >= 40, "only {} golden checkpoints", cases.len());
    let mut failed = Vec::new();
    for case in &cases {
        let model = open(case);
        for (ids, text) in expected(case) {
            let found = logits(&model, &ids, usize::MAX);
            let (rows, norm) = difference(&found, model.architecture.vocab, &text);
            // A bound that a NaN fails too.
            if !(rows <= TOLERANCE && norm <= TOLERANCE) {
                failed.push(format!(
                    "{case}, {} tokens: rows {rows:.1e}, norm {norm:.1e}",
                    ids.len()
                ));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "differs from the reference:\n{}",
        failed.join("\n")
    );
}

#[test]
fn pieces_with_a_cache_give_the_logits_of_the_whole() {
    for case in cases() {
        let model = open(&case);
        let (ids, _) = expected(&case).pop().expect("a text");
        let whole = logits(&model, &ids, usize::MAX);
        for chunk in [1, 7, 32] {
            let pieces = logits(&model, &ids, chunk);
            close(&whole, &pieces, &format!("{case} in pieces of {chunk}"));
        }
    }
}

#[test]
fn a_growing_text_gives_at_each_step_what_a_prefill_gives() {
    // Scalings that switch at 32 tokens are followed up to there: past it, the hidden states of earlier tokens stem from
    // other rotations than a prefill would give them, in the reference as well.
    for (case, until) in [
        ("llama-default", 48),
        ("llama-yarn", 48),
        ("llama-dynamic", 32),
        ("llama-longrope", 32),
        ("mistral-default", 48),
        ("bloom", 48),
        ("gpt2", 48),
        ("gemma2", 48),
    ] {
        let model = open(case);
        let (ids, _) = expected(case).pop().expect("a text");
        let mut cache = Cache::default();
        for now in 1..=until {
            let hidden = model
                .read(&ids[now - 1..now], &mut cache, now)
                .expect("a step");
            let step = model.logits(&hidden).expect("logits");
            let step = step.to_flat::<f32>().expect("numbers");
            let prefill = logits(&model, &ids[..now], usize::MAX);
            let last = &prefill[prefill.len() - step.len()..];
            close(last, &step, &format!("{case} at {now}"));
        }
    }
}

/// Equal up to rounding.
fn close(expected: &[f32], found: &[f32], what: &str) {
    assert_eq!(expected.len(), found.len(), "{what}");
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    let differences = expected.iter().zip(found).map(|(x, y)| (x - y).abs());
    let worst = differences.fold(0f32, f32::max);
    assert!(worst <= 2e-5 * largest, "{what}: {worst} of {largest}");
}
