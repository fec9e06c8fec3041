//! Llama 1 to 3, Mistral, Qwen2 (biases on queries, keys and values) and Qwen3 (norms on queries and keys).

use super::super::config::{Activation, Architecture, geometry};
use super::super::keys::Keys;
use super::super::layout::Names;
use super::super::rope::{self, USUAL};
use super::windows;
use crate::Result;

pub(super) fn names(_: &Architecture) -> Names {
    Names::LLAMA
}

pub(super) fn llama(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "llama", None)?;
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    Ok(architecture)
}

pub(super) fn mistral(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "mistral", None)?;
    let window = keys.nullable("sliding_window", Some(4096), "tokens that each token sees")?;
    architecture.windows = windows(keys, architecture.geometry.layers, window, |_| true)?;
    Ok(architecture)
}

pub(super) fn qwen2(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "qwen2", None)?;
    architecture.bias.qkv = true;
    qwen_windows(keys, &mut architecture)?;
    Ok(architecture)
}

pub(super) fn qwen3(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "qwen3", Some(128))?;
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    architecture.query_key_norm = true;
    qwen_windows(keys, &mut architecture)?;
    Ok(architecture)
}

fn qwen_windows(keys: &mut Keys, architecture: &mut Architecture) -> Result<()> {
    let slides = keys.switch(
        "use_sliding_window",
        false,
        "whether any layer has a window",
    )?;
    let window = keys.nullable(
        "sliding_window",
        Some(4096),
        "tokens that a token sees there",
    )?;
    let first = keys.take("max_window_layers", "first layer with a window");
    let first = first.and_then(|n| n.as_u64()).unwrap_or(28) as usize;
    let window = window.filter(|_| slides);
    architecture.windows = windows(keys, architecture.geometry.layers, window, |layer| {
        layer >= first
    })?;
    Ok(())
}

/// What all of them, Phi-3 and Gemma 2 have in common; `head_dim` is the family's default.
pub(super) fn common(
    keys: &mut Keys,
    family: &str,
    head_dim: Option<usize>,
) -> Result<Architecture> {
    let width = keys.needed("hidden_size", "width of the residual stream")?;
    let hidden = keys.needed("intermediate_size", "hidden width after attention")?;
    let layers = keys.needed("num_hidden_layers", "layers")?;
    let heads = keys.needed("num_attention_heads", "query heads")?;
    let kv_heads = keys.count_or("num_key_value_heads", heads, "key/value heads")?;
    let head_dim = keys.count("head_dim", "channels of a head")?.or(head_dim);
    let vocab = keys.needed("vocab_size", "vocabulary")?;
    let positions = keys.needed(
        "max_position_embeddings",
        "longest text that the model is for",
    )?;
    let rotary = rope::read(keys, USUAL, positions)?;
    let sizes = geometry(
        keys,
        (layers, width),
        (heads, kv_heads),
        head_dim,
        rotary.trained_length,
    )?;
    let mut architecture = Architecture::llama_like(family, sizes, hidden, vocab);
    architecture.positional = rotary.positional;
    architecture.norm_eps = keys.positive_or("rms_norm_eps", 1e-6, "added in norms")?;
    let tied = family == "gemma2";
    architecture.tied = keys.switch("tie_word_embeddings", tied, "head is the embedding")?;
    // Gemma 2 has a key of its own for it.
    if family != "gemma2" {
        architecture.activation = Activation::named(keys, "hidden_act", "silu")?;
    }
    Ok(architecture)
}
