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
        _ => a == b,
    }
}

fn logits(model: &Decoder, ids: &[u32]) -> Vec<Vec<f32>> {
    let hidden = model.read(ids, &mut Cache::default(), ids.len());
    let logits = model.logits(&hidden.expect("a text"));
    logits.expect("logits").to_vec2().expect("rows")
}

#[test]
fn an_extension_is_saved_as_the_reference_library_writes_it() {
    let registry = Registry::builtin();
    for (kind, scheme) in CASES {
        let asked: Positional = scheme.parse().expect("a scheme");
        let from = golden("llama-default");
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
        .unwrap_or_else(|e| panic!("{kind}: {e}"));
        let saved = json(&folder.path().join("config.json"));
        let theirs = json(&golden(&format!("llama-{kind}")).join("config.json"));
        let block = theirs["rope_parameters"].as_object().expect("a table");
        for (key, value) in block {
            let ours = &saved["rope_parameters"][key.as_str()];
            assert!(alike(ours, value), "{kind}: {key} is {ours}, not {value}");
        }
        // The twin for version 4.
        assert_eq!(saved["rope_scaling"], saved["rope_parameters"], "{kind}");
        assert!(alike(&saved["rope_theta"], &block["rope_theta"]), "{kind}");
        let again = farspan::checkpoint::open(folder.path(), &registry, None, &Device::cpu());
        let again = again.expect("a checkpoint");
        let expected = json(&golden(&format!("llama-{kind}")).join("expected.json"));
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
                        "{kind}, {} tokens, row {row}: {x}, {y}",
                        ids.len()
                    );
                }
            }
        }
    }
}
