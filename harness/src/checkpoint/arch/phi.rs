//! Phi-1 and Phi-2: partial rotation, attention and the block after it side by side, biases everywhere.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        out: "self_attn.dense",
        query_key_norms: ["self_attn.q_layernorm", "self_attn.k_layernorm"],
        up: &["mlp.fc1"],
        down: "mlp.fc2",
        norm: "final_layernorm",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        vocab: 51_200,
        width: 2048,
        hidden: 8192,
        layers: 24,
        rope: USUAL.in_part(0.5),
        in_part: true,
        norm_eps: 1e-5,
        eps_key: Some("layer_norm_eps"),
        activation: ("hidden_act", "gelu_new"),
        ..LLAMA
    };
    let mut architecture = common(keys, "phi", defaults)?;
    whole_width(keys, &architecture)?;
    architecture.norm = Norm::Layer;
    architecture.gated = false;
    architecture.residual = Residual::ParallelShared;
    architecture.bias = Biases {
        head: true,
        ..ALL_BIASES
    };
    if keys.switch("qk_layernorm", false, "norms of queries and keys")? {
        architecture.query_key_norm = QueryKeyNorm::Head;
    }
    Ok(architecture)
}
