//! What GPT-2, GPT-J, CodeGen and GPT-Neo have in common: LayerNorms, a block without a gate, and keys of heads for other
//! tasks.

use super::shared::*;

/// What one of them takes for keys that are absent, with the names of its keys.
#[derive(Clone, Copy)]
pub(super) struct Gpt {
    pub(super) width: (&'static [&'static str], usize),
    pub(super) layers: (&'static [&'static str], usize),
    pub(super) heads: (&'static [&'static str], usize),
    /// Key of the hidden width, which is four times the width by default.
    pub(super) hidden: &'static str,
    pub(super) vocab: usize,
    pub(super) positions: (&'static [&'static str], usize),
    /// Whether the head is the embedding.
    pub(super) tied: bool,
}

/// GPT-2's.
pub(super) const GPT2: Gpt = Gpt {
    width: (&["n_embd", "hidden_size"], 768),
    layers: (&["n_layer", "num_hidden_layers"], 12),
    heads: (&["n_head", "num_attention_heads"], 12),
    hidden: "n_inner",
    vocab: 50_257,
    positions: (&["n_positions", "max_position_embeddings"], 1024),
    tied: true,
};

/// The decoder under learned positions, as many as it is for.
pub(super) fn gpt(keys: &mut Keys, family: &str, gpt: Gpt) -> Result<Architecture> {
    let mut size = |(names, default), meaning| keys.either_or(names, default, meaning);
    let width = size(gpt.width, "width of the residual stream")?;
    let layers = size(gpt.layers, "layers")?;
    let heads = size(gpt.heads, "heads")?;
    let positions = size(gpt.positions, "longest text that the model is for")?;
    let vocab = size((&["vocab_size"], gpt.vocab), "vocabulary")?;
    let hidden = keys.nullable(gpt.hidden, Some(4 * width), "hidden width after attention")?;
    let hidden = hidden.unwrap_or(4 * width);
    let sizes = geometry(keys, (layers, width), (heads, heads), None, positions)?;
    let mut architecture = Architecture::llama_like(family, sizes, hidden, vocab);
    architecture.positional = learned(positions);
    architecture.before_llama(keys, "layer_norm_epsilon", gpt.tied)?;
    architecture.activation = Activation::named(keys, "activation_function", "gelu_new")?;
    keys.idle(
        &[
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
