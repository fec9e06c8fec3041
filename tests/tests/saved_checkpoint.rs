//! What is saved, against configs and logits that the reference library made itself (`tests/golden/checkpoints/make.py`):
//! an extension of the plain checkpoint must be saved as the library writes the same extension, and compute its logits.

use farspan::checkpoint::save::{Form, save_pretrained};
use farspan::model::{Cache, Decoder};
use farspan::scheme::Positional;
use farspan_acceptance::checkpoints::{files, golden};
use farspan_attention::Device;
use farspan_pe::Registry;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A kind of scaling of the golden checkpoints, and the scheme that makes it out of the plain one.
const CASES: [(&str, &str); 5] = [
    ("linear", "pi,factor=3"),
    ("dynamic", "dynamic-ntk,factor=2"),
    (
        "yarn",
        "yarn,factor=4,trained_length=32,beta_fast=8,beta_slow=1",
    ),
    (
        "longrope",
        "longrope,factor=4,trained_length=32,short_factors=[1.0,1.1,1.2,1.3],long_factors=[1.5,2.5,3.5,4.0]",
    ),
    (
        "llama3",
        "llama3,factor=8,trained_length=32,low_freq_factor=1,high_freq_factor=4",
    ),
];

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// Whether two values are one; 4 and 4.0 are.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        // The first may say more.
        (Value::Object(a), Value::Object(b)) => b
            .iter()
            .all(|(key, b)| a.get(key).is_some_and(|a| alike(a, b))),
        _ => a == b,
    }
}

fn logits(model: &Decoder, ids: &[u32]) -> Vec<Vec<f32>> {
    let hidden = model.read(ids, &mut Cache::default(), ids.len());
    let logits = model.logits(&hidden.expect("a text"));
    logits.expect("logits").to_vec2().expect("rows")
}

/// Families whose whole heads turn; in all but the first, some layers keep a scheme of their own.
const FAMILIES: [&str; 6] = [
    "llama",
    "gemma3_text",
    "olmo3",
    "smollm3",
    "cohere2",
    "exaone4",
];

#[test]
fn an_extension_is_saved_as_the_reference_library_writes_it() {
    let registry = Registry::builtin();
    for (family, (kind, scheme)) in FAMILIES
        .iter()
        .flat_map(|family| CASES.map(|case| (family, case)))
    {
        let asked: Positional = scheme.parse().expect("a scheme");
        let from = golden(&format!("{family}-default"));
        let case = format!("{family}-{kind}");
        let model = farspan::checkpoint::open(&from, &registry, Some(&asked), &Device::cpu());
        let folder = TempDir::new().expect("a folder");
        let model = model.expect("a model");
        save_pretrained(
            &model,
            &files(&from),
            32,
            &registry,
            Form::default(),
            folder.path(),
        )
        .unwrap_or_else(|e| panic!("{case}: {e}"));
        let saved = json(&folder.path().join("config.json"));
        let theirs = json(&golden(&case).join("config.json"));
        let (ours, block) = (&saved["rope_parameters"], &theirs["rope_parameters"]);
        assert!(alike(ours, block), "{case}: {ours}, not {block}");
        // The twin for version 4, which is that of layers without a window.
        let [ours, block] = [ours, block].map(|block| match &block["full_attention"] {
            Value::Null => block,
            full => full,
        });
        assert_eq!(saved["rope_scaling"], *ours, "{case}");
        assert!(alike(&saved["rope_theta"], &block["rope_theta"]), "{case}");
        let again = farspan::checkpoint::open(folder.path(), &registry, None, &Device::cpu());
        let again = again.expect("a checkpoint");
        let expected = json(&golden(&case).join("expected.json"));
        for text in expected["texts"].as_array().expect("texts") {
            let ids: Vec<u32> = serde_json::from_value(text["ids"].clone()).expect("ids");
            let found = logits(&again, &ids);
            let largest = found.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
            for (row, values) in text["rows"].as_object().expect("rows") {
                let row: usize = row.parse().expect("a row");
                let values: Vec<f32> = serde_json::from_value(values.clone()).expect("logits");
                for (x, y) in found[row].iter().zip(&values) {
                    let far = (x - y).abs() / largest;
                    assert!(
                        far <= 1e-4,
                        "{case}, {} tokens, row {row}: {x}, {y}",
                        ids.len()
                    );
                }
            }
        }
    }
}
