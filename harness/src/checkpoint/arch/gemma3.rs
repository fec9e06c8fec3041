//! Gemma 3, text: Gemma 2 with norms of queries and keys in place of soft caps, and five layers with a window, turned by a
//! base of their own, to each one without.

use super::super::keys::Keys;
use super::super::rope::{self, USUAL};
use super::super::rope_layers::Sliding;
use super::gemma2::{LOGITS, cap};
use super::llama::{Defaults, LLAMA, common};
use super::{pattern, sliding};
use crate::Result;
use crate::model::{Architecture, Norm, QueryKeyNorm, Residual};
use serde_json::json;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(256),
        kv_heads: Some(4),
        vocab: 262_208,
        width: 2304,
        hidden: 9216,
        layers: 26,
        heads: 8,
        positions: 131_072,
        rope: rope::Family {
            theta: 1_000_000.0,
            ..USUAL
        },
        sliding: Some(Sliding {
            theta_keys: &["rope_local_base_freq"],
            theta: 10_000.0,
        }),
        activation: ("hidden_activation", "gelu_pytorch_tanh"),
        tied: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "gemma3_text", defaults)?;
    let sizes = architecture.geometry;
    architecture.norm = Norm::RmsOffset;
    architecture.residual = Residual::Sandwich;
    architecture.query_key_norm = QueryKeyNorm::Head;
    architecture.embed_scale = (sizes.width as f64).sqrt();
    let scalar = keys.positive_or(
        "query_pre_attn_scalar",
        256.0,
        "scores are divided by its root",
    )?;
    architecture.score_scale = (sizes.head_dim as f64 / scalar).sqrt();
    architecture.logit_cap = cap(keys, "final_logit_softcapping", None, LOGITS)?;
    const SCORES: &str = "attn_logit_softcapping";
    if keys.has(SCORES) {
        keys.warn(format!(
            "key `{SCORES}` is set; this family's reference does not cap scores, nor does this"
        ));
    }
    keys.idle(&[SCORES], "not read by the reference");
    let window = keys.nullable(
        "sliding_window",
        Some(4096),
        "tokens that a token sees there",
    )?;
    let pattern = pattern(keys, 6)?;
    keys.idle(
        &["_sliding_window_pattern"],
        "not read: sliding_window_pattern is",
    );
    let sliding = sliding(keys, sizes.layers, |layer| (layer + 1) % pattern != 0)?;
    architecture.slides(&sliding, window);
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    keys.idle(&["hidden_act"], "not read: hidden_activation is");
    keys.only(
        "use_bidirectional_attention",
        &json!(false),
        "causal attention",
    )?;
    Ok(architecture)
}
