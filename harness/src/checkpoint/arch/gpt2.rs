//! GPT-2: learned positions.

use super::super::config::{Activation, Architecture, Norm, Positional, geometry};
use super::super::keys::Keys;
use super::super::layout::{Names, Qkv};
use super::ALL_BIASES;
use crate::Result;
use serde_json::{Map, json};

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
    let width = keys.needed_either(["n_embd", "hidden_size"], "width of the residual stream")?;
    let layers = keys.needed_either(["n_layer", "num_hidden_layers"], "layers")?;
    let heads = keys.needed_either(["n_head", "num_attention_heads"], "heads")?;
    let hidden = keys.count_or("n_inner", 4 * width, "hidden width after attention")?;
    let vocab = keys.needed("vocab_size", "vocabulary")?;
    let rows = keys.needed_either(
        ["n_positions", "max_position_embeddings"],
        "learned positions",
    )?;
    let sizes = geometry(keys, (layers, width), (heads, heads), None, rows)?;
    let mut architecture = Architecture::llama_like("gpt2", sizes, hidden, vocab);
    let mut settings = Map::new();
    settings.insert("rows".into(), json!(rows));
    architecture.positional = Positional::new("learned", settings);
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
            "attn_pdrop",
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
