//! Configs as the reference library reads them: what its classes take for keys that are absent or null, how they spell the
//! rotary keys, which scalings a family loads (`tests/golden/checkpoints/defaults.py`); and the one rule for all other keys.

#[path = "checkpoint_configs/keys.rs"]
mod keys;
#[path = "checkpoint_configs/lengths.rs"]
mod lengths;

use farspan::checkpoint::config::{self, Reading};
use farspan::checkpoint::save::{Form, save_pretrained};
use farspan::model::Architecture;
use farspan::model::{Cache, Decoder};
use farspan_acceptance::checkpoints::{files, golden, open};
use farspan_acceptance::tiny::llama;
use farspan_pe::Registry;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::path::Path;
use tempfile::TempDir;

/// The word of the fixtures for a key that is left out.
const ABSENT: &str = "\0absent";

/// A file of the fixtures, without its ending.
fn fixture(name: &str) -> Value {
    let path = golden("defaults").join(format!("{name}.json"));
    let text = std::fs::read_to_string(path).expect("the fixture");
    serde_json::from_str(&text).expect("JSON")
}

/// The fixtures of all families.
fn fixtures() -> BTreeMap<String, Value> {
    let listed = std::fs::read_dir(golden("defaults")).expect("the fixtures");
    let name = |entry: std::io::Result<DirEntry>| {
        let path = entry.expect("a file").path();
        let stem = path.file_stem().expect("a name");
        stem.to_str().expect("letters").to_string()
    };
    let names = listed.map(name).filter(|name| name != "divisors");
    names.map(|name| (name.clone(), fixture(&name))).collect()
}

fn read(config: &Value) -> Result<Architecture, String> {
    let text = config.to_string();
    let read = config::parse(Path::new("config.json"), text.as_bytes());
    read.map(|found| found.architecture).map_err(|e| {
        assert_eq!(e.exit_code(), 65, "{e}");
        e.to_string()
    })
}

fn open_architecture(dir: &Path) -> Architecture {
    config::read(dir, &Reading::default())
        .expect("a config")
        .architecture
}

/// An architecture without what is said of how it was read.
fn bare(architecture: Architecture) -> Architecture {
    Architecture {
        notes: Vec::new(),
        other_length: None,
        ..architecture
    }
}

fn with(base: &Value, changes: &Map<String, Value>) -> Value {
    let mut config = base.as_object().expect("a table").clone();
    for (key, value) in changes {
        match value == ABSENT {
            true => drop(config.shift_remove(key)),
            false => drop(config.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(config)
}

#[test]
fn what_a_config_leaves_out_is_what_the_reference_classes_take() {
    let (mut held, mut failed) = (0, Vec::new());
    for (family, found) in fixtures() {
        let full = &found["full"];
        for case in found["cases"].as_array().expect("cases") {
            let changes = case["changes"].as_object().expect("changes");
            let raw = with(&found["given"], changes);
            let ours = read(&raw);
            let Some(theirs) = case["held"].as_object() else {
                // What they refuse we may read as older versions did; null for a number is none.
                let nulls = changes.len() == 1 && changes.values().all(Value::is_null);
                let lenient = [
                    "num_key_value_heads",
                    "original_max_position_embeddings",
                    "expansion_ratio",
                ];
                let known = changes.keys().any(|key| lenient.contains(&key.as_str()));
                if nulls && !known && ours.is_ok() && !family.contains("mpt") {
                    failed.push(format!("{family} {changes:?}: read, though refused there"));
                }
                continue;
            };
            // Keys of other families, which nobody reads, and shares of a head that are not turned there.
            let extra = theirs
                .keys()
                .any(|key| full.get(key).is_none() && key != "original_max_position_embeddings");
            let part = changes.contains_key("partial_rotary_factor");
            // A null that becomes an error once the model is made.
            let broken = ["activation", "layer_norm_epsilon"]
                .iter()
                .any(|key| theirs.get(*key).is_some_and(Value::is_null));
            // The library writes what it does not read into the blocks of layers, and heads without channels.
            let odd = !full["rope_parameters"]["full_attention"].is_null()
                || theirs.get("head_dim") == Some(&json!(0));
            let theirs = read(&with(full, theirs));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) if bare(ours.clone()) == bare(theirs.clone()) => held += 1,
                (Err(_), _) if extra || part || broken => {}
                (Err(_), Err(_)) if odd => held += 1,
                // Both ways of writing it are refused alike.
                (Err(ours), Err(theirs)) if ours == theirs => held += 1,
                (ours, theirs) => {
                    failed.push(format!("{family} {changes:?}:\n  {ours:?}\n  {theirs:?}"))
                }
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(held > 1800, "only {held} cases");
}

/// The golden model of a family, its scheme replaced and saved.
fn saved(from: &str, scheme: &str) -> Result<(Decoder, TempDir), String> {
    let registry = Registry::builtin();
    let model = open(&golden(from), Some(scheme));
    let out = TempDir::new().expect("a folder");
    let form = Form::default();
    let saved = save_pretrained(
        &model,
        &files(&golden(from)),
        128,
        &registry,
        form,
        out.path(),
    );
    saved.map(|()| (model, out)).map_err(|e| {
        assert_eq!(e.exit_code(), 2, "{e}");
        e.to_string()
    })
}

fn block(out: &TempDir) -> (Value, Value) {
    let text = std::fs::read_to_string(out.path().join("config.json")).expect("a config");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    (config["rope_parameters"].clone(), config)
}

#[test]
fn what_is_saved_is_what_the_familys_reference_loads() {
    let kinds = [
        ("linear", "pi,factor=4"),
        ("dynamic", "dynamic-ntk,factor=2"),
        (
            "yarn",
            "yarn,factor=4,trained_length=32,beta_fast=8,beta_slow=0.1",
        ),
        (
            "llama3",
            "llama3,factor=8,trained_length=32,low_freq_factor=0.1,high_freq_factor=4",
        ),
        (
            "longrope",
            "longrope,factor=4,trained_length=32,long_factors=[2.5]",
        ),
        ("default", "abf,base=50000"),
        ("longrope", "ntk-by-parts,factor=4"),
    ];
    for (family, found) in fixtures() {
        let known = &found["loads"];
        if known.is_null() {
            continue;
        }
        let from = format!("{family}-default");
        for (kind, scheme) in kinds {
            let loaded = |kind: &str| known[kind].is_null();
            match saved(&from, scheme) {
                Ok((_, out)) => {
                    let (found, _) = block(&out);
                    // Of layers without a window, where the others have a block of their own.
                    let found = match found.get("full_attention") {
                        Some(full) => full.clone(),
                        None => found,
                    };
                    // Two frequencies are those of a plain base as well.
                    let two = ["gpt_neox", "phi", "stablelm", "nemotron", "glm", "glm4"];
                    let free = scheme.starts_with("ntk-by-parts") && two.contains(&family.as_str());
                    let written = found["rope_type"].as_str().expect("a kind");
                    assert!(
                        loaded(written),
                        "{family}, {scheme}: {written} is not loaded"
                    );
                    assert!(
                        written == kind || !loaded(kind) || free,
                        "{family}, {scheme}: {written}"
                    );
                }
                Err(error) => {
                    assert!(
                        kind == "dynamic" && !loaded(kind),
                        "{family}, {scheme}: {error}"
                    );
                    let words = [
                        "rope_type default or longrope only",
                        "yarn, llama3, longrope",
                    ];
                    assert!(words.iter().all(|word| error.contains(word)), "{error}");
                }
            }
        }
    }
}

#[test]
fn phi3_gets_other_scalings_as_the_librarys_own_divisors() {
    let divisors = fixture("divisors");
    for (kind, scheme) in [
        ("linear", "pi,factor=4"),
        (
            "yarn",
            "yarn,factor=4,trained_length=32,beta_fast=8,beta_slow=0.1",
        ),
        (
            "llama3",
            "llama3,factor=8,trained_length=32,low_freq_factor=0.1,high_freq_factor=4",
        ),
    ] {
        let (model, out) = saved("phi3-default", scheme).expect("a form");
        let (block, config) = block(&out);
        assert_eq!(block["rope_type"], "longrope", "{kind}");
        assert_eq!(
            config["original_max_position_embeddings"],
            json!(32),
            "{kind}"
        );
        assert_eq!(config["rope_scaling"], block);
        let expected = &divisors[kind];
        for list in ["short_factor", "long_factor"] {
            let found: Vec<f64> = serde_json::from_value(block[list].clone()).expect("a list");
            let theirs: Vec<f64> =
                serde_json::from_value(expected["divisors"].clone()).expect("a list");
            assert_eq!(found.len(), theirs.len());
            for (a, b) in found.iter().zip(&theirs) {
                assert!(
                    (a / b - 1.0).abs() < 1e-5,
                    "{kind} {list}: {found:?}, {theirs:?}"
                );
            }
        }
        let amplitude = block["attention_factor"].as_f64().expect("a number");
        let theirs = expected["amplitude"].as_f64().expect("a number");
        assert!(
            (amplitude / theirs - 1.0).abs() < 1e-6,
            "{kind}: {amplitude}"
        );
        // The saved model computes what the one that was saved did, within and past the trained length.
        let again = open(out.path(), None);
        for len in [20, 32, 33, 100] {
            let ids: Vec<u32> = (0..len).map(|i| (i * 7 % 64) as u32).collect();
            let run = |model: &Decoder| {
                let hidden = model
                    .read(&ids, &mut Cache::default(), len)
                    .expect("a text");
                model
                    .logits(&hidden)
                    .expect("logits")
                    .to_flat::<f32>()
                    .expect("numbers")
            };
            let (before, after) = (run(&model), run(&again));
            let largest = before.iter().fold(0f32, |m, x| m.max(x.abs()));
            let pairs = before.iter().zip(&after);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(worst <= 1e-5 * largest, "{kind} at {len}: {worst}");
        }
    }
}

/// A Llama's config with these changes.
fn changed(changes: &Value) -> Value {
    let mut config = llama();
    for (key, value) in changes.as_object().expect("changes") {
        config[key] = value.clone();
    }
    config
}
