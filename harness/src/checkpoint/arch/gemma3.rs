//! Gemma 3, text: Gemma 2 with norms of queries and keys in place of soft caps, and five layers with a window, turned by a
//! base of their own, to each one without.

use super::gemma2::{GEMMA2, sandwich};
use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        vocab: 262_208,
        positions: 131_072,
        rope: USUAL.with_base(1_000_000.0),
        sliding: Some(Sliding {
            theta_keys: &["rope_local_base_freq"],
            theta: 10_000.0,
        }),
        ..GEMMA2
    };
    let mut architecture = sandwich(keys, "gemma3_text", defaults, None)?;
    architecture.query_key_norm = QueryKeyNorm::Head;
    const SCORES: &str = "attn_logit_softcapping";
    if keys.has(SCORES) {
        keys.warn(format!(
            "key `{SCORES}` is set; this family's reference does not cap scores, nor does this"
        ));
    }
    keys.idle(&[SCORES], "not read by the reference");
    let window = window(keys, Some(4096))?;
    let pattern = pattern(keys, 6)?;
    let why = "not read: sliding_window_pattern is";
    keys.idle(&["_sliding_window_pattern"], why);
    let layers = architecture.geometry.layers;
    let sliding = sliding(keys, layers, |layer| (layer + 1) % pattern != 0)?;
    architecture.slides(&sliding, window);
    Ok(architecture)
}
