//! Gemma 1: Llama with scaled embeddings, GeGLU and norms whose weights are stored less 1.

use super::shared::*;

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
    let mut architecture = gemma(keys, "gemma", defaults)?;
    // The first configs say "gelu", which is taken for what the models were trained with.
    if architecture.activation == Activation::Gelu {
        architecture.activation = Activation::GeluTanh;
    }
    Ok(architecture)
}

/// What all Gemmas have.
pub(super) fn gemma(keys: &mut Keys, family: &str, defaults: Defaults) -> Result<Architecture> {
    let mut architecture = common(keys, family, defaults)?;
    architecture.norm = Norm::RmsOffset;
    architecture.embed_scale = (architecture.geometry.width as f64).sqrt();
    architecture.attention_bias(keys, false)?;
    const BOTH_WAYS: &str = "use_bidirectional_attention";
    keys.only(BOTH_WAYS, &json!(false), "causal attention")?;
    Ok(architecture)
}
