//! Phi-3: Llama with fused projections; its long variants use LongRoPE.

use super::super::config::Architecture;
use super::super::keys::Keys;
use super::super::layout::{Names, Qkv};
use super::llama::{Defaults, LLAMA, common};
use super::windows;
use crate::Result;
use serde_json::json;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        qkv: Qkv::Fused("self_attn.qkv_proj"),
        up: &["mlp.gate_up_proj"],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        norm_eps: 1e-5,
        ..LLAMA
    };
    let mut architecture = common(keys, "phi3", defaults)?;
    let window = keys.nullable("sliding_window", None, "tokens that each token sees")?;
    architecture.windows = windows(keys, architecture.geometry.layers, window, |_| true)?;
    keys.idle(&["attention_bias", "mlp_bias"], "not read by this family");
    let why = "the reference has nothing else";
    for (key, only) in [
        ("full_attn_mod", json!(1)),
        ("interpolate_factor", json!(1)),
        ("lm_head_bias", json!(false)),
    ] {
        keys.only(key, &only, why)?;
    }
    Ok(architecture)
}
