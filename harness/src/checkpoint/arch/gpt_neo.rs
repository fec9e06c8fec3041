//! GPT-Neo: learned positions, scores that are not divided by √head_dim, windows in every other layer.

use super::gpt::{GPT2, Gpt, gpt};
use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        prefix: "transformer.",
        embed: "wte",
        positions: Some("wpe"),
        layers: "h",
        attention_norm: "ln_1",
        mlp_norm: "ln_2",
        qkv: Qkv::Separate([
            "attn.attention.q_proj",
            "attn.attention.k_proj",
            "attn.attention.v_proj",
        ]),
        out: "attn.attention.out_proj",
        up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        norm: "ln_f",
        buffers: &["attn.attention.bias", "attn.attention.masked_bias"],
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Gpt {
        width: (&["hidden_size"], 2048),
        layers: (&["num_layers", "num_hidden_layers"], 24),
        heads: (&["num_heads", "num_attention_heads"], 16),
        hidden: "intermediate_size",
        positions: (&["max_position_embeddings"], 2048),
        ..GPT2
    };
    let mut architecture = gpt(keys, "gpt_neo", defaults)?;
    let sizes = architecture.geometry;
    architecture.bias.qkv = false;
    architecture.score_scale = (sizes.head_dim as f64).sqrt();
    let window = keys.count_or(
        "window_size",
        256,
        "tokens that a token sees in local layers",
    )?;
    let local = local(keys, sizes.layers)?;
    architecture.windows = local.iter().map(|yes| yes.then_some(window)).collect();
    Ok(architecture)
}

/// Whether each layer sees a window only. `attention_types` has lists of kinds and how often each list is repeated;
/// `attention_layers` is the same, written out.
fn local(keys: &mut Keys, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "attention_types";
    const WRITTEN_OUT: &str = "attention_layers";
    let types = keys.take(KEY, "which layers see a window only");
    let types = types.unwrap_or_else(|| json!([[["global", "local"], 12]]));
    let kind = |kind: &Value| match kind.as_str() {
        Some("global") => Some(false),
        Some("local") => Some(true),
        _ => None,
    };
    let kinds = |list: &Value| {
        let list = list.as_array()?.iter().map(kind);
        list.collect::<Option<Vec<bool>>>()
    };
    let repeated = |item: &Value| {
        let [list, times] = item.as_array()?.as_slice() else {
            return None;
        };
        let (list, times) = (kinds(list)?, times.as_u64()? as usize);
        // More would be a mistake, and take memory.
        (times <= layers).then(|| list.repeat(times))
    };
    let items = types.as_array().map(Vec::as_slice).unwrap_or_default();
    let expanded: Option<Vec<Vec<bool>>> = items.iter().map(repeated).collect();
    let found = expanded.map(|lists| lists.concat());
    let found = found.filter(|found| found.len() == layers).ok_or_else(|| {
        let rule = format!(
            "lists of \"global\" and \"local\" and their repetitions, {layers} layers in all"
        );
        keys.wrong(KEY, &rule, &types)
    })?;
    match keys.take(WRITTEN_OUT, "the same, written out") {
        Some(written) if kinds(&written).as_ref() != Some(&found) => {
            Err(keys.contradicts(WRITTEN_OUT, "what attention_types say", written))
        }
        _ => Ok(found),
    }
}
