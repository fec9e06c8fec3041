//! OLMoE: OLMo with norms of whole queries and keys, and experts in every layer.

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        norm_eps: 1e-5,
        vocab: 50_304,
        width: 2048,
        hidden: 2048,
        layers: 16,
        heads: 16,
        positions: 4096,
        ..LLAMA
    };
    let mut architecture = common(keys, "olmoe", defaults)?;
    architecture.query_key_norm = QueryKeyNorm::Whole;
    architecture.attention_bias(keys, false)?;
    if let Some(clip) = keys.number("clip_qkv", "queries, keys and values are clipped to ±")? {
        let rule = "null, as clipping behind the norms is not built";
        return Err(keys.contradicts("clip_qkv", rule, clip));
    }
    let names = ["num_experts", "num_local_experts"];
    let normalised = keys.switch("norm_topk_prob", false, "weights add up to 1")?;
    let layers = (
        vec![true; architecture.geometry.layers],
        architecture.hidden,
    );
    let experts = experts(keys, layers, &names, [64, 8], Routing::softmax(normalised))?;
    architecture.experts = Some(experts);
    Ok(architecture)
}
