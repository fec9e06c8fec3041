//! SmolLM3: Llama whose every fourth layer turns nothing.

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(4),
        vocab: 128_256,
        width: 2048,
        layers: 36,
        heads: 16,
        positions: 32_768,
        rope: USUAL.with_base(2_000_000.0),
        tied: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "smollm3", defaults)?;
    let layers = architecture.geometry.layers;
    let turned = turned(keys, layers)?;
    architecture.apart = still(&turned);
    let slides = keys.switch(
        "use_sliding_window",
        false,
        "whether layers that turn nothing have a window",
    )?;
    let window = window(keys, None)?;
    architecture.windows = windows(keys, layers, window, |layer| slides && !turned[layer])?;
    architecture.attention_bias(keys, false)?;
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
