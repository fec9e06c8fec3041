//! GPT-OSS: learned attention sinks, windows in every other layer, YaRN without rounded ends, and experts with biases and a
//! clipped gate.

use super::super::experts::ExpertNames;
use super::super::keys::Keys;
use super::super::layout::Names;
use super::super::rope::{self, USUAL};
use super::llama::{Defaults, LLAMA, common};
use super::mixtral::checked;
use super::windows;
use crate::Result;
use crate::model::{Activation, Architecture, Clamped, Experts, Routing};
use serde_json::json;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        experts: ExpertNames {
            router: "mlp.router",
            up: &["gate_up_proj"],
            stacked: true,
            interleaved: true,
            ..ExpertNames::QWEN
        },
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(64),
        kv_heads: Some(8),
        norm_eps: 1e-5,
        vocab: 201_088,
        width: 2880,
        hidden: 2880,
        layers: 36,
        heads: 64,
        positions: 131_072,
        rope: rope::Family {
            theta: 150_000.0,
            ..USUAL
        },
        ..LLAMA
    };
    let yarn = json!({
        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
        "original_max_position_embeddings": 4096,
    });
    keys.stand_in(["rope_parameters", "rope_scaling"], yarn, "YaRN");
    let mut architecture = common(keys, "gpt_oss", defaults)?;
    if architecture.activation != Activation::Silu {
        let rule = "\"silu\", as the reference has nothing else";
        return Err(keys.contradicts("hidden_act", rule, "another"));
    }
    let layers = architecture.geometry.layers;
    let bias = keys.switch("attention_bias", true, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    architecture.bias.mlp = true;
    architecture.sinks = true;
    let window = keys.nullable(
        "sliding_window",
        Some(128),
        "tokens that a token sees there",
    )?;
    architecture.windows = windows(keys, layers, window, |layer| layer % 2 == 0)?;
    let names = ["num_local_experts", "num_experts"];
    let count = keys.either_or(names, 128, "experts of a layer")?;
    let chosen = keys.count_or("num_experts_per_tok", 4, "experts that a token goes to")?;
    keys.only(
        "experts_per_token",
        &json!(chosen),
        "as num_experts_per_tok",
    )?;
    keys.idle(&["initial_context_length"], "not read: the rotary keys are");
    architecture.clamped = Some(Clamped {
        sharpness: keys.positive_or("swiglu_alpha", 1.702, "sharpness of the gate")?,
        limit: keys.positive_or("swiglu_limit", 7.0, "where the gate is clipped")?,
    });
    architecture.experts = Some(Experts {
        layers: vec![true; layers],
        count,
        chosen,
        hidden: architecture.hidden,
        routing: Routing::softmax(true),
        router_bias: true,
        shared: None,
        shared_gate: false,
    });
    checked(keys, &architecture)?;
    Ok(architecture)
}
