//! Phi-3: Llama with fused projections; its long variants use LongRoPE.

use super::super::config::Architecture;
use super::super::keys::Keys;
use super::super::layout::{Names, Qkv};
use super::llama::common;
use super::windows;
use crate::Result;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        qkv: Qkv::Fused("self_attn.qkv_proj"),
        up: &["mlp.gate_up_proj"],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "phi3", None)?;
    let window = keys.nullable("sliding_window", None, "tokens that each token sees")?;
    architecture.windows = windows(keys, architecture.geometry.layers, window, |_| true)?;
    keys.idle(&["attention_bias", "mlp_bias"], "not read by this family");
    Ok(architecture)
}
