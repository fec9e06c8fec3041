//! Gemma 1: Llama with scaled embeddings, GeGLU and norms whose weights are stored less 1.

use super::super::keys::Keys;
use super::llama::{Defaults, LLAMA, common};
use crate::Result;
use crate::model::{Activation, Architecture, Norm};
use serde_json::json;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(256),
        kv_heads: Some(16),
        vocab: 256_000,
        width: 3072,
        hidden: 24_576,
        layers: 28,
        heads: 16,
        positions: 8192,
        activation: ("hidden_act", "gelu_pytorch_tanh"),
        tied: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "gemma", defaults)?;
    architecture.norm = Norm::RmsOffset;
    architecture.embed_scale = (architecture.geometry.width as f64).sqrt();
    // The first configs say "gelu", which is taken for what the models were trained with.
    if architecture.activation == Activation::Gelu {
        architecture.activation = Activation::GeluTanh;
    }
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    keys.only(
        "use_bidirectional_attention",
        &json!(false),
        "causal attention",
    )?;
    Ok(architecture)
}
