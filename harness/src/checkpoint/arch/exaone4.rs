//! EXAONE 4: norms behind the sublayers and of queries and keys; where some layers have a window, the others turn nothing.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        attention_post_norm: "post_attention_layernorm",
        mlp_post_norm: "post_feedforward_layernorm",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(32),
        norm_eps: 1e-5,
        vocab: 102_400,
        hidden: 16_384,
        ..LLAMA
    };
    let mut architecture = common(keys, "exaone4", defaults)?;
    architecture.residual = Residual::Behind;
    architecture.query_key_norm = QueryKeyNorm::Head;
    let window = keys.nullable(
        "sliding_window",
        Some(4096),
        "tokens that a token sees in layers that turn; none: all turn",
    )?;
    let pattern = match window {
        Some(_) => pattern(keys, 4)?,
        // Without a window the pattern says nothing.
        None => {
            keys.idle(&["sliding_window_pattern"], "not read without a window");
            1
        }
    };
    let layers = architecture.geometry.layers;
    let sliding = sliding(keys, layers, |layer| (layer + 1) % pattern != 0)?;
    if window.is_some() {
        architecture.apart = still(&sliding);
        architecture.windows = sliding.iter().map(|yes| window.filter(|_| *yes)).collect();
    }
    Ok(architecture)
}
