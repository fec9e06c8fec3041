//! StableLM: Llama with LayerNorms and partial rotation.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        query_key_norms: [
            "self_attn.q_layernorm.norms.#",
            "self_attn.k_layernorm.norms.#",
        ],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(32),
        vocab: 50_304,
        width: 2560,
        hidden: 6912,
        positions: 4096,
        rope: USUAL.in_part(0.25),
        in_part: true,
        norm_eps: 1e-5,
        eps_key: Some("layer_norm_eps"),
        ..LLAMA
    };
    let mut architecture = common(keys, "stablelm", defaults)?;
    whole_width(keys, &architecture)?;
    architecture.norm = Norm::Layer;
    architecture.bias.norm = true;
    architecture.bias.qkv = keys.switch("use_qkv_bias", false, QKV)?;
    if keys.switch("qk_layernorm", false, "norms of queries and keys")? {
        architecture.query_key_norm = QueryKeyNorm::EachHead;
    }
    if keys.switch(
        "use_parallel_residual",
        false,
        "both sublayers of a layer read the same input",
    )? {
        architecture.residual = Residual::ParallelShared;
    }
    Ok(architecture)
}
