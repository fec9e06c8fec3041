//! SmolLM3: Llama whose every fourth layer turns nothing.

use super::super::keys::Keys;
use super::super::rope::{self, USUAL};
use super::llama::{Defaults, LLAMA, common};
use super::{nope, windows};
use crate::Result;
use crate::model::Architecture;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(4),
        vocab: 128_256,
        width: 2048,
        layers: 36,
        heads: 16,
        positions: 32_768,
        rope: rope::Family {
            theta: 2_000_000.0,
            ..USUAL
        },
        tied: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "smollm3", defaults)?;
    let layers = architecture.geometry.layers;
    let turned = turned(keys, layers)?;
    let of = |turns: &bool| match turns {
        true => None,
        false => nope(),
    };
    architecture.apart = turned.iter().map(of).collect();
    let slides = keys.switch(
        "use_sliding_window",
        false,
        "whether layers that turn nothing have a window",
    )?;
    let window = keys.nullable("sliding_window", None, "tokens that a token sees there")?;
    architecture.windows = windows(keys, layers, window, |layer| slides && !turned[layer])?;
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    Ok(architecture)
}

/// Which layers turn queries and keys.
fn turned(keys: &mut Keys, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "no_rope_layers";
    let every = keys.count_or(
        "no_rope_layer_interval",
        4,
        "one layer in so many turns nothing",
    )?;
    match keys.numbers(KEY, "1 for each layer that turns, 0 for others")? {
        None => Ok((0..layers).map(|layer| (layer + 1) % every != 0).collect()),
        Some(list) if list.len() == layers => Ok(list.iter().map(|turns| *turns != 0.0).collect()),
        Some(list) => {
            let rule = format!("{layers} numbers, one for each layer");
            Err(keys.wrong(KEY, &rule, format!("{list:?}")))
        }
    }
}
