//! Mixtral: Mistral with experts in every layer.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        experts: ExpertNames {
            router: "block_sparse_moe.gate",
            experts: "block_sparse_moe.experts",
            up: &["w1", "w3"],
            down: "w2",
            ..ExpertNames::QWEN
        },
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(8),
        norm_eps: 1e-5,
        hidden: 14_336,
        positions: 131_072,
        rope: USUAL.with_base(1e6),
        ..LLAMA
    };
    let mut architecture = common(keys, "mixtral", defaults)?;
    architecture.windows = vec![window(keys, None)?; architecture.geometry.layers];
    let names = ["num_local_experts", "num_experts"];
    let layers = (
        vec![true; architecture.geometry.layers],
        architecture.hidden,
    );
    let experts = experts(keys, layers, &names, [8, 2], Routing::softmax(true))?;
    architecture.experts = Some(experts);
    keys.idle(&["router_jitter_noise"], "noise of training");
    Ok(architecture)
}
