//! Nemotron: LayerNorms whose weights are stored less 1, squared ReLU without a gate, partial rotation. Arcee: Llama with
//! the same block after attention.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        up: &["mlp.up_proj"],
        ..Names::LLAMA
    }
}

pub(super) fn nemotron(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        vocab: 256_000,
        width: 6144,
        hidden: 24_576,
        heads: 48,
        positions: 4096,
        rope: USUAL.in_part(0.5),
        in_part: true,
        norm_eps: 1e-5,
        eps_key: Some("norm_eps"),
        activation: ("hidden_act", "relu2"),
        ..LLAMA
    };
    let mut architecture = common(keys, "nemotron", defaults)?;
    architecture.norm = Norm::LayerOffset;
    architecture.bias.norm = true;
    ungated(keys, &mut architecture)?;
    Ok(architecture)
}

pub(super) fn arcee(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        width: 2560,
        hidden: 18_432,
        positions: 4096,
        norm_eps: 1e-5,
        activation: ("hidden_act", "relu2"),
        ..LLAMA
    };
    let mut architecture = common(keys, "arcee", defaults)?;
    ungated(keys, &mut architecture)?;
    Ok(architecture)
}

fn ungated(keys: &mut Keys, architecture: &mut Architecture) -> Result<()> {
    architecture.gated = false;
    architecture.attention_bias(keys, false)?;
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    Ok(())
}
