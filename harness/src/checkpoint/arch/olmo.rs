//! OLMo 1 (norms without weights), OLMo 2 (norms behind the sublayers and of whole queries and keys) and OLMo 3 (windows in
//! three of four layers, whose rotation no scaling changes).

use super::shared::*;

const OLMO: Defaults = Defaults {
    norm_eps: 1e-5,
    vocab: 50_304,
    ..LLAMA
};
/// Base of OLMo 3.
const THETA: f64 = 500_000.0;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        attention_post_norm: "post_attention_layernorm",
        mlp_post_norm: "post_feedforward_layernorm",
        ..Names::LLAMA
    }
}

pub(super) fn olmo(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        eps_key: None,
        ..OLMO
    };
    let mut architecture = common(keys, "olmo", defaults)?;
    architecture.norm = Norm::LayerBare;
    architecture.clip = keys.positive("clip_qkv", "queries, keys and values are clipped to ±")?;
    architecture.attention_bias(keys, false)?;
    Ok(architecture)
}

pub(super) fn olmo2(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "olmo2", OLMO)?;
    norms(&mut architecture);
    architecture.attention_bias(keys, false)?;
    Ok(architecture)
}

pub(super) fn olmo3(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        rope: USUAL.with_base(THETA),
        sliding: Some(Sliding {
            theta_keys: &[],
            theta: THETA,
        }),
        ..OLMO
    };
    let mut architecture = common(keys, "olmo3", defaults)?;
    norms(&mut architecture);
    architecture.attention_bias(keys, false)?;
    let window = window(keys, Some(4096))?;
    let layers = architecture.geometry.layers;
    let sliding = sliding(keys, layers, |layer| (layer + 1) % 4 != 0)?;
    architecture.slides(&sliding, window);
    let base = |own: &Option<_>| own.as_ref().map(base);
    let local = architecture.apart.iter().find_map(base).flatten();
    let main = super::shared::base(&architecture.positional);
    if let (Some(local), Some(main)) = (local, main)
        && local != main
    {
        keys.warn(format!(
            "layers with a window turn by the base {local}, the others by {main}; a rope_theta at the top level is for the \
             others alone, as in the reference"
        ));
    }
    Ok(architecture)
}

fn norms(architecture: &mut Architecture) {
    architecture.residual = Residual::Behind;
    architecture.query_key_norm = QueryKeyNorm::Whole;
}
