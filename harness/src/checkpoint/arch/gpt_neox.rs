//! GPT-NeoX and Pythia: partial rotation, attention and the block after it side by side.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        prefix: "gpt_neox.",
        embed: "embed_in",
        qkv: Qkv::Grouped("attention.query_key_value"),
        out: "attention.dense",
        up: &["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        norm: "final_layer_norm",
        head: "embed_out",
        buffers: &[
            "attention.rotary_emb.inv_freq",
            "attention.bias",
            "attention.masked_bias",
            "rotary_emb.inv_freq",
        ],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let width = keys.count_or("hidden_size", 6144, "width of the residual stream")?;
    let hidden = keys.count_or("intermediate_size", 24_576, "hidden width after attention")?;
    let layers = keys.count_or("num_hidden_layers", 44, "layers")?;
    let heads = keys.count_or("num_attention_heads", 64, "heads")?;
    let vocab = keys.count_or("vocab_size", 50_432, "vocabulary")?;
    let positions = keys.count_or(
        "max_position_embeddings",
        2048,
        "longest text that the model is for",
    )?;
    let family = rope::Family {
        theta_keys: &["rotary_emb_base"],
        partial_keys: &["rotary_pct"],
        partial: 0.25,
        ..USUAL
    };
    let rotary = rope::read(keys, family, positions)?;
    let sizes = geometry(
        keys,
        (layers, width),
        (heads, heads),
        None,
        rotary.trained_length,
    )?;
    let mut architecture = Architecture::llama_like("gpt_neox", sizes, hidden, vocab);
    architecture.rotates(rotary);
    architecture.before_llama(keys, "layer_norm_eps", false)?;
    architecture.activation = Activation::named(keys, "hidden_act", "gelu")?;
    architecture.attention_bias(keys, true)?;
    if keys.switch(
        "use_parallel_residual",
        true,
        "both sublayers of a layer read the same input",
    )? {
        architecture.residual = Residual::Parallel;
    }
    Ok(architecture)
}
