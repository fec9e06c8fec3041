//! Qwen2-MoE and Qwen3-MoE: Qwen with experts in some layers, the former with a block beside them that all tokens see.

use super::shared::*;

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
    architecture.bias.qkv = keys.switch("qkv_bias", true, QKV)?;
    let slides = keys.switch("use_sliding_window", false, SLIDES)?;
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
    with_experts(keys, &mut architecture, [60, 4], 1408)?;
    let meaning = "hidden width of the block that all tokens see";
    let shared = keys.count_or("shared_expert_intermediate_size", 5632, meaning)?;
    if let Some(experts) = &mut architecture.experts {
        (experts.shared, experts.shared_gate) = (Some(shared), true);
    }
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
    architecture.attention_bias(keys, false)?;
    architecture.query_key_norm = QueryKeyNorm::Head;
    let slides = keys.switch("use_sliding_window", false, SLIDES)?;
    let window = window(keys, Some(4096))?;
    architecture.windows = vec![window.filter(|_| slides); architecture.geometry.layers];
    keys.idle(&["max_window_layers"], "not read: all layers are alike");
    with_experts(keys, &mut architecture, [128, 8], 768)?;
    Ok(architecture)
}

/// Experts in every so-manieth layer, but for those that are named.
fn with_experts(
    keys: &mut Keys,
    architecture: &mut Architecture,
    counts: [usize; 2],
    hidden: usize,
) -> Result<()> {
    let hidden = keys.count_or("moe_intermediate_size", hidden, "hidden width of an expert")?;
    let meaning = "weights of a token's experts add up to 1";
    let normalised = keys.switch("norm_topk_prob", false, meaning)?;
    let meaning = "every so-manieth layer has experts";
    let step = keys.count_or("decoder_sparse_step", 1, meaning)?;
    let dense = keys.counts("mlp_only_layers", "layers without experts")?;
    let dense = dense.unwrap_or_default();
    let of = |layer: usize| (layer + 1).is_multiple_of(step) && !dense.contains(&layer);
    let layers = (0..architecture.geometry.layers).map(of).collect();
    let routing = Routing::softmax(normalised);
    architecture.experts = Some(experts(keys, (layers, hidden), &COUNT, counts, routing)?);
    Ok(())
}
