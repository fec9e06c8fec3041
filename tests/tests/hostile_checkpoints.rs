//! Checkpoints that are broken, contradictory or malicious: each gets a message that says what was expected and found.

use farspan::checkpoint::config;
use farspan::checkpoint::header::{header, index};
use farspan::model::Decoder;
use farspan_acceptance::tiny::{file, folder, framed, llama, tensors, write};
use farspan_attention::Device;
use farspan_pe::Registry;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

fn open(dir: &Path) -> Result<Decoder, String> {
    let opened = farspan::checkpoint::open(dir, &Registry::builtin(), None, &Device::cpu());
    opened.map_err(|e| {
        assert!([2, 65, 74].contains(&e.exit_code()), "{e}");
        e.to_string()
    })
}

/// The message of weights that are refused.
fn refused(weights: &[u8]) -> String {
    open(folder(&llama(), weights).path()).expect_err("weights that are refused")
}

fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn the_small_llama_itself_is_fine() {
    open(folder(&llama(), &file(&tensors())).path()).expect("a sound checkpoint");
}

#[test]
fn files_that_are_no_safetensors_are_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    says(
        &refused(pointer),
        &[
            "Git LFS pointer",
            "12345 bytes",
            "git lfs pull",
            "model.safetensors",
        ],
    );
    says(
        &refused(b"PK\x03\x04rest of a zip archive"),
        &["zip or pickle"],
    );
    says(&refused(b"\x80\x02pickled"), &["zip or pickle"]);
    says(&refused(b""), &["found 0 bytes"]);
    says(&refused(b"1234"), &["found 4 bytes"]);
    says(
        &refused(&u64::MAX.to_le_bytes()),
        &["claims 18446744073709551615 bytes"],
    );
    says(&refused(&framed("not json", &[])), &["header"]);
    let deep = "[".repeat(200_000);
    says(&refused(&framed(&deep, &[])), &["header"]);
}

#[test]
fn truncated_and_lengthened_files_are_refused() {
    let whole = file(&tensors());
    says(&refused(&whole[..whole.len() - 1]), &["cut short"]);
    says(&refused(&whole[..40]), &["claims"]);
    says(
        &refused(&[&whole[..], b"x"].concat()),
        &["bytes behind the last tensor"],
    );
}

#[test]
fn headers_that_lie_are_refused() {
    let tensor =
        |start: u64, end: u64| json!({"dtype": "F32", "shape": [2], "data_offsets": [start, end]});
    let two = |a: Value, b: Value| json!({"a": a, "b": b}).to_string();
    let fails = |text: &str, data: u64| header(text.as_bytes(), data).expect_err("a lie");
    says(
        &fails(&two(tensor(0, 8), tensor(4, 12)), 12),
        &["\"b\"", "overlaps"],
    );
    says(
        &fails(&two(tensor(0, 8), tensor(9, 17)), 17),
        &["\"b\"", "hole"],
    );
    says(
        &fails(&two(tensor(0, 8), tensor(8, 12)), 12),
        &["expected 8 bytes", "8 to 12"],
    );
    says(&fails(&two(tensor(8, 0), tensor(8, 16)), 16), &["8 to 0"]);
    let huge = json!({"a": {"dtype": "F32", "shape": [u64::MAX >> 1, 16], "data_offsets": [0, 8]}});
    says(&fails(&huge.to_string(), 8), &["fewer than"]);
    let odd = json!({"a": {"dtype": "F31", "shape": [2], "data_offsets": [0, 8]}});
    says(&fails(&odd.to_string(), 8), &["unknown type \"F31\""]);
    let twice = format!("{{\"a\":{0},\"a\":{0}}}", tensor(0, 8));
    says(&fails(&twice, 8), &["\"a\" comes twice"]);
    let evil =
        json!({"\u{1b}[31m\u{202e}": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}});
    let message = fails(&evil.to_string(), 8);
    assert!(
        !message.contains('\u{1b}') && !message.contains('\u{202e}'),
        "{message:?}"
    );
    assert_eq!(
        header(b"{\"__metadata__\":{\"format\":\"pt\"}}", 0).map(|map| map.len()),
        Ok(0)
    );
}

#[test]
fn tensors_that_differ_from_the_config_are_listed_together() {
    let mut list = tensors();
    list[1].1 = vec![2, 8];
    list.remove(4);
    list.push(("model.layers.1.mlp.up_proj.weight".into(), vec![4, 4]));
    let message = refused(&file(&list));
    says(
        &message,
        &[
            "in 3 places",
            "q_proj",
            "expected shape [4, 4], found [2, 8]",
        ],
    );
    says(&message, &["o_proj.weight\" of shape [4, 4] is missing"]);
    says(
        &message,
        &["layers.1.mlp.up_proj.weight\" is not part of this architecture"],
    );
    let many: Vec<_> = (0..500).map(|i| (format!("t{i}"), vec![1])).collect();
    let message = refused(&file(&[tensors(), many].concat()));
    says(&message, &["in 500 places", "and 480 more"]);
}

#[test]
fn numbers_that_are_none_are_named() {
    let mut weights = file(&tensors());
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    says(
        &refused(&weights),
        &["model.norm.weight", "number 3 is NaN"],
    );
    let text = file(&tensors());
    let integers = String::from_utf8_lossy(&text[8..])
        .find("F32")
        .expect("a type")
        + 8;
    let mut weights = text;
    weights[integers..integers + 3].copy_from_slice(b"I32");
    says(
        &refused(&weights),
        &["expected F32, F16 or BF16, found I32"],
    );
}

#[test]
fn a_head_that_contradicts_the_tie_is_refused_and_a_copy_is_not() {
    let mut list = tensors();
    list.push(("lm_head.weight".into(), vec![3, 4]));
    open(folder(&llama(), &file(&list)).path()).expect("a copy of the embedding");
    let mut weights = file(&list);
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&2f32.to_le_bytes());
    says(&refused(&weights), &["lm_head.weight", "ties them"]);
}

/// A folder with two shards and an index over them.
fn sharded(map: &Value) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let list = tensors();
    write(&dir, "config.json", llama().to_string().as_bytes());
    write(&dir, "a.safetensors", &file(&list[..5]));
    write(&dir, "b.safetensors", &file(&list[5..]));
    let text = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    write(&dir, "model.safetensors.index.json", text.as_bytes());
    dir
}

fn map() -> serde_json::Map<String, Value> {
    let list = tensors();
    let at = |i: usize| {
        if i < 5 {
            "a.safetensors"
        } else {
            "b.safetensors"
        }
    };
    list.iter()
        .enumerate()
        .map(|(i, (name, _))| (name.clone(), json!(at(i))))
        .collect()
}

#[test]
fn shards_and_index_must_agree() {
    open(sharded(&json!(map())).path()).expect("sound shards");
    let dir = sharded(&json!(map()));
    std::fs::remove_file(dir.path().join("b.safetensors")).expect("removal");
    says(
        &open(dir.path()).expect_err("a missing shard"),
        &["b.safetensors", "not there"],
    );
    let mut moved = map();
    moved.insert("model.norm.weight".into(), json!("a.safetensors"));
    says(
        &open(sharded(&json!(moved)).path()).expect_err("a wrong shard"),
        &["disagree", "model.norm.weight"],
    );
    let mut short = map();
    short.shift_remove("model.norm.weight");
    says(
        &open(sharded(&json!(short)).path()).expect_err("an unlisted one"),
        &["not in the index"],
    );
    let mut long = map();
    long.insert("more".into(), json!("a.safetensors"));
    says(
        &open(sharded(&json!(long)).path()).expect_err("an absent one"),
        &["\"more\" is not in"],
    );
    let dir = sharded(&json!(map()));
    write(&dir, "b.safetensors", &file(&tensors()[4..]));
    says(&open(dir.path()).expect_err("a tensor twice"), &["as well"]);
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    for name in [
        "../a.safetensors",
        "/etc/a.safetensors",
        "x/a.safetensors",
        "a.bin",
        "..",
        "",
        "./a.safetensors",
        "a\\b.safetensors",
    ] {
        let text = json!({"weight_map": {"t": name}}).to_string();
        let message = index(text.as_bytes()).expect_err(name);
        assert!(message.contains("plain names"), "{name}: {message}");
    }
    assert!(index(b"{\"weight_map\":{}}").is_err());
    assert!(index(b"{}").is_err());
    let twice = b"{\"weight_map\":{\"t\":\"a.safetensors\",\"t\":\"b.safetensors\"}}";
    says(
        &index(twice).expect_err("a name twice"),
        &["\"t\" comes twice"],
    );
    let dir = tempfile::tempdir().expect("a folder");
    write(&dir, "config.json", llama().to_string().as_bytes());
    std::fs::create_dir(dir.path().join("model.safetensors")).expect("a folder");
    says(&open(dir.path()).expect_err("no file"), &["regular file"]);
}

/// The message for a Llama config with these changes.
fn config_error(changes: Value) -> String {
    let mut object = llama();
    for (key, value) in changes.as_object().expect("changes") {
        object[key] = value.clone();
    }
    let text = object.to_string();
    config::parse(Path::new("config.json"), text.as_bytes())
        .expect_err(&text)
        .to_string()
}

#[test]
fn configs_that_cannot_be_followed_are_refused_by_key() {
    says(
        &config_error(json!({"model_type": "lama"})),
        &["model_type", "\"lama\"", "did you mean `llama`"],
    );
    for other in ["gemma3", "phimoe", "mllama"] {
        let error = config_error(json!({"model_type": other}));
        says(&error, &[other, "one of arcee, baichuan"]);
        assert!(!error.contains("did you mean"), "{error}");
    }
    says(
        &config_error(json!({"qkv_bias": true})),
        &["`qkv_bias` = true", "computes with false"],
    );
    says(
        &config_error(json!({"rms_norm_esp": 1e-5})),
        &["rms_norm_esp", "did you mean `rms_norm_eps`"],
    );
    says(
        &config_error(json!({"quantization_config": {"bits": 4}})),
        &["quantization_config"],
    );
    says(
        &config_error(json!({"num_attention_heads": 3})),
        &["hidden_size", "multiple of the 3 heads"],
    );
    says(
        &config_error(json!({"num_key_value_heads": 3})),
        &["num_key_value_heads", "divisor"],
    );
    says(
        &config_error(json!({"num_hidden_layers": 1_000_000_000_000u64})),
        &["num_hidden_layers"],
    );
    says(
        &config_error(
            json!({"num_hidden_layers": 4096, "hidden_size": 1 << 20, "num_attention_heads": 64}),
        ),
        &["parameters"],
    );
    says(
        &config_error(json!({"hidden_size": -4})),
        &["hidden_size", "-4"],
    );
    says(
        &config_error(json!({"hidden_size": "4"})),
        &["hidden_size", "\"4\""],
    );
    says(
        &config_error(json!({"hidden_act": "mish"})),
        &["hidden_act", "\"mish\""],
    );
    says(
        &config_error(json!({"hidden_size": null})),
        &["hidden_size", "null"],
    );
}

#[test]
fn rotary_keys_that_contradict_each_other_are_refused() {
    let scaled = |block: Value| config_error(json!({"rope_scaling": block}));
    says(
        &scaled(json!({"type": "linear", "factor": 0.5})),
        &["rope_scaling.factor", "at least 1", "0.5"],
    );
    says(
        &scaled(json!({"type": "linear"})),
        &["rope_scaling.factor", "nothing"],
    );
    says(
        &scaled(json!({"type": "linear", "rope_type": "yarn", "factor": 2})),
        &["rope_scaling.type", "linear"],
    );
    says(
        &scaled(json!({"type": "yarm", "factor": 2})),
        &["rope_scaling.rope_type", "yarm"],
    );
    says(
        &scaled(json!({"type": "yarn", "factor": 2, "attn_factor": 1.5})),
        &["rope_scaling.attn_factor", "computes with 1"],
    );
    says(
        &scaled(json!({"rope_type": "longrope", "factor": 2, "long_factor": [1]})),
        &["short_factor"],
    );
    let both = json!({
        "rope_scaling": {"type": "linear", "factor": 2},
        "rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 10000},
    });
    says(&config_error(both), &["rope_scaling", "rope_parameters"]);
    let bases = json!({"rope_theta": 10000, "rope_parameters": {"rope_type": "default", "rope_theta": 500000}});
    says(
        &config_error(bases),
        &["rope_parameters.rope_theta", "10000", "500000"],
    );
}

#[test]
fn both_forms_of_the_rotary_keys_mean_the_same() {
    let read = |changes: Value| {
        let mut object = llama();
        for (key, value) in changes.as_object().expect("changes") {
            object[key] = value.clone();
        }
        let found = config::parse(Path::new("config.json"), object.to_string().as_bytes());
        found.expect("a sound config").architecture
    };
    let old = json!({"rope_theta": 5e5, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 8}});
    let new = json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0, "original_max_position_embeddings": 8}});
    let mut twin = new.clone();
    twin["rope_theta"] = old["rope_theta"].clone();
    twin["rope_scaling"] = old["rope_scaling"].clone();
    assert_eq!(read(old.clone()), read(new));
    assert_eq!(read(old), read(twin.clone()));
    let found = read(twin);
    assert_eq!(found.positional.id, "yarn");
    assert_eq!(found.positional.settings["base"], json!(5e5));
    assert_eq!(found.positional.settings["factor"], json!(4.0));
    assert_eq!(found.geometry.trained_length, 8);
}
