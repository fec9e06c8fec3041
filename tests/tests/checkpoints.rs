//! Decoder checkpoints against the reference library's logits. `tests/golden/checkpoints/make.py` made the numbers.

use farspan::model::generate::{Choice, generate};
use farspan::model::{Cache, Decoder};
use farspan::scheme::Positional;
use farspan_acceptance::checkpoints::golden;
use farspan_attention::Device;
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};
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
fn open(case: &str) -> Decoder {
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
    farspan::checkpoint::open(dir.path(), &Registry::builtin(), None, &Device::cpu())
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
fn logits(model: &Decoder, ids: &[u32], chunk: usize) -> Vec<f32> {
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
    assert!(cases.len() >= 60, "only {} golden checkpoints", cases.len());
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
    // Past the trained length of 32 as well, where some scalings change what deeper layers have cached.
    for case in cases() {
        let model = open(&case);
        let (ids, _) = expected(&case).pop().expect("a text");
        let mut cache = Cache::default();
        for now in [1, 2, 30, 31, 32, 33, 34, 35, 40] {
            let past = cache.len();
            let hidden = model
                .read(&ids[past..now], &mut cache, now)
                .expect("a step");
            let step = model.logits(&hidden).expect("logits");
            let step = step.to_flat::<f32>().expect("numbers");
            let prefill = logits(&model, &ids[..now], usize::MAX);
            let last = &prefill[prefill.len() - step.len()..];
            close(last, &step, &format!("{case} at {now}"));
        }
    }
}

#[test]
fn a_text_goes_on_across_the_trained_length_as_in_the_reference_library() {
    let grown = |case: &String| folder().join(case).join("grown.json").exists();
    let cases: Vec<String> = cases().into_iter().filter(grown).collect();
    assert!(cases.len() >= 12, "only {cases:?}");
    for case in cases {
        let model = open(&case);
        let text = std::fs::read_to_string(folder().join(&case).join("grown.json"));
        let text: Value = serde_json::from_str(&text.expect("grown.json")).expect("JSON");
        let ids: Vec<u32> = serde_json::from_value(text["ids"].clone()).expect("ids");
        let rows: Vec<Vec<f32>> = serde_json::from_value(text["rows"].clone()).expect("rows");
        let prompt = text["prompt"].as_u64().expect("a number") as usize;
        assert!(
            prompt < 32 && ids.len() > 40,
            "it does not cross the trained length"
        );
        for chunk in [7, 512] {
            let mut new = Vec::new();
            let more = ids.len() - prompt;
            let found = generate(
                &model,
                &ids[..prompt],
                more,
                Choice::Greedy,
                (0, chunk),
                |id| {
                    new.push(id);
                    Ok(true)
                },
            );
            assert_eq!(found.expect("a text"), ids, "{case} in pieces of {chunk}");
            assert_eq!(new, &ids[prompt..]);
        }
        // Ids may agree by luck; logits do not.
        let mut cache = Cache::default();
        let mut hidden = model
            .read(&ids[..prompt], &mut cache, prompt)
            .expect("a prompt");
        for (step, row) in rows.iter().enumerate() {
            let now = prompt + step;
            if step > 0 {
                hidden = model
                    .read(&ids[now - 1..now], &mut cache, now)
                    .expect("a step");
            }
            let found = model.logits(&hidden).expect("logits").to_vec2::<f32>();
            let found = found.expect("numbers").pop().expect("a row");
            let largest = row.iter().fold(0f32, |m, x| m.max(x.abs()));
            let pairs = found.iter().zip(row);
            let worst = pairs.map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
            assert!(
                worst <= 1e-4 * largest,
                "{case} at {now}: {worst} of {largest}"
            );
        }
    }
}

/// A scheme over the plain Llama, if it reads it: fine-tuning would have to learn what some of them need.
fn under(id: &str, settings: &Value) -> Option<Decoder> {
    let settings = settings.as_object().expect("settings").clone();
    let asked = Positional::new(id, settings);
    let from = folder().join("llama-default");
    let model =
        farspan::checkpoint::open(&from, &Registry::builtin(), Some(&asked), &Device::cpu());
    let model = model.ok()?;
    model
        .run(&[1, 2, 3], 8, |_, _| Ok(()))
        .is_ok()
        .then_some(model)
}

#[test]
fn every_scheme_goes_on_as_it_reads() {
    let registry = Registry::builtin();
    let mut cases: Vec<(String, Value)> = registry
        .ids()
        .map(|id| (id.to_string(), json!({})))
        .collect();
    for (id, settings) in [
        ("pi", json!({"dynamic": true})),
        ("yarn", json!({"dynamic": true})),
        ("longrope", json!({"factor": 4, "dynamic": true})),
        ("longrope", json!({"factor": 4, "first_tokens": 4})),
        ("dynamic-ntk", json!({"factor": 3})),
        ("log-n", json!({"rope_base": 1000.0})),
        ("alibi", json!({"slope_scale": "dynamic"})),
        ("custom", json!({"score": "raw - (q-k)*ln(n)/40"})),
        ("custom", json!({"score": "raw - (q-k)/n"})),
    ] {
        cases.push((id.to_string(), settings));
    }
    let mut stream = farspan_datasets::rng::Stream::new(4, "ids");
    let ids: Vec<u32> = (0..41).map(|_| stream.below(64) as u32).collect();
    let (mut read, mut follow) = (0, Vec::new());
    for (id, settings) in cases {
        let Some(model) = under(&id, &settings) else {
            continue;
        };
        read += 1;
        let plans = |context_len: usize| {
            let geometry = model.architecture.geometry;
            model.scheme.layer_plans(&geometry, Len(context_len)).ok()
        };
        if plans(32) != plans(40) {
            follow.push(id.clone());
        }
        let mut cache = Cache::default();
        for now in [26, 31, 32, 33, 34, 40, 41] {
            let past = cache.len();
            let Ok(hidden) = model.read(&ids[past..now], &mut cache, now) else {
                // A table that ends is told, at the prefill too.
                assert!(
                    model.run(&ids[..now], 512, |_, _| Ok(())).is_err(),
                    "{id} at {now}"
                );
                break;
            };
            let step = model.logits(&hidden).expect("logits");
            let step = step.to_flat::<f32>().expect("numbers");
            let prefill = logits(&model, &ids[..now], usize::MAX);
            let last = &prefill[prefill.len() - step.len()..];
            // Products become phases of hundreds of radians, so that their rounding moves the cosine.
            let loose = if id == "tapa" { 25.0 } else { 1.0 };
            within(last, &step, loose, &format!("{id} {settings} at {now}"));
        }
    }
    assert!(read >= 40, "only {read} schemes read the checkpoint");
    for id in ["dynamic-ntk", "longrope", "yarn", "pi"] {
        assert!(
            follow.iter().any(|found| found == id),
            "{id} does not follow the length: {follow:?}"
        );
    }
}

/// Equal up to rounding.
fn close(expected: &[f32], found: &[f32], what: &str) {
    within(expected, found, 1.0, what);
}

/// Equal up to so many times the usual rounding.
fn within(expected: &[f32], found: &[f32], times: f32, what: &str) {
    assert_eq!(expected.len(), found.len(), "{what}");
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    let differences = expected.iter().zip(found).map(|(x, y)| (x - y).abs());
    let worst = differences.fold(0f32, f32::max);
    assert!(
        worst <= times * 2e-5 * largest,
        "{what}: {worst} of {largest}"
    );
}
