//! Models that were trained here in the words of the reference library: those that are a Llama but for a scale.

use crate::model::Architecture;
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// The embedding, and the head, by the decoder's names.
pub(super) const EMBED: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";

/// The Llama that computes as `architecture` does where its embeddings are multiplied by the scale that is given beside.
/// Fails in words if there is none.
pub(super) fn as_llama(architecture: &Architecture) -> Result<(Architecture, f64)> {
    let a = architecture;
    let mut llama = Architecture::llama_like("llama", a.geometry, a.hidden, a.vocab);
    llama.positional.clone_from(&a.positional);
    llama.norm_eps = a.norm_eps;
    llama.activation = a.activation;
    // A head that shares its matrix with scaled embeddings gets one of its own.
    llama.tied = a.tied && a.embed_scale == 1.0;
    let same = Architecture {
        family: a.family.clone(),
        embed_scale: a.embed_scale,
        tied: a.tied,
        other_length: a.other_length,
        notes: a.notes.clone(),
        ..llama.clone()
    };
    if same == *a {
        return Ok((llama, a.embed_scale));
    }
    let (found, expected) = (json!(a), json!(same));
    let tables = (found.as_object(), expected.as_object());
    let differing: Vec<String> = match tables {
        (Some(found), Some(expected)) => found
            .iter()
            .filter(|(key, value)| expected.get(*key) != Some(value))
            .map(|(key, value)| format!("{key} = {value}"))
            .collect(),
        _ => Vec::new(),
    };
    Err(Error::Config(format!(
        "this model cannot be saved as a Llama, which has no {}; --format farspan saves any model",
        differing.join(", ")
    )))
}

/// Its config, without what it says of positions.
pub(super) fn llama_config(llama: &Architecture) -> Map<String, Value> {
    let g = &llama.geometry;
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": g.width,
        "intermediate_size": llama.hidden,
        "num_hidden_layers": g.layers,
        "num_attention_heads": g.heads,
        "num_key_value_heads": g.kv_heads,
        "head_dim": g.head_dim,
        "vocab_size": llama.vocab,
        "rms_norm_eps": llama.norm_eps,
        "hidden_act": llama.activation.name(),
        "tie_word_embeddings": llama.tied,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": null,
        "eos_token_id": null,
        "pad_token_id": null,
    });
    config.as_object().cloned().unwrap_or_default()
}
