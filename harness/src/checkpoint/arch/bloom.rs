//! BLOOM: ALiBi, a norm behind the embedding.

use super::shared::*;

/// Tokens that BLOOM was trained with, where no key says it.
const TRAINED_LENGTH: usize = 2048;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        prefix: "transformer.",
        embed: "word_embeddings",
        embed_norm: "word_embeddings_layernorm",
        layers: "h",
        qkv: Qkv::Grouped("self_attention.query_key_value"),
        out: "self_attention.dense",
        up: &["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        norm: "ln_f",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let width = keys.either_or(
        &["hidden_size", "n_embed"],
        64,
        "width of the residual stream",
    )?;
    let layers = keys.either_or(&["n_layer", "num_hidden_layers"], 2, "layers")?;
    let heads = keys.either_or(&["n_head", "num_attention_heads"], 8, "heads")?;
    let vocab = keys.count_or("vocab_size", 250_880, "vocabulary")?;
    let trained = keys.count("seq_length", "length of the training texts")?;
    if trained.is_none() {
        keys.warn(format!(
            "the trained length is not certain: {TRAINED_LENGTH} is taken, as published models of this family were trained, \
             for no key tells it; --trained-length (model.trained_length in a run) sets it"
        ));
    }
    let trained = trained.unwrap_or(TRAINED_LENGTH);
    let sizes = geometry(keys, (layers, width), (heads, heads), None, trained)?;
    let mut architecture = Architecture::llama_like("bloom", sizes, 4 * width, vocab);
    architecture.positional = alibi(8.0, "after-scale");
    architecture.before_llama(keys, "layer_norm_epsilon", true)?;
    architecture.activation = Activation::GeluTanh;
    architecture.embed_norm = true;
    let key = "apply_residual_connection_post_layernorm";
    if keys.switch(
        key,
        false,
        "the residual stream goes on from the norm's output",
    )? {
        architecture.residual = Residual::FromNorm;
    }
    let why = "no effect on the computation";
    keys.idle(
        &[
            "attention_softmax_in_fp32",
            "bias_dropout_fusion",
            "masked_softmax_fusion",
            "offset_alibi",
            "skip_bias_add",
            "skip_bias_add_qkv",
            "slow_but_exact",
        ],
        why,
    );
    Ok(architecture)
}
