//! The decoder of text in Llama 4 (iRoPE): chunks of the text in layers that turn queries and keys, which are normalised
//! behind the turn; no turn and a temperature that follows the position in the others; experts in some layers, with a
//! block beside them that all tokens see.

use super::super::experts::ExpertNames;
use super::super::keys::Keys;
use super::super::layout::Names;
use super::super::rope::{self, NEIGHBOURS, USUAL};
use super::llama::{Defaults, LLAMA, common};
use super::mixtral::checked;
use super::qwen_moe::numbers;
use crate::Result;
use crate::model::{Architecture, Experts, QueryKeyNorm, Routing, Scores};
use crate::scheme::Positional;
use serde_json::{Map, Value, json};

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        up: &["feed_forward.gate_proj", "feed_forward.up_proj"],
        down: "feed_forward.down_proj",
        experts: ExpertNames {
            router: "feed_forward.router",
            experts: "feed_forward.experts",
            up: &["gate_up_proj"],
            stacked: true,
            shared: "feed_forward.shared_expert",
            ..ExpertNames::QWEN
        },
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        head_dim: Some(128),
        kv_heads: Some(8),
        norm_eps: 1e-5,
        vocab: 202_048,
        width: 5120,
        hidden: 8192,
        layers: 48,
        heads: 40,
        positions: 131_072,
        rope: rope::Family {
            theta: 500_000.0,
            pairing: NEIGHBOURS,
            ..USUAL
        },
        ..LLAMA
    };
    let mut architecture = common(keys, "llama4_text", defaults)?;
    let layers = architecture.geometry.layers;
    let turned = turned(keys, layers)?;
    let still = still(keys)?;
    let of = |turns: &bool| (!turns).then(|| still.clone());
    architecture.apart = turned.iter().map(of).collect();
    architecture.chunks = chunks(keys, &turned)?;
    let meaning = "norms of queries and keys behind the turn";
    if keys.switch("use_qk_norm", true, meaning)? {
        architecture.query_key_norm = QueryKeyNorm::Turned;
    }
    let bias = keys.switch("attention_bias", false, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    with_experts(keys, architecture)
}

/// Which layers turn queries and keys.
fn turned(keys: &mut Keys, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "no_rope_layers";
    let meaning = "one layer in so many turns nothing";
    let every = keys.count_or("no_rope_layer_interval", 4, meaning)?;
    let list = numbers(keys, KEY, "1 for each layer that turns, 0 for others")?;
    match list.filter(|list| !list.is_empty()) {
        None => Ok((0..layers).map(|layer| (layer + 1) % every != 0).collect()),
        Some(list) if list.len() >= layers => {
            Ok(list[..layers].iter().map(|turns| *turns != 0).collect())
        }
        Some(list) => {
            let rule = format!("{layers} numbers, one for each layer");
            Err(keys.wrong(KEY, &rule, format!("{list:?}")))
        }
    }
}

/// What layers follow that turn nothing.
fn still(keys: &mut Keys) -> Result<Positional> {
    let meaning = "whether scores grow with the position where nothing turns";
    let grows = keys.switch("attn_temperature_tuning", true, meaning)?;
    let floor = keys.count_or("floor_scale", 8192, "tokens after which they grow")?;
    let growth = keys.positive_or("attn_scale", 0.1, "how fast they grow")?;
    if !grows {
        return Ok(Positional::new("nope", Map::new()));
    }
    let mut settings = Map::new();
    // Every layer is one of those that iRoPE does not turn.
    settings.insert("interval".into(), json!(1));
    settings.insert("floor".into(), json!(floor));
    settings.insert("growth".into(), json!(growth));
    Ok(Positional::new("irope", settings))
}

/// Tokens of the chunks that each layer sees by itself.
fn chunks(keys: &mut Keys, turned: &[bool]) -> Result<Vec<Option<usize>>> {
    const TYPES: &str = "layer_types";
    const SIZE: &str = "attention_chunk_size";
    let meaning = "tokens of a chunk, in layers that see their own only";
    let size = keys.nullable(SIZE, Some(8192), meaning)?;
    let chunked: Vec<bool> = match keys.take(TYPES, "which layers see their own chunk only") {
        None => turned.to_vec(),
        Some(types) => {
            let kind = |value: &Value| match value.as_str() {
                Some("full_attention") => Some(false),
                Some("chunked_attention") => Some(true),
                _ => None,
            };
            let list = types.as_array().filter(|list| list.len() == turned.len());
            let kinds = list.and_then(|list| list.iter().map(kind).collect());
            let rule = || {
                let layers = turned.len();
                format!("{layers} of \"full_attention\" and \"chunked_attention\"")
            };
            kinds.ok_or_else(|| keys.wrong(TYPES, &rule(), &types))?
        }
    };
    if size.is_none() && chunked.contains(&true) {
        return Err(keys.wrong(SIZE, "a number of tokens", "null"));
    }
    Ok(chunked
        .iter()
        .map(|chunked| size.filter(|_| *chunked))
        .collect())
}

fn with_experts(keys: &mut Keys, mut architecture: Architecture) -> Result<Architecture> {
    let layers = architecture.geometry.layers;
    let hidden = architecture.hidden;
    let meaning = "hidden width in layers without experts";
    architecture.hidden = keys.count_or("intermediate_size_mlp", 16_384, meaning)?;
    let names = ["num_local_experts", "num_experts"];
    let count = keys.either_or(names, 16, "experts of a layer")?;
    let chosen = keys.count_or("num_experts_per_tok", 1, "experts that a token goes to")?;
    let meaning = "every so-manieth layer has experts";
    let step = keys.count_or("interleave_moe_layer_step", 1, meaning)?;
    let listed = numbers(keys, "moe_layers", "layers with experts")?;
    let of = |layer: usize| match &listed {
        Some(list) => list.contains(&layer),
        None => (layer + 1).is_multiple_of(step),
    };
    keys.idle(&["router_jitter_noise"], "noise of training");
    architecture.experts = Some(Experts {
        layers: (0..layers).map(of).collect(),
        count,
        chosen,
        hidden,
        routing: Routing {
            scores: Scores::Sigmoid,
            on_input: true,
            ..Routing::softmax(false)
        },
        router_bias: false,
        shared: Some(hidden),
        shared_gate: false,
    });
    checked(keys, &architecture)?;
    Ok(architecture)
}
