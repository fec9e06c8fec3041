//! Helium: Llama whose pairs are neighbouring channels.

use super::super::keys::Keys;
use super::super::rope::{self, NEIGHBOURS, USUAL};
use super::llama::{Defaults, LLAMA, common};
use super::whole_width;
use crate::Result;
use crate::model::Architecture;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(128),
        kv_heads: Some(20),
        norm_eps: 1e-8,
        vocab: 48_000,
        width: 2560,
        hidden: 7040,
        layers: 24,
        heads: 20,
        positions: 4096,
        rope: rope::Family {
            theta: 100_000.0,
            pairing: NEIGHBOURS,
            ..USUAL
        },
        ..LLAMA
    };
    let mut architecture = common(keys, "helium", defaults)?;
    whole_width(keys, &architecture)?;
    architecture.bias.qkv = keys.switch(
        "attention_bias",
        false,
        "biases of queries, keys and values",
    )?;
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    Ok(architecture)
}
