//! Checkpoints whose layers do not all follow one scheme, and schemes that a config has settings for beside its own.

use farspan::checkpoint::config::{self, Reading};
use farspan::model::{Architecture, Cache, Decoder};
use farspan::scheme::{Positional, resolve};
use farspan_acceptance::checkpoints::{golden, open};
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};
use std::path::Path;

fn config_of(case: &str) -> Value {
    let text = std::fs::read_to_string(golden(case).join("config.json")).expect("a config");
    serde_json::from_str(&text).expect("JSON")
}

fn read(config: &Value) -> Result<Architecture, String> {
    let read = config::parse(Path::new("config.json"), config.to_string().as_bytes());
    read.map(|found| found.architecture)
        .map_err(|e| e.to_string())
}

fn changed(case: &str, changes: &Value) -> Value {
    let mut config = config_of(case);
    for (key, value) in changes.as_object().expect("changes") {
        config[key] = value.clone();
    }
    config
}

fn logits(model: &Decoder, ids: &[u32]) -> Vec<Vec<f32>> {
    let hidden = model.read(ids, &mut Cache::default(), ids.len());
    let logits = model.logits(&hidden.expect("a text"));
    logits.expect("logits").to_vec2().expect("rows")
}

#[test]
fn layers_that_keep_a_scheme_of_their_own_keep_it_under_any_other() {
    for (case, kept) in [
        ("gemma3_text-default", vec![1]),
        ("olmo3-default", vec![1]),
        ("smollm3-default", vec![1]),
        ("cohere2-default", vec![0, 2]),
        ("exaone4-default", vec![0, 2]),
    ] {
        let own = open(&golden(case), None);
        let before = own.plans(Len(64)).expect("plans");
        for scheme in ["yarn,factor=4", "alibi", "sinusoidal", "rerope"] {
            let asked: Positional = scheme.parse().expect("a scheme");
            let registry = Registry::builtin();
            let scheme = resolve(&registry, &own.architecture, Some(&asked)).expect("a scheme");
            for model in [
                open(&golden(case), Some(&asked.to_string())),
                own.with_scheme(scheme),
            ] {
                let plans = model.plans(Len(64)).expect("plans");
                // What is added to the embeddings is added before all layers, whichever is the first.
                assert!(plans.iter().all(|plan| plan.embed == plans[0].embed));
                let same: Vec<usize> = (0..plans.len())
                    .filter(|&layer| {
                        let (a, b) = (&plans[layer], &before[layer]);
                        (&a.rotations, &a.score) == (&b.rotations, &b.score)
                    })
                    .collect();
                assert_eq!(same, kept, "{case} under {asked}");
            }
        }
        // Places by the text are those of a whole decoder.
        let error = open(&golden(case), Some("bipe-rope"));
        let error = error.plans(Len(64)).expect_err("two kinds of places");
        assert!(
            error.to_string().contains("with a scheme of its own"),
            "{error}"
        );
    }
}

#[test]
fn blocks_of_layers_are_read_as_the_reference_reads_them() {
    let old = json!({"rope_parameters": null, "rope_theta": 7000.0});
    let base = |own: &Option<Positional>| own.as_ref().map(|own| own.settings["base"].clone());
    let gemma = read(&changed("gemma3_text-default", &old)).expect("a config");
    assert_eq!(gemma.positional.settings["base"], json!(7000.0));
    assert_eq!(base(&gemma.apart[1]), Some(json!(10_000.0)));
    // There a base at the top level is not that of layers with a window, which is told.
    let olmo = read(&changed("olmo3-default", &old)).expect("a config");
    assert_eq!(base(&olmo.apart[1]), Some(json!(500_000.0)));
    assert!(olmo.notes.iter().any(|note| note.contains("500000")));
    // The older name of a kind of scaling is not read there, and must not be passed over.
    for case in ["gemma3_text-default", "olmo3-default"] {
        let mut config = changed(case, &old);
        config["rope_scaling"] = json!({"type": "linear", "factor": 8.0});
        let error = read(&config).expect_err("no rope_type");
        assert!(error.contains("expected rope_type"), "{error}");
        let mut config = changed(case, &json!({"original_max_position_embeddings": 16}));
        let error = read(&config).expect_err("the top level");
        assert!(error.contains("inside of the rope block"), "{error}");
        config["original_max_position_embeddings"] = Value::Null;
        config["rope_parameters"] = json!({"rope_type": "linear", "factor": 8.0});
        let error = read(&config).expect_err("no block for each kind of layer");
        assert!(error.contains("rope_parameters.factor"), "{error}");
    }
}

#[test]
fn settings_of_dual_chunk_attention_are_taken_over_by_who_asks_for_it() {
    let block = json!({"chunk_size": 24, "local_size": 8, "original_max_position_embeddings": 32});
    let long = json!({"max_position_embeddings": 128, "dual_chunk_attention_config": block});
    let found = read(&changed("qwen2-default", &long)).expect("a config");
    // The library does not read the block.
    assert_eq!(found.positional.id, "rope");
    assert_eq!(found.geometry.trained_length, 32);
    let told = |note: &String| note.contains("dca") && note.contains("chunk_size");
    assert!(found.notes.iter().any(told), "{:?}", found.notes);
    let registry = Registry::builtin();
    let under = |scheme: &str| {
        let asked: Positional = scheme.parse().expect("a scheme");
        let scheme = resolve(&registry, &found, Some(&asked)).expect("a scheme");
        scheme.settings()
    };
    let settings = under("dca");
    for (key, value) in [
        ("chunk_size", json!(24)),
        ("local_window", json!(8)),
        ("trained_length", json!(32)),
        ("amplitude", json!(true)),
        ("base", json!(1000.0)),
    ] {
        assert_eq!(settings[key], value, "{key}");
    }
    assert_eq!(under("dca,chunk_size=20")["chunk_size"], json!(20));
    assert!(under("rerope")["chunk_size"].is_null());
    // Without a length before extension, engines scale no scores.
    let mut bare = long.clone();
    bare["dual_chunk_attention_config"] =
        json!({"chunk_size": 24, "local_size": 8, "sparse_attention_enabled": true});
    let bare = read(&changed("qwen2-default", &bare)).expect("a config");
    assert_eq!(bare.geometry.trained_length, 128);
    let offered = bare.offers.expect("a scheme");
    assert_eq!(offered.settings["amplitude"], json!(false));
    for (key, value) in [("chunk_size", Value::Null), ("mystery", json!(1))] {
        let mut odd = long.clone();
        odd["dual_chunk_attention_config"][key] = value;
        let error = read(&changed("qwen2-default", &odd)).expect_err("a fault");
        assert!(
            error.contains("dual_chunk_attention_config") && error.contains(key),
            "{error}"
        );
    }
}

#[test]
fn phi3s_first_configs_call_their_lists_yarn_or_su() {
    let expected = read(&config_of("phi3-longrope")).expect("a config");
    for kind in ["yarn", "su", "longrope"] {
        let mut config = config_of("phi3-longrope");
        let block = config["rope_parameters"].clone();
        config["rope_parameters"] = Value::Null;
        config["rope_theta"] = block["rope_theta"].clone();
        config["rope_scaling"] = json!({
            "type": kind, "long_factor": block["long_factor"], "short_factor": block["short_factor"],
        });
        let found = read(&config).expect("a config");
        assert_eq!(found.positional, expected.positional, "{kind}");
        assert_eq!(found.geometry, expected.geometry, "{kind}");
    }
}

#[test]
fn what_published_code_leaves_open_is_asked_for() {
    for (case, key) in [
        ("minicpm-default", "scale_emb"),
        ("minicpm-default", "scale_depth"),
        ("minicpm-default", "dim_model_base"),
        ("baichuan", "vocab_size"),
    ] {
        let error = read(&changed(case, &json!({ key: null }))).expect_err("a key that lacks");
        assert!(
            error.contains(key) && error.contains("found nothing"),
            "{error}"
        );
    }
    for (case, changes, words) in [
        ("codegen", json!({"n_head": 2}), "a multiple of 4"),
        ("gptj", json!({"rotary_dim": 10}), "even and at most 8"),
        ("xverse", json!({"quantization_bit": 8}), "quantization_bit"),
        ("helium-default", json!({"head_dim": 16}), "head_dim"),
        (
            "gpt_neo",
            json!({"attention_layers": ["local", "local"]}),
            "attention_layers",
        ),
        (
            "gpt_neo",
            json!({"attention_types": [[["global"], 9_000_000_000u64]]}),
            "attention_types",
        ),
        (
            "gemma3_text-default",
            json!({"use_bidirectional_attention": true}),
            "causal",
        ),
        (
            "smollm3-default",
            json!({"no_rope_layers": [1, 0]}),
            "no_rope_layers",
        ),
        (
            "minicpm-default",
            json!({"sparse_config": {}}),
            "sparse_config",
        ),
    ] {
        let error = read(&changed(case, &changes)).expect_err(words);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn baichuan_2_divides_the_rows_of_its_head_by_their_lengths() {
    let second = json!({"vocab_size": 125_696});
    assert!(
        read(&changed("baichuan", &second))
            .expect("a config")
            .unit_head
    );
    let mut model = open(&golden("baichuan"), None);
    assert!(!model.architecture.unit_head);
    let ids: Vec<u32> = (0..20).map(|i| i * 7 % 64).collect();
    let plain = logits(&model, &ids);
    model.architecture.unit_head = true;
    let files = farspan::checkpoint::files::Files::open(&golden("baichuan")).expect("weights");
    let head = files.read("lm_head.weight").expect("numbers");
    let lengths = head
        .chunks(32)
        .map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt());
    let lengths: Vec<f32> = lengths.collect();
    for (found, plain) in logits(&model, &ids).iter().zip(&plain) {
        for ((found, plain), length) in found.iter().zip(plain).zip(&lengths) {
            assert!(
                (found - plain / length).abs() < 1e-4,
                "{found}, {plain}, {length}"
            );
        }
    }
}

#[test]
fn notes_of_a_config_are_told_by_whoever_reads_it() {
    let found = config::read(&golden("olmo3-default"), &Reading::default()).expect("a config");
    // Two bases, as the library itself writes them.
    assert!(
        found
            .architecture
            .notes
            .iter()
            .any(|note| note.contains("base 100")),
        "{:?}",
        found.architecture.notes
    );
}
