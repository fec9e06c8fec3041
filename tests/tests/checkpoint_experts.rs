//! Experts, learned sinks and latent attention: what their configs may not say, what lies behind the last layer, and
//! decoders that have them without having been read.

#[path = "checkpoint_experts/published.rs"]
mod published;

use farspan::checkpoint::config;
use farspan::model::{Architecture, Decoder, Experts, Latent, Routing, Shape};
use farspan_acceptance::checkpoints::{golden, random_batch};
use farspan_attention::plan::Geometry;
use farspan_attention::{Device, Tensor};
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

fn config_of(case: &str) -> Value {
    let text = std::fs::read_to_string(golden(case).join("config.json"));
    serde_json::from_str(&text.expect("a config")).expect("JSON")
}

#[test]
fn numbers_of_experts_that_cannot_be_are_refused_by_key() {
    for (case, key, value, word) in [
        (
            "mixtral-default",
            "num_local_experts",
            json!(1 << 30),
            "`num_experts`: expected at most",
        ),
        (
            "mixtral-default",
            "num_experts_per_tok",
            json!(5),
            "the 4 experts",
        ),
        ("mixtral-default", "num_local_experts", json!(0), "from 1"),
        (
            "qwen3_moe-default",
            "mlp_only_layers",
            json!([-1]),
            "a list of whole numbers",
        ),
        (
            "qwen3_moe-default",
            "decoder_sparse_step",
            json!(0),
            "from 1",
        ),
        (
            "qwen2_moe-default",
            "sliding_window",
            json!(0),
            "at least 1",
        ),
        (
            "qwen2_moe-default",
            "layer_types",
            json!(["full_attention"]),
            "2 of",
        ),
        ("olmoe-default", "clip_qkv", json!(0.5), "behind the norms"),
        (
            "gpt_oss-default",
            "hidden_act",
            json!("relu"),
            "the reference has nothing else",
        ),
        (
            "gpt_oss-default",
            "experts_per_token",
            json!(3),
            "as num_experts_per_tok",
        ),
        ("gpt_oss-default", "swiglu_limit", json!(0), "above 0"),
        (
            "deepseek_v3-default",
            "n_group",
            json!(3),
            "a divisor of the 8 experts",
        ),
        ("deepseek_v3-default", "n_group", json!(8), "2 or more each"),
        (
            "deepseek_v3-default",
            "topk_group",
            json!(1),
            "enough for 3 experts",
        ),
        ("deepseek_v3-default", "topk_group", json!(5), "at most 4"),
        (
            "deepseek_v3-default",
            "num_key_value_heads",
            json!(2),
            "as many as query heads",
        ),
        (
            "deepseek_v3-default",
            "scoring_func",
            json!("softmax"),
            "nothing else",
        ),
        (
            "deepseek_v3-default",
            "moe_layer_freq",
            json!(2),
            "nothing else",
        ),
        (
            "deepseek_v3-default",
            "qk_rope_head_dim",
            json!(1 << 30),
            "`head_dim`: expected at most",
        ),
        (
            "deepseek_v2-default",
            "num_experts_per_tok",
            json!(null),
            "a number of experts",
        ),
        (
            "deepseek_v2-default",
            "topk_method",
            json!("noaux_tc"),
            "greedy",
        ),
        (
            "deepseek_v2-default",
            "norm_topk_prob",
            json!(true),
            "does not read it",
        ),
        ("deepseek_v2-default", "mlp_bias", json!(true), "no biases"),
        (
            "llama4_text-default",
            "no_rope_layers",
            json!([1]),
            "one for each layer",
        ),
        (
            "llama4_text-default",
            "attention_chunk_size",
            json!(null),
            "a number of tokens",
        ),
        (
            "llama4_text-default",
            "layer_types",
            json!(["a", "b", "c"]),
            "chunked_attention",
        ),
    ] {
        let mut config = config_of(case);
        config[key] = value.clone();
        let text = config.to_string();
        let read = config::parse(Path::new("config.json"), text.as_bytes());
        let error = read.expect_err(case).to_string();
        let told = error.contains(key) || word.starts_with('`');
        assert!(
            told && error.contains(word),
            "{case}, {key} = {value}: {error}"
        );
    }
}

#[test]
fn a_scale_of_the_softmax_that_another_scaling_would_have_is_refused() {
    let mut config = config_of("deepseek_v3-linear");
    config["rope_parameters"]["mscale_all_dim"] = json!(0.7);
    let read = config::parse(Path::new("config.json"), config.to_string().as_bytes());
    let error = read.expect_err("a refusal").to_string();
    assert!(error.contains("mscale_all_dim"), "{error}");
}

/// The checkpoint of a case, whose config has so many layers.
fn opened(case: &str, layers: usize) -> Result<Decoder, String> {
    let dir = TempDir::new().expect("a folder");
    let mut config = config_of(case);
    config["num_hidden_layers"] = json!(layers);
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("a config");
    let weights = golden(case).join("model.safetensors");
    std::fs::copy(weights, dir.path().join("model.safetensors")).expect("weights");
    let opened = farspan::checkpoint::open(dir.path(), &Registry::builtin(), None, &Device::cpu());
    opened.map_err(|e| e.to_string())
}

#[test]
fn layers_behind_the_last_are_left_where_a_family_has_predictors_there() {
    opened("deepseek_v3-default", 1).expect("one layer");
    let error = opened("mixtral-default", 1).expect_err("a layer too many");
    assert!(
        error.contains("is not part of this architecture"),
        "{error}"
    );
    let error = opened("deepseek_v3-default", 3).expect_err("a layer too few");
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn farspans_own_form_refuses_numbers_that_do_not_go_together() {
    for (case, change) in [
        ("mixtral-default", json!({"experts": {"chosen": 9}})),
        ("mixtral-default", json!({"experts": {"layers": [true]}})),
        ("mixtral-default", json!({"experts": {"hidden": 0}})),
        ("deepseek_v3-default", json!({"latent": {"value": 99}})),
        ("deepseek_v3-default", json!({"latent": {"rank": 0}})),
        (
            "deepseek_v3-default",
            json!({"experts": {"routing": {"groups": {"count": 3}}}}),
        ),
        ("llama4_text-default", json!({"chunks": [0, 0, 0]})),
        ("llama4_text-default", json!({"chunks": [4]})),
    ] {
        let read = |architecture: &Value| {
            let config = json!({"model_type": "farspan", "architecture": architecture});
            config::parse(Path::new("c"), config.to_string().as_bytes())
        };
        let dir = golden(case);
        let known = config::read(&dir, &config::Reading::default()).expect(case);
        let mut architecture = serde_json::to_value(&known.architecture).expect("JSON");
        read(&architecture).unwrap_or_else(|e| panic!("{case}: {e}"));
        merge(&mut architecture, &change);
        let error = read(&architecture).expect_err(case).to_string();
        assert!(error.contains("go together"), "{case} {change}: {error}");
    }
}

fn merge(into: &mut Value, from: &Value) {
    match from.as_object() {
        Some(entries) => {
            for (key, value) in entries {
                merge(&mut into[key.as_str()], value);
            }
        }
        None => *into = from.clone(),
    }
}

#[test]
fn decoders_that_were_drawn_learn_with_experts_sinks_and_latents() {
    let shape = Shape {
        geometry: Geometry {
            layers: 2,
            width: 16,
            heads: 2,
            kv_heads: 2,
            head_dim: 8,
            trained_length: 10,
        },
        hidden: 24,
        vocab: 30,
    };
    let experts = Experts {
        layers: vec![false, true],
        count: 4,
        chosen: 2,
        hidden: 12,
        routing: Routing::softmax(true),
        router_bias: false,
        shared: Some(8),
        shared_gate: true,
    };
    let latent = Latent {
        query_rank: None,
        rank: 6,
        rotary: 4,
        plain: 4,
        value: 7,
        norm_eps: 1e-6,
    };
    let plain = Architecture::plain(&shape);
    let cases = [
        Architecture {
            experts: Some(experts.clone()),
            ..plain.clone()
        },
        Architecture {
            sinks: true,
            windows: vec![Some(3), None],
            ..plain.clone()
        },
        Architecture {
            latent: Some(latent),
            experts: Some(experts),
            sinks: true,
            ..plain
        },
    ];
    let registry = Registry::builtin();
    for (number, architecture) in cases.into_iter().enumerate() {
        for scheme in ["rope", "alibi", "fire", "self-extend"] {
            let scheme = registry.parse(scheme, json!({})).expect("a scheme");
            let device = Device::cpu();
            let (context_len, batch) = (Len(10), random_batch(2, 2, 10, 30));
            let architecture = architecture.clone();
            let model = Decoder::drawn(architecture, scheme.into(), context_len, 1, None, &device);
            let model = model.expect("a model");
            let ready = model.prepare(context_len, 10).expect("plans");
            let before = model.backward(&batch, &ready).expect("gradients");
            let gradients = before.gradients.expect("gradients");
            for weight in model.weights().values() {
                let Some(gradient) = gradients.get(&weight.var) else {
                    continue;
                };
                let step = gradient.affine(-0.3, 0.0).expect("a step");
                let moved: Tensor = weight.var.tensor().add(&step).expect("a sum");
                weight.var.set(&moved.detach()).expect("values");
            }
            let after = model.backward(&batch, &ready).expect("gradients");
            assert!(
                after.loss < before.loss - 1e-3,
                "{number}: {} after {}",
                after.loss,
                before.loss
            );
            assert_eq!(before.implementation, "fused", "{number}");
        }
    }
}

#[test]
fn schemes_that_cannot_have_a_sink_are_refused_in_words() {
    let registry = Registry::builtin();
    for (case, scheme, word) in [
        ("gpt_oss-default", "cope", "learned sinks"),
        ("gpt_oss-default", "fox", "learned sinks"),
        ("llama4_text-default", "xpos", "behind the turn"),
    ] {
        let asked = scheme.parse().expect("a scheme");
        let model =
            farspan::checkpoint::open(&golden(case), &registry, Some(&asked), &Device::cpu());
        let model = model.and_then(|model| model.tune(Len(32), None, 1, None));
        let error = model
            .and_then(|model| model.plans(Len(32)))
            .expect_err(scheme);
        assert!(error.to_string().contains(word), "{scheme}: {error}");
    }
}
