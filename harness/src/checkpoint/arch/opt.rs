//! OPT: learned positions, two rows of whose table are for padding; the model of 350 million parameters normalises the
//! stream itself and has narrower embeddings.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        prefix: "model.decoder.",
        bare_prefix: "decoder.",
        project: ["project_in", "project_out"],
        positions: Some("embed_positions"),
        rows_before: 2,
        attention_norm: "self_attn_layer_norm",
        attention_post_norm: "self_attn_layer_norm",
        mlp_norm: "final_layer_norm",
        mlp_post_norm: "final_layer_norm",
        out: "self_attn.out_proj",
        up: &["fc1"],
        down: "fc2",
        norm: "final_layer_norm",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let width = keys.count_or("hidden_size", 768, "width of the residual stream")?;
    let layers = keys.count_or("num_hidden_layers", 12, "layers")?;
    let heads = keys.count_or("num_attention_heads", 12, "heads")?;
    let hidden = keys.count_or("ffn_dim", 3072, "hidden width after attention")?;
    let vocab = keys.count_or("vocab_size", 50_272, "vocabulary")?;
    let rows = keys.count_or("max_position_embeddings", 2048, "learned positions")?;
    let embed = keys.nullable("word_embed_proj_dim", None, "width of the embeddings")?;
    let sizes = geometry(keys, (layers, width), (heads, heads), None, rows)?;
    let mut architecture = Architecture::llama_like("opt", sizes, hidden, vocab);
    architecture.positional = learned(rows);
    architecture.embed_width = embed.filter(|embed| *embed != width);
    architecture.norm_eps = 1e-5;
    let affine = keys.switch("layer_norm_elementwise_affine", true, "norms have weights")?;
    architecture.norm = match affine {
        true => Norm::Layer,
        false => Norm::LayerBare,
    };
    architecture.activation = Activation::named(keys, "activation_function", "relu")?;
    architecture.gated = false;
    let bias = keys.switch("enable_bias", true, "biases of projections")?;
    architecture.bias = Biases {
        qkv: bias,
        out: bias,
        mlp: bias,
        norm: true,
        head: false,
    };
    let before = keys.switch(
        "do_layer_norm_before",
        true,
        "norms stand before the sublayers",
    )?;
    if !before {
        architecture.residual = Residual::Post;
    }
    let removed = keys.switch(
        "_remove_final_layer_norm",
        false,
        "no norm behind the layers",
    )?;
    architecture.final_norm = before && !removed;
    architecture.tied = keys.switch("tie_word_embeddings", true, "head is the embedding")?;
    Ok(architecture)
}
