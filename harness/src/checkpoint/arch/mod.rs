//! The published families, one file each: which keys they have, and how they name their tensors.

mod baichuan;
mod bloom;
mod cohere;
mod deepseek;
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
mod gpt_oss;
mod gptj;
mod granite;
mod helium;
mod internlm2;
mod llama;
mod llama4;
mod minicpm;
mod mixtral;
mod mpt;
mod nemotron;
mod olmo;
mod olmoe;
mod opt;
mod phi;
mod phi3;
mod qwen_moe;
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

/// A line of the list of families.
const fn family(
    name: &'static str,
    read: fn(&mut Keys) -> Result<Architecture>,
    names: fn(&Architecture) -> Names,
    scalings: &'static [&'static str],
) -> Family {
    Family {
        name,
        read,
        names,
        scalings,
    }
}

/// All families.
pub(super) const FAMILIES: &[Family] = &[
    family(farspan::FAMILY, farspan::read, farspan::names, &[]),
    family("llama", llama::llama, llama::names, ALL),
    family("mistral", llama::mistral, llama::names, ALL),
    family("qwen2", llama::qwen2, llama::names, ALL),
    family("qwen3", llama::qwen3, llama::names, ALL),
    family("phi3", phi3::read, phi3::names, &["default", "longrope"]),
    family("gemma2", gemma2::read, gemma2::names, ALL),
    family("gpt_neox", gpt_neox::read, gpt_neox::names, ALL),
    family("gpt2", gpt2::read, gpt2::names, &[]),
    family("bloom", bloom::read, bloom::names, &[]),
    family("mpt", mpt::read, mpt::names, &[]),
    family("falcon", falcon::read, falcon::names, ALL),
    family("gemma", gemma::read, llama::names, ALL),
    family("gemma3_text", gemma3::read, gemma2::names, ALL),
    family("olmo", olmo::olmo, llama::names, ALL),
    family("olmo2", olmo::olmo2, olmo::names, ALL),
    family("olmo3", olmo::olmo3, olmo::names, ALL),
    family("smollm3", smollm3::read, llama::names, ALL),
    family("phi", phi::read, phi::names, ALL),
    family("stablelm", stablelm::read, stablelm::names, ALL),
    family("cohere", cohere::cohere, llama::names, ALL),
    family("cohere2", cohere::cohere2, llama::names, ALL),
    family("granite", granite::read, llama::names, ALL),
    family("starcoder2", starcoder2::read, starcoder2::names, ALL),
    family("nemotron", nemotron::nemotron, nemotron::names, ALL),
    family("arcee", nemotron::arcee, nemotron::names, ALL),
    family("glm", glm::glm, glm::names, ALL),
    family("glm4", glm::glm4, glm::names, ALL),
    family("exaone4", exaone4::read, exaone4::names, ALL),
    family("seed_oss", seed_oss::read, llama::names, ALL),
    family("helium", helium::read, llama::names, ALL),
    family(
        "minicpm",
        minicpm::read,
        llama::names,
        &["default", "linear", "dynamic"],
    ),
    family(
        "internlm2",
        internlm2::read,
        internlm2::names,
        &["default", "linear", "dynamic"],
    ),
    family("gptj", gptj::gptj, gptj::gptj_names, &[]),
    family("codegen", gptj::codegen, gptj::codegen_names, &[]),
    family("opt", opt::read, opt::names, &[]),
    family("gpt_neo", gpt_neo::read, gpt_neo::names, &[]),
    family("baichuan", baichuan::read, baichuan::names, &[]),
    family("xverse", xverse::read, llama::names, &[]),
    family("mixtral", mixtral::read, mixtral::names, ALL),
    family("qwen2_moe", qwen_moe::qwen2, llama::names, ALL),
    family("qwen3_moe", qwen_moe::qwen3, llama::names, ALL),
    family("olmoe", olmoe::read, llama::names, ALL),
    family("gpt_oss", gpt_oss::read, gpt_oss::names, ALL),
    family("deepseek_v2", deepseek::v2, deepseek::names, ALL),
    family("deepseek_v3", deepseek::v3, deepseek::names, ALL),
    family("llama4_text", llama4::read, llama4::names, ALL),
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
