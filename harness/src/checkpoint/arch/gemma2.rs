//! Gemma 2: norms on both sides of each half, soft caps, windows in every other layer.

use super::gemma::gemma;
use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        attention_post_norm: "post_attention_layernorm",
        mlp_norm: "pre_feedforward_layernorm",
        mlp_post_norm: "post_feedforward_layernorm",
        ..Names::LLAMA
    }
}

pub(super) const GEMMA2: Defaults = Defaults {
    head_dim: Some(256),
    kv_heads: Some(4),
    vocab: 256_000,
    width: 2304,
    hidden: 9216,
    layers: 26,
    heads: 8,
    positions: 8192,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    tied: true,
    ..LLAMA
};

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = sandwich(keys, "gemma2", GEMMA2, Some(30.0))?;
    let meaning = "soft cap of scores";
    architecture.score_cap = cap(keys, "attn_logit_softcapping", Some(50.0), meaning)?;
    let window = window(keys, Some(4096))?;
    let layers = architecture.geometry.layers;
    architecture.windows = windows(keys, layers, window, |layer| layer % 2 == 0)?;
    keys.idle(&["sliding_window_size"], "not read: sliding_window is");
    Ok(architecture)
}

/// What Gemma 2 and 3 have in common.
pub(super) fn sandwich(
    keys: &mut Keys,
    family: &str,
    defaults: Defaults,
    logit_cap: Option<f64>,
) -> Result<Architecture> {
    let mut architecture = gemma(keys, family, defaults)?;
    architecture.residual = Residual::Sandwich;
    let meaning = "scores are divided by its root";
    let scalar = keys.positive_or("query_pre_attn_scalar", 256.0, meaning)?;
    architecture.score_scale = (architecture.geometry.head_dim as f64 / scalar).sqrt();
    let meaning = "soft cap of logits";
    architecture.logit_cap = cap(keys, "final_logit_softcapping", logit_cap, meaning)?;
    keys.idle(&["hidden_act"], "not read: hidden_activation is");
    Ok(architecture)
}

/// A soft cap; null is none.
fn cap(
    keys: &mut Keys,
    key: &'static str,
    default: Option<f64>,
    meaning: &str,
) -> Result<Option<f64>> {
    match default {
        Some(default) if !keys.is_null(key) => keys.positive_or(key, default, meaning).map(Some),
        _ => keys.positive(key, meaning),
    }
}
