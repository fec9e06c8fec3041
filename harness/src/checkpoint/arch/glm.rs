//! GLM and GLM-4: half of a head's channels turn, in pairs of neighbours; GLM-4 has norms behind the sublayers as well.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        attention_post_norm: "post_self_attn_layernorm",
        mlp_post_norm: "post_mlp_layernorm",
        up: &["mlp.gate_up_proj"],
        ..Names::LLAMA
    }
}

pub(super) fn glm(keys: &mut Keys) -> Result<Architecture> {
    read(keys, "glm")
}

pub(super) fn glm4(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = read(keys, "glm4")?;
    architecture.residual = Residual::Sandwich;
    Ok(architecture)
}

fn read(keys: &mut Keys, family: &str) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(128),
        kv_heads: Some(2),
        norm_eps: 1.5625e-7,
        vocab: 151_552,
        hidden: 13_696,
        layers: 40,
        positions: 131_072,
        rope: USUAL.in_part(0.5).neighbours(),
        in_part: true,
        ..LLAMA
    };
    let mut architecture = common(keys, family, defaults)?;
    architecture.bias.qkv = keys.switch("attention_bias", true, QKV)?;
    Ok(architecture)
}
