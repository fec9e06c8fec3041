//! Gemma 2: norms on both sides of each half, soft caps, windows in every other layer.

use super::super::keys::Keys;
use super::super::layout::Names;
use super::llama::{Defaults, LLAMA, common};
use super::windows;
use crate::Result;
use crate::model::{Architecture, Norm, Residual};
use serde_json::json;

/// What a cap of logits means.
pub(super) const LOGITS: &str = "soft cap of logits";

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        attention_post_norm: "post_attention_layernorm",
        mlp_norm: "pre_feedforward_layernorm",
        mlp_post_norm: "post_feedforward_layernorm",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
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
    let mut architecture = common(keys, "gemma2", defaults)?;
    let sizes = architecture.geometry;
    architecture.norm = Norm::RmsOffset;
    architecture.residual = Residual::Sandwich;
    keys.idle(&["hidden_act"], "not read: hidden_activation is");
    architecture.embed_scale = (sizes.width as f64).sqrt();
    let scalar = keys.positive_or(
        "query_pre_attn_scalar",
        256.0,
        "scores are divided by its root",
    )?;
    architecture.score_scale = (sizes.head_dim as f64 / scalar).sqrt();
    architecture.score_cap = cap(
        keys,
        "attn_logit_softcapping",
        Some(50.0),
        "soft cap of scores",
    )?;
    architecture.logit_cap = cap(keys, "final_logit_softcapping", Some(30.0), LOGITS)?;
    let window = keys.nullable(
        "sliding_window",
        Some(4096),
        "tokens that a token sees there",
    )?;
    architecture.windows = windows(keys, sizes.layers, window, |layer| layer % 2 == 0)?;
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    keys.only(
        "use_bidirectional_attention",
        &json!(false),
        "causal attention",
    )?;
    keys.idle(&["sliding_window_size"], "not read: sliding_window is");
    Ok(architecture)
}

/// A soft cap; null is none.
pub(super) fn cap(
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
