//! Llama 1 to 3, Mistral, Qwen2 (biases on queries, keys and values) and Qwen3 (norms on queries and keys).

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names::LLAMA
}

pub(super) fn llama(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "llama", LLAMA)?;
    architecture.attention_bias(keys, false)?;
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    keys.only(
        "rope_interleaved",
        &json!(false),
        "the reference turns channel i with i + head_dim/2",
    )?;
    Ok(architecture)
}

pub(super) fn mistral(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        hidden: 14_336,
        kv_heads: Some(8),
        positions: 131_072,
        ..LLAMA
    };
    let mut architecture = common(keys, "mistral", defaults)?;
    let window = window(keys, Some(4096))?;
    architecture.windows = windows(keys, architecture.geometry.layers, window, |_| true)?;
    Ok(architecture)
}

pub(super) fn qwen2(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "qwen2", QWEN)?;
    architecture.bias.qkv = true;
    qwen_windows(keys, &mut architecture)?;
    Ok(architecture)
}

pub(super) fn qwen3(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(128),
        ..QWEN
    };
    let mut architecture = common(keys, "qwen3", defaults)?;
    architecture.attention_bias(keys, false)?;
    architecture.query_key_norm = QueryKeyNorm::Head;
    qwen_windows(keys, &mut architecture)?;
    Ok(architecture)
}

fn qwen_windows(keys: &mut Keys, architecture: &mut Architecture) -> Result<()> {
    let slides = keys.switch("use_sliding_window", false, SLIDES)?;
    let window = window(keys, Some(4096))?;
    let first = keys.number_of("max_window_layers", 28, "first layer with a window")?;
    keys.only("use_mrope", &json!(false), "one position per token")?;
    super::dual_chunk::read(keys, architecture)?;
    let window = window.filter(|_| slides);
    architecture.windows = windows(keys, architecture.geometry.layers, window, |layer| {
        layer >= first
    })?;
    Ok(())
}

/// What a family takes for keys that are absent.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    /// Channels of a head; nothing means width / heads.
    pub(super) head_dim: Option<usize>,
    /// Key/value heads; nothing means as many as query heads, as a key that is null does in every family.
    pub(super) kv_heads: Option<usize>,
    /// Added in norms.
    pub(super) norm_eps: f64,
    /// Vocabulary.
    pub(super) vocab: usize,
    /// Width of the residual stream.
    pub(super) width: usize,
    /// Hidden width after attention.
    pub(super) hidden: usize,
    /// Layers.
    pub(super) layers: usize,
    /// Query heads.
    pub(super) heads: usize,
    /// `max_position_embeddings`.
    pub(super) positions: usize,
    /// Rotary keys.
    pub(super) rope: rope::Family,
    /// What layers with a window have of their own among them, where they have.
    pub(super) sliding: Option<Sliding>,
    /// Whether heads may be turned in part.
    pub(super) in_part: bool,
    /// Key of what is added in norms, where there is one.
    pub(super) eps_key: Option<&'static str>,
    /// Key of the activation, and its name where the key is absent.
    pub(super) activation: (&'static str, &'static str),
    /// Whether the head is the embedding.
    pub(super) tied: bool,
}

/// Llama's.
pub(super) const LLAMA: Defaults = Defaults {
    head_dim: None,
    kv_heads: None,
    norm_eps: 1e-6,
    vocab: 32_000,
    width: 4096,
    hidden: 11_008,
    layers: 32,
    heads: 32,
    positions: 2048,
    rope: USUAL,
    sliding: None,
    in_part: false,
    eps_key: Some("rms_norm_eps"),
    activation: ("hidden_act", "silu"),
    tied: false,
};

pub(super) const QWEN: Defaults = Defaults {
    kv_heads: Some(32),
    vocab: 151_936,
    hidden: 22_016,
    positions: 32_768,
    ..LLAMA
};

/// What all of them have in common with most other families. Where layers with a window are turned by rules of their own,
/// all layers are given these: the family takes them back from those without.
pub(super) fn common(keys: &mut Keys, family: &str, defaults: Defaults) -> Result<Architecture> {
    let width = keys.count_or(
        "hidden_size",
        defaults.width,
        "width of the residual stream",
    )?;
    let hidden = keys.count_or(
        "intermediate_size",
        defaults.hidden,
        "hidden width after attention",
    )?;
    let layers = keys.count_or("num_hidden_layers", defaults.layers, "layers")?;
    let heads = keys.count_or("num_attention_heads", defaults.heads, "query heads")?;
    let kv_heads = match keys.is_null("num_key_value_heads") {
        true => None,
        false => defaults.kv_heads,
    };
    let kv_heads = keys
        .nullable("num_key_value_heads", kv_heads, "key/value heads")?
        .unwrap_or(heads);
    let head_dim = match defaults.head_dim {
        Some(default) => Some(keys.count_or("head_dim", default, "channels of a head")?),
        None => keys.count("head_dim", "channels of a head")?,
    };
    let vocab = keys.count_or("vocab_size", defaults.vocab, "vocabulary")?;
    let positions = keys.count_or(
        "max_position_embeddings",
        defaults.positions,
        "longest text that the model is for",
    )?;
    let (rotary, windowed) = match defaults.sliding {
        None => (rope::read(keys, defaults.rope, positions)?, None),
        Some(sliding) => {
            let (full, own) = rope_layers::read(keys, defaults.rope, sliding, positions)?;
            (full, Some(own))
        }
    };
    for rotary in [Some(&rotary), windowed.as_ref()].into_iter().flatten() {
        if !defaults.in_part {
            whole_heads(keys, rotary)?;
        }
    }
    let sizes = geometry(
        keys,
        (layers, width),
        (heads, kv_heads),
        head_dim,
        rotary.trained_length,
    )?;
    let mut architecture = Architecture::llama_like(family, sizes, hidden, vocab);
    architecture.rotates(rotary);
    if let Some(windowed) = windowed {
        architecture.apart = vec![Some(windowed.positional); layers];
    }
    architecture.norm_eps = match defaults.eps_key {
        Some(key) => keys.positive_or(key, defaults.norm_eps, "added in norms")?,
        None => defaults.norm_eps,
    };
    let tied = defaults.tied;
    architecture.tied = keys.switch("tie_word_embeddings", tied, "head is the embedding")?;
    let (key, default) = defaults.activation;
    architecture.activation = Activation::named(keys, key, default)?;
    Ok(architecture)
}
