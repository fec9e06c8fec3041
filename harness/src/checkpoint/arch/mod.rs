//! The published families, one file each: which keys they have, and how they name their tensors.

mod baichuan;
mod bloom;
mod cohere;
mod dual_chunk;
mod exaone4;
mod falcon;
pub(super) mod farspan;
mod gemma;
mod gemma2;
mod gemma3;
mod glm;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod gptj;
mod granite;
mod helium;
mod internlm2;
mod llama;
mod minicpm;
mod mpt;
mod nemotron;
mod olmo;
mod opt;
mod phi;
mod phi3;
mod seed_oss;
mod smollm3;
mod stablelm;
mod starcoder2;
mod unread;
mod xverse;

use super::keys::Keys;
use super::layout::Names;
use super::rope::Rotary;
use crate::Result;
use crate::model::{Architecture, Biases};
use crate::scheme::Positional;
use serde_json::{Map, Value, json};
pub(super) use unread::UNREAD;

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
        name: farspan::FAMILY,
        read: farspan::read,
        names: farspan::names,
        scalings: &[],
    },
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
        name: "gemma",
        read: gemma::read,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "gemma3_text",
        read: gemma3::read,
        names: gemma2::names,
        scalings: ALL,
    },
    Family {
        name: "olmo",
        read: olmo::olmo,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "olmo2",
        read: olmo::olmo2,
        names: olmo::names,
        scalings: ALL,
    },
    Family {
        name: "olmo3",
        read: olmo::olmo3,
        names: olmo::names,
        scalings: ALL,
    },
    Family {
        name: "smollm3",
        read: smollm3::read,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "phi",
        read: phi::read,
        names: phi::names,
        scalings: ALL,
    },
    Family {
        name: "stablelm",
        read: stablelm::read,
        names: stablelm::names,
        scalings: ALL,
    },
    Family {
        name: "cohere",
        read: cohere::cohere,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "cohere2",
        read: cohere::cohere2,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "granite",
        read: granite::read,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "starcoder2",
        read: starcoder2::read,
        names: starcoder2::names,
        scalings: ALL,
    },
    Family {
        name: "nemotron",
        read: nemotron::nemotron,
        names: nemotron::names,
        scalings: ALL,
    },
    Family {
        name: "arcee",
        read: nemotron::arcee,
        names: nemotron::names,
        scalings: ALL,
    },
    Family {
        name: "glm",
        read: glm::glm,
        names: glm::names,
        scalings: ALL,
    },
    Family {
        name: "glm4",
        read: glm::glm4,
        names: glm::names,
        scalings: ALL,
    },
    Family {
        name: "exaone4",
        read: exaone4::read,
        names: exaone4::names,
        scalings: ALL,
    },
    Family {
        name: "seed_oss",
        read: seed_oss::read,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "helium",
        read: helium::read,
        names: llama::names,
        scalings: ALL,
    },
    Family {
        name: "minicpm",
        read: minicpm::read,
        names: llama::names,
        scalings: &["default", "linear", "dynamic"],
    },
    Family {
        name: "internlm2",
        read: internlm2::read,
        names: internlm2::names,
        scalings: &["default", "linear", "dynamic"],
    },
    Family {
        name: "gptj",
        read: gptj::gptj,
        names: gptj::gptj_names,
        scalings: &[],
    },
    Family {
        name: "codegen",
        read: gptj::codegen,
        names: gptj::codegen_names,
        scalings: &[],
    },
    Family {
        name: "opt",
        read: opt::read,
        names: opt::names,
        scalings: &[],
    },
    Family {
        name: "gpt_neo",
        read: gpt_neo::read,
        names: gpt_neo::names,
        scalings: &[],
    },
    Family {
        name: "baichuan",
        read: baichuan::read,
        names: baichuan::names,
        scalings: &[],
    },
    Family {
        name: "xverse",
        read: xverse::read,
        names: llama::names,
        scalings: &[],
    },
];

/// Biases everywhere: the habit before Llama.
const ALL_BIASES: Biases = Biases {
    qkv: true,
    out: true,
    mlp: true,
    norm: true,
    head: false,
};

/// Every so many layers there is one without a window, where `layer_types` do not say it.
fn pattern(keys: &mut Keys, default: usize) -> Result<usize> {
    const KEY: &str = "sliding_window_pattern";
    if keys.has("layer_types") {
        keys.idle(&[KEY], "not read beside layer_types");
        return Ok(default);
    }
    keys.count_or(KEY, default, "one layer in so many has no window")
}

/// Refuses heads that are not the whole width together, where the reference has no other.
fn whole_width(keys: &Keys, architecture: &Architecture) -> Result<()> {
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
fn whole_heads(keys: &Keys, rotary: &Rotary) -> Result<()> {
    match rotary.positional.settings.get("partial") {
        Some(share) if *share != json!(1.0) => {
            let rule = "1, as this family turns whole heads";
            Err(keys.contradicts("partial_rotary_factor", rule, share))
        }
        _ => Ok(()),
    }
}

/// No positions at all.
fn nope() -> Option<Positional> {
    Some(Positional::new("nope", Map::new()))
}

/// A table of learned positions.
fn learned(rows: usize) -> Positional {
    let mut settings = Map::new();
    settings.insert("rows".into(), json!(rows));
    Positional::new("learned", settings)
}

/// The base of a rotary scheme.
fn base(positional: &Positional) -> Option<f64> {
    positional.settings.get("base").and_then(Value::as_f64)
}

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
    let sliding = sliding(keys, layers, slides)?;
    Ok(sliding
        .into_iter()
        .map(|yes| window.filter(|_| yes))
        .collect())
}

/// Whether each layer is one of those with a window.
fn sliding(keys: &mut Keys, layers: usize, slides: impl Fn(usize) -> bool) -> Result<Vec<bool>> {
    const KEY: &str = "layer_types";
    let Some(types) = keys.take(KEY, "which layers see a window only") else {
        return Ok((0..layers).map(slides).collect());
    };
    let kind = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let list = types.as_array().filter(|list| list.len() == layers);
    let kinds = list.and_then(|list| list.iter().map(kind).collect::<Option<Vec<_>>>());
    kinds.ok_or_else(|| {
        let rule = format!("{layers} of \"full_attention\" and \"sliding_attention\"");
        keys.wrong(KEY, &rule, &types)
    })
}
