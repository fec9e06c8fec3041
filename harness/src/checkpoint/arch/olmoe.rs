//! OLMoE: OLMo with norms of whole queries and keys, and experts in every layer.

use super::super::keys::Keys;
use super::llama::{Defaults, LLAMA, common};
use super::mixtral::checked;
use crate::Result;
use crate::model::{Architecture, Experts, QueryKeyNorm, Routing};

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
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    if let Some(clip) = keys.number("clip_qkv", "queries, keys and values are clipped to ±")? {
        let rule = "null, as clipping behind the norms is not built";
        return Err(keys.contradicts("clip_qkv", rule, clip));
    }
    let names = ["num_experts", "num_local_experts"];
    let count = keys.either_or(names, 64, "experts of a layer")?;
    let chosen = keys.count_or("num_experts_per_tok", 8, "experts that a token goes to")?;
    let normalised = keys.switch("norm_topk_prob", false, "weights add up to 1")?;
    architecture.experts = Some(Experts {
        layers: vec![true; architecture.geometry.layers],
        count,
        chosen,
        hidden: architecture.hidden,
        routing: Routing::softmax(normalised),
        router_bias: false,
        shared: None,
        shared_gate: false,
    });
    checked(keys, &architecture)?;
    Ok(architecture)
}
