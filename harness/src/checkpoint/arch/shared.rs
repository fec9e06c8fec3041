//! What the files of the families are written with: what they name, and how they read what several of them have.

pub(super) use super::super::config::geometry;
pub(super) use super::super::experts::ExpertNames;
pub(super) use super::super::keys::Keys;
pub(super) use super::super::layout::{Names, Qkv};
pub(super) use super::super::rope::{self, Rotary, USUAL};
pub(super) use super::super::rope_layers::{self, Sliding};
pub(super) use super::llama::{Defaults, LLAMA, QWEN, common};
pub(super) use crate::Result;
pub(super) use crate::model::{
    Activation, Architecture, Biases, Clamped, Experts, Groups, Latent, Norm, QueryKeyNorm,
    Residual, Routing, Scores,
};
pub(super) use crate::scheme::Positional;
pub(super) use serde_json::{Map, Value, json};

/// Meaning of a switch.
pub(super) const SLIDES: &str = "whether any layer has a window";
/// Meaning of biases of some of attention's projections.
pub(super) const QKV: &str = "biases of queries, keys and values";

/// Biases everywhere: the habit before Llama.
pub(super) const ALL_BIASES: Biases = Biases {
    qkv: true,
    out: true,
    mlp: true,
    norm: true,
    head: false,
};

/// Every so many layers there is one without a window, where `layer_types` do not say it.
pub(super) fn pattern(keys: &mut Keys, default: usize) -> Result<usize> {
    const KEY: &str = "sliding_window_pattern";
    if keys.has("layer_types") {
        keys.idle(&[KEY], "not read beside layer_types");
        return Ok(default);
    }
    keys.count_or(KEY, default, "one layer in so many has no window")
}

/// Refuses heads that are not the whole width together, where the reference has no other.
pub(super) fn whole_width(keys: &Keys, architecture: &Architecture) -> Result<()> {
    let g = &architecture.geometry;
    match g.heads * g.head_dim == g.width {
        true => Ok(()),
        false => {
            let rule = format!("{}, the width divided by the heads", g.width / g.heads);
            Err(keys.contradicts("head_dim", &rule, g.head_dim))
        }
    }
}

/// Refuses a share of rotated channels in a family whose reference turns whole heads whatever the key says.
pub(super) fn whole_heads(keys: &Keys, rotary: &Rotary) -> Result<()> {
    match rotary.positional.settings.get("partial") {
        Some(share) if *share != json!(1.0) => {
            let rule = "1, as this family turns whole heads";
            Err(keys.contradicts("partial_rotary_factor", rule, share))
        }
        _ => Ok(()),
    }
}

/// No positions at all.
pub(super) fn nope() -> Option<Positional> {
    Some(Positional::new("nope", Map::new()))
}

/// A table of learned positions.
pub(super) fn learned(rows: usize) -> Positional {
    let mut settings = Map::new();
    settings.insert("rows".into(), json!(rows));
    Positional::new("learned", settings)
}

/// The base of a rotary scheme.
pub(super) fn base(positional: &Positional) -> Option<f64> {
    positional.settings.get("base").and_then(Value::as_f64)
}

/// ALiBi in one of its forms.
pub(super) fn alibi(bias_max: f64, placement: &str) -> Positional {
    let mut settings: Map<String, Value> = Map::new();
    settings.insert("bias_max".into(), json!(bias_max));
    settings.insert("placement".into(), json!(placement));
    Positional::new("alibi", settings)
}

/// The window of each layer: `layer_types` where they are given, otherwise as `slides` says.
pub(super) fn windows(
    keys: &mut Keys,
    layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    let sliding = sliding(keys, layers, slides)?;
    Ok(sliding
        .into_iter()
        .map(|yes| window.filter(|_| yes))
        .collect())
}

/// Whether each layer is one of those with a window.
pub(super) fn sliding(
    keys: &mut Keys,
    layers: usize,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let meaning = "which layers see a window only";
    let typed = layer_types(keys, layers, "sliding_attention", meaning)?;
    Ok(typed.unwrap_or_else(|| (0..layers).map(slides).collect()))
}

/// Whether `layer_types`, if they are there, call each layer `kind`; the others see all tokens.
pub(super) fn layer_types(
    keys: &mut Keys,
    layers: usize,
    kind: &str,
    meaning: &str,
) -> Result<Option<Vec<bool>>> {
    const KEY: &str = "layer_types";
    let Some(types) = keys.take(KEY, meaning) else {
        return Ok(None);
    };
    let of = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(false),
        Some(found) if found == kind => Some(true),
        _ => None,
    };
    let list = types.as_array().filter(|list| list.len() == layers);
    let kinds = list.and_then(|list| list.iter().map(of).collect());
    let rule = || format!("{layers} of \"full_attention\" and \"{kind}\"");
    kinds
        .ok_or_else(|| keys.wrong(KEY, &rule(), &types))
        .map(Some)
}

/// Tokens that a token sees in layers with a window.
pub(super) fn window(keys: &mut Keys, default: Option<usize>) -> Result<Option<usize>> {
    keys.nullable("sliding_window", default, "tokens that a token sees there")
}

/// A scheme without positions in layers that turn nothing.
pub(super) fn still(turned: &[bool]) -> Vec<Option<Positional>> {
    let of = |turns: &bool| match turns {
        true => None,
        false => nope(),
    };
    turned.iter().map(of).collect()
}

/// Experts in `layers`, of a hidden width that is known, with nothing beside them.
pub(super) fn experts(
    keys: &mut Keys,
    (layers, hidden): (Vec<bool>, usize),
    names: &[&'static str],
    [count, chosen]: [usize; 2],
    routing: Routing,
) -> Result<Experts> {
    let meaning = "experts that a token goes to";
    Ok(Experts {
        layers,
        count: keys.either_or(names, count, "experts of a layer")?,
        chosen: keys.count_or("num_experts_per_tok", chosen, meaning)?,
        hidden,
        routing,
        router_bias: false,
        shared: None,
        shared_gate: false,
    })
}

/// Experts of a layer, and of a model, beyond which a config is taken for a mistake.
const MOST_EXPERTS: [usize; 2] = [4096, 1 << 18];

/// Refuses more experts than anybody has, and fewer than a token goes to.
pub(in super::super) fn checked(keys: &Keys, architecture: &Architecture) -> Result<()> {
    let Some(experts) = &architecture.experts else {
        return Ok(());
    };
    let Experts { count, chosen, .. } = *experts;
    let most = MOST_EXPERTS[0].min(MOST_EXPERTS[1] / architecture.geometry.layers);
    if count > most {
        return Err(keys.wrong("num_experts", &format!("at most {most}"), count));
    }
    if chosen > count {
        let rule = format!("at most the {count} experts of a layer");
        return Err(keys.wrong("num_experts_per_tok", &rule, chosen));
    }
    Ok(())
}

impl Architecture {
    /// LayerNorms with biases, and a block without a gate.
    pub(super) fn before_llama(
        &mut self,
        keys: &mut Keys,
        eps_key: &'static str,
        tied: bool,
    ) -> Result<()> {
        self.norm = Norm::Layer;
        self.norm_eps = keys.positive_or(eps_key, 1e-5, "added in norms")?;
        self.gated = false;
        self.bias = ALL_BIASES;
        self.tied = keys.switch("tie_word_embeddings", tied, "head is the embedding")?;
        Ok(())
    }

    /// Whether all projections of attention have biases.
    pub(super) fn attention_bias(&mut self, keys: &mut Keys, default: bool) -> Result<()> {
        let bias = keys.switch("attention_bias", default, "biases in attention")?;
        (self.bias.qkv, self.bias.out) = (bias, bias);
        Ok(())
    }
}
