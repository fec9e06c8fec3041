//! Seed-OSS: Llama with biases on queries, keys and values.

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        // Null means the width divided by the heads.
        head_dim: (!keys.is_null("head_dim")).then_some(128),
        kv_heads: Some(8),
        vocab: 155_136,
        hidden: 27_648,
        layers: 64,
        heads: 80,
        positions: 524_288,
        ..LLAMA
    };
    let mut architecture = common(keys, "seed_oss", defaults)?;
    architecture.bias.qkv = keys.switch("attention_bias", true, QKV)?;
    architecture.bias.out = keys.switch("attention_out_bias", false, "bias behind attention")?;
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    Ok(architecture)
}
