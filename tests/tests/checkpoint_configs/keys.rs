//! The one rule for keys: those that are known are read, those without effect are listed, all others are refused.

use super::{bare, changed, open_architecture, read};
use farspan::checkpoint::config::{self, Reading};
use farspan::checkpoint::save::{Form, save_pretrained};
use farspan::model::Cache;
use farspan::scheme::Positional;
use farspan_acceptance::checkpoints::open;
use farspan_acceptance::tiny::{file, folder, llama, tensors};
use farspan_attention::Device;
use farspan_pe::Registry;
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;

#[test]
fn keys_that_change_nothing_are_listed_and_others_refused_together() {
    for changes in [
        json!({"custom_pipelines": {"text": {}}, "unsloth_fixed": true, "wandb_project": "x", "use_flash_attn": true}),
        json!({"qkv_bias": false, "attention_bias": false, "sliding_window": null, "use_sliding_window": false}),
        json!({"ff_factor": 1, "num_key_value_heads": 1, "n_head": 1, "qk_layernorm": false, "logit_scale": 1.0}),
        json!({"max_position_embeddings": 16.0, "hidden_size": 4.0, "vocab_size": 3.0, "layer_types": ["full_attention"]}),
        json!({"rope_scaling": {"type": "linear", "factor": 1, "beta_fast": 32, "attn_factor": 1.0}}),
    ] {
        read(&changed(&changes)).unwrap_or_else(|e| panic!("{changes}: {e}"));
    }
    let falcon = json!({
        "model_type": "falcon", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 8,
        "ff_factor": 4,
    });
    read(&falcon).expect("a restated width");
    let mut wider = falcon;
    wider["ff_factor"] = json!(3);
    let error = read(&wider).expect_err("another width");
    assert!(
        error.contains("ff_factor") && error.contains("computes with 4"),
        "{error}"
    );
    let mistral = json!({"model_type": "mistral", "attention_bias": false});
    read(&mistral).expect("no biases");
    let neox = json!({"model_type": "gpt_neox", "hidden_size": 64, "num_attention_heads": 4, "rope_theta": 10000.0});
    read(&neox).expect("the base that is taken anyway");
    // Not read there; the reference takes 10000 in silence.
    let mut neox = neox;
    neox["rope_theta"] = json!(500_000.0);
    let error = read(&neox).expect_err("a base that is not read");
    assert!(
        error.contains("rope_theta") && error.contains("computes with 10000"),
        "{error}"
    );
    let error = read(&changed(
        &json!({"qkv_bias": true, "mystery": [1], "rms_norm_esp": 1}),
    ))
    .expect_err("three keys");
    for word in [
        "qkv_bias",
        "mystery",
        "did you mean `rms_norm_eps`",
        "--ignore-keys",
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
    for changes in [
        json!({"hidden_size": 4.5}),
        json!({"hidden_size": 1e30}),
        json!({"hidden_size": null}),
    ] {
        assert!(read(&changed(&changes)).is_err(), "{changes}");
    }
}

#[test]
fn a_family_that_is_not_read_is_told_which_are() {
    let error = |name: &str| read(&json!({"model_type": name})).expect_err(name);
    let found = error("mamba2");
    let list = found.split("one of ").nth(1).expect("a list");
    let list = list.split(", found").next().expect("its end");
    let names: Vec<&str> = list.split(", ").collect();
    assert!(names.is_sorted(), "{names:?}");
    for family in ["deepseek_v3", "gpt_oss", "llama", "llama4_text", "mixtral"] {
        assert!(names.contains(&family), "{family}: {names:?}");
    }
    assert!(found.contains("found \"mamba2\""), "{found}");
    // What is merely near, or another version, is another thing.
    for name in [
        "mamba2",
        "gemma4",
        "gpt_bigcode",
        "phi4",
        "bert",
        "t5",
        "qwen",
        "llama4",
        "llava",
        "",
    ] {
        assert!(!error(name).contains("did you mean"), "{}", error(name));
    }
    for (name, meant) in [
        ("Mixtral", "mixtral"),
        ("gpt-oss", "gpt_oss"),
        ("deepseekv3", "deepseek_v3"),
        ("gptneox", "gpt_neox"),
        ("mixtrall", "mixtral"),
    ] {
        let error = error(name);
        assert!(
            error.contains(&format!("did you mean `{meant}`?")),
            "{error}"
        );
    }
}

#[test]
fn weights_that_are_stored_in_fewer_bits_are_refused_by_name() {
    for method in ["mxfp4", "fp8"] {
        let config =
            json!({"model_type": "gpt_oss", "quantization_config": {"quant_method": method}});
        let error = read(&config).expect_err("a refusal");
        let words = [
            "quantization_config",
            method,
            "float32, float16 or bfloat16",
        ];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn a_refused_key_can_be_left_out_of_account_and_that_is_told() {
    let config = changed(&json!({
        "mystery": 3, "rope_interleaved": true, "a.b": 1,
        "rope_scaling": {"type": "linear", "factor": 2.0, "attn_factor": 1.5},
    }));
    let parse = |keys: &[&str]| {
        let reading = Reading {
            ignore_keys: keys.iter().map(|key| (*key).to_string()).collect(),
            ..Reading::default()
        };
        let read = config::parse_as(Path::new("c"), config.to_string().as_bytes(), &reading);
        read.map_err(|e| (e.exit_code(), e.to_string()))
    };
    assert!(parse(&[]).is_err() && parse(&["mystery"]).is_err());
    let all = [
        "mystery",
        "rope_interleaved",
        "rope_scaling.attn_factor",
        "a.b",
    ];
    let found = parse(&all).expect("a config");
    for key in all {
        let told = |text: &str| text.contains(key) && text.contains("ignored");
        assert!(
            found.architecture.notes.iter().any(|note| told(note)),
            "{key}"
        );
        assert!(
            found
                .keys
                .iter()
                .any(|k| k.key == key && k.meaning.contains("ignored")),
            "{key}"
        );
    }
    let (code, error) = parse(&["mysterie"]).expect_err("no such key");
    assert_eq!(code, 2);
    assert!(error.contains("did you mean `mystery`"), "{error}");
    // What is saved does not have it any more.
    let dir = folder(&config, &file(&tensors()));
    let files = farspan::checkpoint::files::Files::open(dir.path()).expect("files");
    let reading = Reading {
        ignore_keys: all.map(String::from).to_vec(),
        ..Reading::default()
    };
    let files = files.with_reading(reading);
    let registry = Registry::builtin();
    let model =
        farspan::checkpoint::of_files(&files, &registry, None, &Device::cpu()).expect("a model");
    let out = TempDir::new().expect("a folder");
    save_pretrained(&model, &files, 32, &registry, Form::default(), out.path()).expect("saved");
    let again = open_architecture(out.path());
    assert_eq!(bare(again).positional, model.architecture.positional);
}

#[test]
fn tied_weights_may_be_stored_under_either_name() {
    let text: Vec<u32> = vec![0, 2, 1, 1, 0];
    let logits = |dir: &Path| {
        let model = open(dir, None);
        let hidden = model
            .read(&text, &mut Cache::default(), text.len())
            .expect("a text");
        model
            .logits(&hidden)
            .expect("logits")
            .to_flat::<f32>()
            .expect("numbers")
    };
    let expected = logits(folder(&llama(), &file(&tensors())).path());
    let mut other = tensors();
    other[0].0 = "lm_head.weight".into();
    let dir = folder(&llama(), &file(&other));
    assert_eq!(logits(dir.path()), expected);
    // Of the bare model, whose names have no prefix.
    let bare: Vec<_> = other
        .into_iter()
        .map(|(name, shape)| (name.replace("model.", ""), shape))
        .collect();
    assert_eq!(logits(folder(&llama(), &file(&bare)).path()), expected);
    let mut untied = llama();
    untied["tie_word_embeddings"] = json!(false);
    let refused = farspan::checkpoint::open(
        folder(&untied, &file(&bare)).path(),
        &Registry::builtin(),
        None,
        &Device::cpu(),
    );
    let error = refused.expect_err("no embeddings").to_string();
    assert!(
        error.contains("in 1 places") && error.contains("embed_tokens.weight"),
        "{error}"
    );
}

#[test]
fn faults_of_a_checkpoint_are_faults_of_data_and_quoted_in_part() {
    let registry = Registry::builtin();
    let open = |dir: &Path, scheme: Option<&str>| {
        let asked: Option<Positional> = scheme.map(|text| text.parse().expect("a scheme"));
        farspan::checkpoint::open(dir, &registry, asked.as_ref(), &Device::cpu())
            .expect_err("a fault")
    };
    let dir = folder(&llama(), &file(&tensors()));
    std::fs::remove_file(dir.path().join("config.json")).expect("removal");
    let error = open(dir.path(), None);
    assert_eq!(error.exit_code(), 65, "{error}");
    assert!(error.to_string().contains("config.json"), "{error}");
    let odd = changed(&json!({"head_dim": 3}));
    let dir = folder(&odd, &file(&tensors()));
    for scheme in [None, Some("rope"), Some("yarn,factor=4")] {
        let error = open(dir.path(), scheme);
        assert_eq!(error.exit_code(), 65, "{error}");
        assert!(error.to_string().contains("head_dim"), "{error}");
    }
    // A wrong list is a fault of whoever gives it.
    let dir = folder(&llama(), &file(&tensors()));
    let error = open(
        dir.path(),
        Some("longrope,factor=2,long_factors=[1.0,2.0,3.0]"),
    );
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(error.to_string().contains("long_factors"), "{error}");
    let long = "x".repeat(3_000_000);
    for changes in [
        json!({"mystery": long}),
        json!({"hidden_size": long}),
        json!({"model_type": long}),
        json!({"rope_scaling": {"type": long}}),
        json!({"rope_scaling": [long]}),
        json!({ long.as_str(): 1 }),
    ] {
        let error = read(&changed(&changes)).expect_err("a fault");
        assert!(error.len() < 3000, "{} bytes", error.len());
    }
    let text = format!("[\"{long}\"]");
    let error = config::parse(Path::new("c"), text.as_bytes())
        .expect_err("no table")
        .to_string();
    assert!(error.len() < 3000, "{} bytes", error.len());
    let twice = format!("{{\"{long}\": 1, \"{long}\": 2}}");
    let error = config::parse(Path::new("c"), twice.as_bytes())
        .expect_err("a name twice")
        .to_string();
    assert!(error.len() < 3000, "{} bytes", error.len());
}
