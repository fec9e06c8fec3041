//! GPT-J and CodeGen: both halves of a layer read one norm, the first channels of a head turn in pairs of neighbours, logits
//! have a bias. CodeGen keeps queries, keys and values in the four parts that its training was spread over.

use super::super::config::geometry;
use super::super::keys::Keys;
use super::super::layout::{Names, Qkv};
use super::super::rope::NEIGHBOURS;
use crate::Result;
use crate::model::{Activation, Architecture, Biases, Norm, Residual};
use crate::scheme::Positional;
use serde_json::{Map, json};

/// Parts of CodeGen's projection.
const PARTS: usize = 4;

pub(super) fn gptj_names(_: &Architecture) -> Names {
    Names {
        prefix: "transformer.",
        embed: "wte",
        layers: "h",
        attention_norm: "ln_1",
        qkv: Qkv::Separate(["attn.q_proj", "attn.k_proj", "attn.v_proj"]),
        out: "attn.out_proj",
        up: &["mlp.fc_in"],
        down: "mlp.fc_out",
        norm: "ln_f",
        buffers: &[
            "attn.bias",
            "attn.masked_bias",
            "attn.causal_mask",
            "attn.embed_positions",
        ],
        ..Names::LLAMA
    }
}

pub(super) fn codegen_names(architecture: &Architecture) -> Names {
    Names {
        qkv: Qkv::Shared("attn.qkv_proj", PARTS),
        ..gptj_names(architecture)
    }
}

pub(super) fn gptj(keys: &mut Keys) -> Result<Architecture> {
    read(keys, "gptj")
}

pub(super) fn codegen(keys: &mut Keys) -> Result<Architecture> {
    let architecture = read(keys, "codegen")?;
    let heads = architecture.geometry.heads;
    match heads.is_multiple_of(PARTS) {
        true => Ok(architecture),
        false => Err(keys.wrong("n_head", "a multiple of 4", heads)),
    }
}

fn read(keys: &mut Keys, family: &str) -> Result<Architecture> {
    let width = keys.either_or(
        ["n_embd", "hidden_size"],
        4096,
        "width of the residual stream",
    )?;
    let layers = keys.either_or(["n_layer", "num_hidden_layers"], 28, "layers")?;
    let heads = keys.either_or(["n_head", "num_attention_heads"], 16, "heads")?;
    let hidden = keys.nullable("n_inner", Some(4 * width), "hidden width after attention")?;
    let hidden = hidden.unwrap_or(4 * width);
    let vocab = keys.count_or("vocab_size", 50_400, "vocabulary")?;
    let trained = keys.either_or(
        ["n_positions", "max_position_embeddings"],
        2048,
        "longest text that the model is for",
    )?;
    let turned = keys.count_or("rotary_dim", 64, "channels of a head that turn")?;
    let sizes = geometry(keys, (layers, width), (heads, heads), None, trained)?;
    if turned > sizes.head_dim || !turned.is_multiple_of(2) {
        let rule = format!(
            "even and at most {}, the channels of a head",
            sizes.head_dim
        );
        return Err(keys.wrong("rotary_dim", &rule, turned));
    }
    let mut architecture = Architecture::llama_like(family, sizes, hidden, vocab);
    let mut settings = Map::new();
    settings.insert("base".into(), json!(10_000.0));
    let partial = turned as f64 / sizes.head_dim as f64;
    settings.insert("partial".into(), json!(partial));
    settings.insert("pairing".into(), json!(NEIGHBOURS));
    architecture.positional = Positional::new("rope", settings);
    architecture.norm = Norm::Layer;
    architecture.norm_eps = keys.positive_or("layer_norm_epsilon", 1e-5, "added in norms")?;
    architecture.activation = Activation::named(keys, "activation_function", "gelu_new")?;
    architecture.gated = false;
    architecture.residual = Residual::ParallelShared;
    architecture.bias = Biases {
        mlp: true,
        norm: true,
        head: true,
        ..Biases::default()
    };
    architecture.tied = keys.switch("tie_word_embeddings", false, "head is the embedding")?;
    keys.idle(
        &[
            "summary_type",
            "summary_use_proj",
            "summary_activation",
            "summary_proj_to_labels",
            "summary_first_dropout",
        ],
        "no effect on the computation",
    );
    Ok(architecture)
}
