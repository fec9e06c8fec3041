//! GPT-2: learned positions.

use super::super::config::geometry;
use super::super::keys::Keys;
use super::super::layout::{Names, Qkv};
use super::{ALL_BIASES, learned};
use crate::Result;
use crate::model::{Activation, Architecture, Norm};

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
    let width = keys.either_or(
        ["n_embd", "hidden_size"],
        768,
        "width of the residual stream",
    )?;
    let layers = keys.either_or(["n_layer", "num_hidden_layers"], 12, "layers")?;
    let heads = keys.either_or(["n_head", "num_attention_heads"], 12, "heads")?;
    let hidden = keys.nullable("n_inner", Some(4 * width), "hidden width after attention")?;
    let hidden = hidden.unwrap_or(4 * width);
    let vocab = keys.count_or("vocab_size", 50_257, "vocabulary")?;
    let rows = keys.either_or(
        ["n_positions", "max_position_embeddings"],
        1024,
        "learned positions",
    )?;
    let sizes = geometry(keys, (layers, width), (heads, heads), None, rows)?;
    let mut architecture = Architecture::llama_like("gpt2", sizes, hidden, vocab);
    architecture.positional = learned(rows);
    architecture.norm = Norm::Layer;
    architecture.norm_eps = keys.positive_or("layer_norm_epsilon", 1e-5, "added in norms")?;
    architecture.activation = Activation::named(keys, "activation_function", "gelu_new")?;
    architecture.gated = false;
    architecture.bias = ALL_BIASES;
    architecture.tied = keys.switch("tie_word_embeddings", true, "head is the embedding")?;
    if !keys.switch(
        "scale_attn_weights",
        true,
        "scores are divided by √head_dim",
    )? {
        architecture.score_scale = (sizes.head_dim as f64).sqrt();
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
    keys.idle(
        &[
            "n_special",
            "summary_type",
            "summary_use_proj",
            "summary_activation",
            "summary_proj_to_labels",
            "summary_first_dropout",
        ],
        "no effect on the computation",
    );
    Ok(architecture)
}
