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
mod gpt;
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
mod shared;
mod smollm3;
mod stablelm;
mod starcoder2;
mod unread;
mod xverse;

use super::keys::Keys;
use super::layout::Names;
use crate::Result;
use crate::model::Architecture;
pub(super) use shared::checked;
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
