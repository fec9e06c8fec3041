//! GPT-OSS: learned attention sinks, windows in every other layer, YaRN without rounded ends, and experts with biases and a
//! clipped gate.

use super::shared::*;

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
        rope: USUAL.with_base(150_000.0),
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
    architecture.attention_bias(keys, true)?;
    architecture.bias.mlp = true;
    architecture.sinks = true;
    let window = window(keys, Some(128))?;
    architecture.windows = windows(keys, layers, window, |layer| layer % 2 == 0)?;
    let names = ["num_local_experts", "num_experts"];
    let layers = (vec![true; layers], architecture.hidden);
    let mut experts = experts(keys, layers, &names, [128, 4], Routing::softmax(true))?;
    experts.router_bias = true;
    let chosen = json!(experts.chosen);
    keys.only("experts_per_token", &chosen, "as num_experts_per_tok")?;
    architecture.experts = Some(experts);
    keys.idle(&["initial_context_length"], "not read: the rotary keys are");
    architecture.clamped = Some(Clamped {
        sharpness: keys.positive_or("swiglu_alpha", 1.702, "sharpness of the gate")?,
        limit: keys.positive_or("swiglu_limit", 7.0, "where the gate is clipped")?,
    });
    Ok(architecture)
}
