//! Phi-3: Llama with fused projections; its long variants use LongRoPE.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        qkv: Qkv::Fused("self_attn.qkv_proj"),
        up: &["mlp.gate_up_proj"],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        norm_eps: 1e-5,
        vocab: 32_064,
        width: 3072,
        hidden: 8192,
        positions: 4096,
        rope: rope::Family {
            original: Some(4096),
            yarn: "longrope",
            ..USUAL
        },
        in_part: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "phi3", defaults)?;
    architecture.windows = vec![window(keys, None)?; architecture.geometry.layers];
    let why = "the reference has nothing else";
    for (key, only) in [
        ("full_attn_mod", json!(1)),
        ("interpolate_factor", json!(1)),
    ] {
        keys.only(key, &only, why)?;
    }
    Ok(architecture)
}
