//! The decoder of text in Llama 4 (iRoPE): chunks of the text in layers that turn queries and keys, which are normalised
//! behind the turn; no turn and a temperature that follows the position in the others; experts in some layers, with a
//! block beside them that all tokens see.

use super::shared::*;

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
        rope: USUAL.with_base(500_000.0).neighbours(),
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
    architecture.attention_bias(keys, false)?;
    with_experts(keys, architecture)
}

/// Which layers turn queries and keys.
fn turned(keys: &mut Keys, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "no_rope_layers";
    let meaning = "one layer in so many turns nothing";
    let every = keys.count_or("no_rope_layer_interval", 4, meaning)?;
    let list = keys.counts(KEY, "1 for each layer that turns, 0 for others")?;
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
    const SIZE: &str = "attention_chunk_size";
    let meaning = "tokens of a chunk, in layers that see their own only";
    let size = keys.nullable(SIZE, Some(8192), meaning)?;
    let meaning = "which layers see their own chunk only";
    let chunked = layer_types(keys, turned.len(), "chunked_attention", meaning)?;
    let chunked = chunked.unwrap_or_else(|| turned.to_vec());
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
    let meaning = "every so-manieth layer has experts";
    let step = keys.count_or("interleave_moe_layer_step", 1, meaning)?;
    let listed = keys.counts("moe_layers", "layers with experts")?;
    let of = |layer: usize| match &listed {
        Some(list) => list.contains(&layer),
        None => (layer + 1).is_multiple_of(step),
    };
    keys.idle(&["router_jitter_noise"], "noise of training");
    let routing = Routing {
        scores: Scores::Sigmoid,
        on_input: true,
        ..Routing::softmax(false)
    };
    let names = ["num_local_experts", "num_experts"];
    let layers = ((0..layers).map(of).collect(), hidden);
    architecture.experts = Some(Experts {
        shared: Some(hidden),
        ..experts(keys, layers, &names, [16, 1], routing)?
    });
    Ok(architecture)
}
