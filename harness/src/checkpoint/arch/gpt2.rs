//! GPT-2: learned positions.

use super::gpt::{GPT2, gpt};
use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        prefix: "transformer.",
        embed: "wte",
        positions: Some("wpe"),
        layers: "h",
        attention_norm: "ln_1",
        mlp_norm: "ln_2",
        qkv: Qkv::Fused("attn.c_attn"),
        out: "attn.c_proj",
        up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        norm: "ln_f",
        transposed: true,
        buffers: &["attn.bias", "attn.masked_bias"],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = gpt(keys, "gpt2", GPT2)?;
    if !keys.switch(
        "scale_attn_weights",
        true,
        "scores are divided by √head_dim",
    )? {
        architecture.score_scale = (architecture.geometry.head_dim as f64).sqrt();
    }
    architecture.score_by_layer = keys.switch(
        "scale_attn_by_inverse_layer_idx",
        false,
        "scores are divided by the number of their layer",
    )?;
    keys.idle(&["reorder_and_upcast_attn"], "only of effect below float32");
    keys.idle(
        &["n_ctx"],
        "the same as n_positions in all known checkpoints",
    );
    keys.idle(&["n_special"], "no effect on the computation");
    Ok(architecture)
}
