//! Cohere (Command R) and Cohere 2: both sublayers of a layer read one norm, pairs are neighbouring channels, logits are
//! scaled. Cohere 2 turns in layers with a window only; the others see all tokens without positions.

use super::shared::*;

const COHERE: Defaults = Defaults {
    vocab: 256_000,
    width: 8192,
    hidden: 22_528,
    layers: 40,
    heads: 64,
    positions: 8192,
    rope: USUAL.neighbours(),
    norm_eps: 1e-5,
    eps_key: Some("layer_norm_eps"),
    tied: true,
    ..LLAMA
};

pub(super) fn cohere(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        rope: COHERE.rope.with_base(500_000.0),
        ..COHERE
    };
    let mut architecture = both(keys, "cohere", defaults)?;
    if keys.loose_switch("use_qk_norm", false, "norms of queries and keys")? {
        architecture.query_key_norm = QueryKeyNorm::EachHead;
    }
    Ok(architecture)
}

pub(super) fn cohere2(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = both(keys, "cohere2", COHERE)?;
    whole_width(keys, &architecture)?;
    let window = window(keys, Some(4096))?;
    let pattern = pattern(keys, 4)?;
    let layers = architecture.geometry.layers;
    let sliding = sliding(keys, layers, |layer| (layer + 1) % pattern != 0)?;
    architecture.apart = vec![None; layers];
    for (layer, slides) in sliding.into_iter().enumerate() {
        match window.filter(|_| slides) {
            None => architecture.apart[layer] = nope(),
            window => architecture.windows[layer] = window,
        }
    }
    Ok(architecture)
}

fn both(keys: &mut Keys, family: &str, defaults: Defaults) -> Result<Architecture> {
    let mut architecture = common(keys, family, defaults)?;
    architecture.norm = Norm::Layer;
    architecture.residual = Residual::ParallelShared;
    architecture.logit_scale = keys.positive_or("logit_scale", 0.0625, "multiplies logits")?;
    architecture.attention_bias(keys, false)?;
    Ok(architecture)
}
