//! InternLM 2 (remote code): Llama with queries, keys and values in one matrix, in groups of a key/value head.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        embed: "tok_embeddings",
        attention_norm: "attention_norm",
        mlp_norm: "ffn_norm",
        qkv: Qkv::Grouped("attention.wqkv"),
        out: "attention.wo",
        up: &["feed_forward.w1", "feed_forward.w3"],
        down: "feed_forward.w2",
        head: "output",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        vocab: 103_168,
        ..LLAMA
    };
    let mut architecture = common(keys, "internlm2", defaults)?;
    whole_width(keys, &architecture)?;
    let bias = keys.switch("bias", true, "biases in attention")?;
    (architecture.bias.qkv, architecture.bias.out) = (bias, bias);
    Ok(architecture)
}
