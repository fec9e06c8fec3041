//! Mixtral: Mistral with experts in every layer.

use super::super::experts::ExpertNames;
use super::super::keys::Keys;
use super::super::layout::Names;
use super::super::rope::{self, USUAL};
use super::llama::{Defaults, LLAMA, common};
use crate::Result;
use crate::model::{Architecture, Experts, Routing};

/// Experts of a layer, and of a model, beyond which a config is taken for a mistake.
const MOST: [usize; 2] = [4096, 1 << 18];

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
        rope: rope::Family {
            theta: 1e6,
            ..USUAL
        },
        ..LLAMA
    };
    let mut architecture = common(keys, "mixtral", defaults)?;
    let layers = architecture.geometry.layers;
    let window = keys.nullable("sliding_window", None, "tokens that each token sees")?;
    architecture.windows = vec![window; layers];
    let count = keys.either_or(
        ["num_local_experts", "num_experts"],
        8,
        "experts of a layer",
    )?;
    let chosen = keys.count_or("num_experts_per_tok", 2, "experts that a token goes to")?;
    architecture.experts = Some(Experts {
        layers: vec![true; layers],
        count,
        chosen,
        hidden: architecture.hidden,
        routing: Routing::softmax(true),
        router_bias: false,
        shared: None,
        shared_gate: false,
    });
    keys.idle(&["router_jitter_noise"], "noise of training");
    checked(keys, &architecture)?;
    Ok(architecture)
}

/// Refuses more experts than anybody has, and fewer than a token goes to.
pub(super) fn checked(keys: &Keys, architecture: &Architecture) -> Result<()> {
    let Some(experts) = &architecture.experts else {
        return Ok(());
    };
    let Experts { count, chosen, .. } = *experts;
    let most = MOST[0].min(MOST[1] / architecture.geometry.layers);
    if count > most {
        return Err(keys.wrong("num_experts", &format!("at most {most}"), count));
    }
    if chosen > count {
        let rule = format!("at most the {count} experts of a layer");
        return Err(keys.wrong("num_experts_per_tok", &rule, chosen));
    }
    Ok(())
}
