//! The published families, one file each: which keys they have, and how they name their tensors.

mod bloom;
mod deepseek;
mod falcon;
mod gemma2;
mod gpt2;
mod gpt_neox;
mod gpt_oss;
mod llama;
mod mixtral;
mod mpt;
mod phi3;
mod qwen_moe;

use super::keys::Keys;
use super::layout::Names;
use crate::Result;
use crate::model::{Architecture, Biases};
use crate::scheme::Positional;
use serde_json::{Map, Value, json};

/// A family of decoders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// `model_type`.
    pub(super) name: &'static str,
    /// From keys to architecture.
    pub(super) read: fn(&mut Keys) -> Result<Architecture>,
    /// Names of its tensors.
    pub(super) names: fn(&Architecture) -> Names,
    /// Kinds of rotary scaling (`rope_type`) that the reference library loads for it.
    pub(super) scalings: &'static [&'static str],
}

/// Every kind that the reference library has for decoders of text.
const ALL: &[&str] = &["default", "linear", "dynamic", "yarn", "longrope", "llama3"];

/// All families.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "llama",
        read: llama::llama,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "mistral",
        read: llama::mistral,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "qwen2",
        read: llama::qwen2,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "qwen3",
        read: llama::qwen3,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "phi3",
        read: phi3::read,
        names: phi3::names,
        scalings: &["default", "longrope"],
    },
    Family {
        name: "gemma2",
        read: gemma2::read,
        names: gemma2::names,
        scalings: ALL,
    },
    Family {
        name: "gpt_neox",
        read: gpt_neox::read,
        names: gpt_neox::names,
        scalings: ALL,
    },
    Family {
        name: "gpt2",
        read: gpt2::read,
        names: gpt2::names,
        scalings: &[],
    },
    Family {
        name: "bloom",
        read: bloom::read,
        names: bloom::names,
        scalings: &[],
    },
    Family {
        name: "mpt",
        read: mpt::read,
        names: mpt::names,
        scalings: &[],
    },
    Family {
        name: "falcon",
        read: falcon::read,
        names: falcon::names,
        scalings: ALL,
    },
    Family {
        name: "mixtral",
        read: mixtral::read,
        names: mixtral::names,
        scalings: ALL,
    },
    Family {
        name: "qwen2_moe",
        read: qwen_moe::qwen2,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "qwen3_moe",
        read: qwen_moe::qwen3,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "gpt_oss",
        read: gpt_oss::read,
        names: gpt_oss::names,
        scalings: ALL,
    },
    Family {
        name: "deepseek_v2",
        read: deepseek::v2,
        names: deepseek::names,
        scalings: ALL,
    },
    Family {
        name: "deepseek_v3",
        read: deepseek::v3,
        names: deepseek::names,
        scalings: ALL,
    },
];

/// Biases everywhere: the habit before Llama.
const ALL_BIASES: Biases = Biases {
    qkv: true,
    out: true,
    mlp: true,
    norm: true,
};

/// ALiBi in one of its forms.
fn alibi(bias_max: f64, placement: &str) -> Positional {
    let mut settings: Map<String, Value> = Map::new();
    settings.insert("bias_max".into(), json!(bias_max));
    settings.insert("placement".into(), json!(placement));
    Positional::new("alibi", settings)
}

/// The window of each layer: `layer_types` where they are given, otherwise as `slides` says.
fn windows(
    keys: &mut Keys,
    layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    const KEY: &str = "layer_types";
    let Some(types) = keys.take(KEY, "which layers see a window only") else {
        let of = |layer| window.filter(|_| slides(layer));
        return Ok((0..layers).map(of).collect());
    };
    let kind = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(None),
        Some("sliding_attention") => Some(window),
        _ => None,
    };
    let list = types.as_array().filter(|list| list.len() == layers);
    let kinds = list.and_then(|list| list.iter().map(kind).collect::<Option<Vec<_>>>());
    kinds.ok_or_else(|| {
        let rule = format!("{layers} of \"full_attention\" and \"sliding_attention\"");
        keys.wrong(KEY, &rule, &types)
    })
}
