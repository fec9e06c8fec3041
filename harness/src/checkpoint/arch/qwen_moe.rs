//! Qwen2-MoE and Qwen3-MoE: Qwen with experts in some layers, the former with a block beside them that all tokens see.

use super::super::keys::Keys;
use super::llama::{Defaults, QWEN, common};
use super::mixtral::checked;
use super::windows;
use crate::Result;
use crate::model::{Architecture, Experts, QueryKeyNorm, Routing};
use serde_json::Value;

const WINDOW: &str = "sliding_window";
const WITHIN: &str = "tokens that a token sees there";
/// Names of the number of experts.
const COUNT: [&str; 2] = ["num_experts", "num_local_experts"];

pub(super) fn qwen2(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(16),
        width: 2048,
        hidden: 5632,
        layers: 24,
        heads: 16,
        ..QWEN
    };
    let mut architecture = common(keys, "qwen2_moe", defaults)?;
    architecture.bias.qkv = keys.switch("qkv_bias", true, "biases of queries, keys and values")?;
    let slides = slides(keys)?;
    let window = match keys.is_null(WINDOW) {
        true => keys.nullable(WINDOW, None, WITHIN)?,
        false => Some(keys.number_of(WINDOW, 4096, WITHIN)?),
    };
    // The class itself writes 0 where no layer has a window.
    if slides && window == Some(0) {
        return Err(keys.wrong(WINDOW, "a number of at least 1", 0));
    }
    let first = keys.number_of("max_window_layers", 28, "first layer without a window")?;
    // Every other of the first layers, as the reference has it for this family alone.
    let layers = architecture.geometry.layers;
    let window = window.filter(|_| slides);
    architecture.windows = windows(keys, layers, window, |l| l % 2 == 0 && l < first)?;
    let defaults = Counts {
        count: 60,
        chosen: 4,
        hidden: 1408,
    };
    experts(keys, &mut architecture, defaults)?;
    let meaning = "hidden width of the block that all tokens see";
    let shared = keys.count_or("shared_expert_intermediate_size", 5632, meaning)?;
    if let Some(experts) = &mut architecture.experts {
        (experts.shared, experts.shared_gate) = (Some(shared), true);
    }
    checked(keys, &architecture)?;
    Ok(architecture)
}

pub(super) fn qwen3(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(4),
        width: 2048,
        hidden: 6144,
        layers: 24,
        ..QWEN
    };
    let mut architecture = common(keys, "qwen3_moe", defaults)?;
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    architecture.query_key_norm = QueryKeyNorm::Head;
    let slides = slides(keys)?;
    let window = keys.nullable("sliding_window", Some(4096), "tokens that each token sees")?;
    architecture.windows = vec![window.filter(|_| slides); architecture.geometry.layers];
    keys.idle(&["max_window_layers"], "not read: all layers are alike");
    let defaults = Counts {
        count: 128,
        chosen: 8,
        hidden: 768,
    };
    experts(keys, &mut architecture, defaults)?;
    checked(keys, &architecture)?;
    Ok(architecture)
}

fn slides(keys: &mut Keys) -> Result<bool> {
    keys.switch(
        "use_sliding_window",
        false,
        "whether any layer has a window",
    )
}

struct Counts {
    count: usize,
    chosen: usize,
    hidden: usize,
}

/// Experts in every so-manieth layer, but for those that are named.
fn experts(keys: &mut Keys, architecture: &mut Architecture, defaults: Counts) -> Result<()> {
    let count = keys.either_or(COUNT, defaults.count, "experts of a layer")?;
    let meaning = "experts that a token goes to";
    let chosen = keys.count_or("num_experts_per_tok", defaults.chosen, meaning)?;
    let meaning = "hidden width of an expert";
    let hidden = keys.count_or("moe_intermediate_size", defaults.hidden, meaning)?;
    let meaning = "weights of a token's experts add up to 1";
    let normalised = keys.switch("norm_topk_prob", false, meaning)?;
    let step = keys.count_or(
        "decoder_sparse_step",
        1,
        "every so-manieth layer has experts",
    )?;
    let dense = numbers(keys, "mlp_only_layers", "layers without experts")?.unwrap_or_default();
    let of = |layer: usize| (layer + 1).is_multiple_of(step) && !dense.contains(&layer);
    architecture.experts = Some(Experts {
        layers: (0..architecture.geometry.layers).map(of).collect(),
        count,
        chosen,
        hidden,
        routing: Routing::softmax(normalised),
        router_bias: false,
        shared: None,
        shared_gate: false,
    });
    Ok(())
}

/// Numbers of layers, if the key is there.
pub(super) fn numbers(
    keys: &mut Keys,
    key: &'static str,
    meaning: &str,
) -> Result<Option<Vec<usize>>> {
    let Some(found) = keys.take(key, meaning) else {
        return Ok(None);
    };
    let list = found.as_array().and_then(|list| {
        let number = |x: &Value| x.as_u64().map(|n| n as usize);
        list.iter().map(number).collect::<Option<Vec<_>>>()
    });
    let list = list.ok_or_else(|| keys.wrong(key, "a list of whole numbers", &found))?;
    Ok(Some(list))
}
