//! Helium: Llama whose pairs are neighbouring channels.

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(128),
        kv_heads: Some(20),
        norm_eps: 1e-8,
        vocab: 48_000,
        width: 2560,
        hidden: 7040,
        layers: 24,
        heads: 20,
        positions: 4096,
        rope: USUAL.with_base(100_000.0).neighbours(),
        ..LLAMA
    };
    let mut architecture = common(keys, "helium", defaults)?;
    whole_width(keys, &architecture)?;
    architecture.bias.qkv = keys.switch("attention_bias", false, QKV)?;
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    Ok(architecture)
}
