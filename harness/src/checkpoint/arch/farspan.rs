//! Farspan's own form: the architecture as it is, weights by the decoder's names. Any model has it, under any scheme.

use super::shared::*;

/// `model_type` of the form.
pub(in super::super) const FAMILY: &str = "farspan";
const KEY: &str = "architecture";

pub(super) fn names(_: &Architecture) -> Names {
    Names::OWN
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let table = keys
        .take(KEY, "the decoder as it is")
        .unwrap_or(Value::Null);
    let parsed: std::result::Result<Architecture, _> = serde_json::from_value(table.clone());
    let mut architecture =
        parsed.map_err(|e| keys.wrong(KEY, "an architecture", format!("{table}: {e}")))?;
    let g = architecture.geometry;
    let sizes = [
        g.layers,
        g.width,
        g.heads,
        g.kv_heads,
        g.head_dim,
        g.trained_length,
    ];
    if sizes.contains(&0) || architecture.hidden == 0 || architecture.vocab == 0 {
        return Err(keys.wrong(KEY, "sizes of at least 1", table));
    }
    geometry(
        keys,
        (g.layers, g.width),
        (g.heads, g.kv_heads),
        Some(g.head_dim),
        g.trained_length,
    )?;
    let apart = architecture.apart.len();
    if architecture.windows.len() != g.layers || (apart != 0 && apart != g.layers) {
        let rule = format!("one entry for each of {} layers", g.layers);
        return Err(keys.wrong(KEY, &rule, table));
    }
    let latent = architecture.latent.as_ref();
    let experts = architecture.experts.as_ref();
    let chunks = &architecture.chunks;
    let chunked = chunks.is_empty() || chunks.len() == g.layers && !chunks.contains(&Some(0));
    if !chunked
        || latent.is_some_and(|latent| !latent.fits(&g))
        || experts.is_some_and(|experts| !experts.fits(g.layers))
    {
        let rule = "chunks, experts and latents whose numbers go together";
        return Err(keys.wrong(KEY, rule, table));
    }
    architecture.family = FAMILY.into();
    Ok(architecture)
}

/// The config of a model.
pub(in super::super) fn config(architecture: &Architecture) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("model_type".into(), json!(FAMILY));
    config.insert(KEY.into(), json!(architecture));
    config
}
