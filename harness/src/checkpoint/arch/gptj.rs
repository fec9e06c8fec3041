//! GPT-J and CodeGen: both sublayers of a layer read one norm, the first channels of a head turn in pairs of neighbours, logits
//! have a bias. CodeGen keeps queries, keys and values in the four parts that its training was spread over.

use super::gpt::{GPT2, Gpt, gpt};
use super::shared::*;

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
    let defaults = Gpt {
        width: (GPT2.width.0, 4096),
        layers: (GPT2.layers.0, 28),
        heads: (GPT2.heads.0, 16),
        vocab: 50_400,
        positions: (GPT2.positions.0, 2048),
        tied: false,
        ..GPT2
    };
    let mut architecture = gpt(keys, family, defaults)?;
    let sizes = architecture.geometry;
    let turned = keys.count_or("rotary_dim", 64, "channels of a head that turn")?;
    if turned > sizes.head_dim || !turned.is_multiple_of(2) {
        let rule = format!(
            "even and at most {}, the channels of a head",
            sizes.head_dim
        );
        return Err(keys.wrong("rotary_dim", &rule, turned));
    }
    let mut settings = Map::new();
    settings.insert("base".into(), json!(10_000.0));
    let partial = turned as f64 / sizes.head_dim as f64;
    settings.insert("partial".into(), json!(partial));
    settings.insert("pairing".into(), json!(rope::NEIGHBOURS));
    architecture.positional = Positional::new("rope", settings);
    architecture.residual = Residual::ParallelShared;
    architecture.bias = Biases {
        mlp: true,
        norm: true,
        head: true,
        ..Biases::default()
    };
    Ok(architecture)
}
