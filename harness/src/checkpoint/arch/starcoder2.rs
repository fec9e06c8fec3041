//! StarCoder2: LayerNorms, biases, a block without a gate, one window for all layers.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(2),
        vocab: 49_152,
        width: 3072,
        hidden: 12_288,
        layers: 30,
        heads: 24,
        positions: 4096,
        norm_eps: 1e-5,
        eps_key: Some("norm_epsilon"),
        activation: ("hidden_act", "gelu_pytorch_tanh"),
        tied: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "starcoder2", defaults)?;
    architecture.norm = Norm::Layer;
    architecture.gated = false;
    architecture.bias = match keys.switch("use_bias", true, "biases of projections")? {
        true => ALL_BIASES,
        false => Biases {
            norm: true,
            ..Biases::default()
        },
    };
    architecture.windows = vec![window(keys, None)?; architecture.geometry.layers];
    Ok(architecture)
}
