//! Falcon: RoPE, or ALiBi added before the division by √head_dim; one, few or all key/value heads.

use super::shared::*;

pub(super) fn names(architecture: &Architecture) -> Names {
    let two_norms = architecture.residual == Residual::Parallel;
    // A single key/value head behind all query heads is in our order already.
    let qkv = match architecture.geometry.kv_heads {
        1 => Qkv::Fused("self_attention.query_key_value"),
        _ => Qkv::Grouped("self_attention.query_key_value"),
    };
    Names {
        prefix: "transformer.",
        embed: "word_embeddings",
        layers: "h",
        attention_norm: if two_norms {
            "ln_attn"
        } else {
            "input_layernorm"
        },
        mlp_norm: if two_norms {
            "ln_mlp"
        } else {
            "post_attention_layernorm"
        },
        qkv,
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
        4544,
        "width of the residual stream",
    )?;
    let layers = keys.either_or(&["num_hidden_layers", "n_layer"], 32, "layers")?;
    let heads = keys.either_or(&["num_attention_heads", "n_head"], 71, "query heads")?;
    let vocab = keys.count_or("vocab_size", 65_024, "vocabulary")?;
    let hidden = keys.nullable("ffn_hidden_size", Some(4 * width), "width after attention")?;
    let hidden = hidden.unwrap_or(4 * width);
    let positions = keys.count_or("max_position_embeddings", 2048, "longest text")?;
    let new = keys.loose_switch("new_decoder_architecture", false, "layers of the 40B model")?;
    let single = keys.loose_switch("multi_query", true, "one key/value head")?;
    let given = keys.either(&["num_kv_heads", "n_head_kv"], "key/value heads")?;
    let kv_heads = match (new, single, given) {
        (true, _, given) => given.unwrap_or(heads),
        // The published model of this kind says 71.
        (false, true, _) => 1,
        (false, false, Some(given)) if given != heads => {
            let rule =
                format!("{heads}, as there is neither multi_query nor the 40B model's layers");
            return Err(keys.contradicts("num_kv_heads", &rule, given));
        }
        (false, false, _) => heads,
    };
    let rotary = rope::read(keys, USUAL, positions)?;
    whole_heads(keys, &rotary)?;
    let sizes = geometry(
        keys,
        (layers, width),
        (heads, kv_heads),
        None,
        rotary.trained_length,
    )?;
    let mut architecture = Architecture::llama_like("falcon", sizes, hidden, vocab);
    architecture.rotates(rotary);
    if keys.loose_switch("alibi", false, "ALiBi instead of RoPE")? {
        architecture.other_length = None;
        architecture.positional = alibi(8.0, "before-scale");
        architecture.rounded_bias = true;
    }
    architecture.before_llama(keys, "layer_norm_epsilon", true)?;
    architecture.activation = Activation::named(keys, "activation", "gelu")?;
    let bias = keys.loose_switch("bias", false, "biases of projections")?;
    architecture.bias = Biases {
        qkv: bias,
        out: bias,
        mlp: bias,
        ..ALL_BIASES
    };
    architecture.residual = residual(keys, new)?;
    keys.idle(
        &["apply_residual_connection_post_layernorm"],
        "not read by the reference",
    );
    Ok(architecture)
}

fn residual(keys: &mut Keys, new: bool) -> Result<Residual> {
    let parallel = keys.loose_switch(
        "parallel_attn",
        true,
        "both sublayers of a layer read the same input",
    )?;
    let norms = keys.nullable("num_ln_in_parallel_attn", None, "norms of a layer")?;
    match (parallel, new, norms) {
        (true, true, None | Some(2)) => Ok(Residual::Parallel),
        (true, true, Some(1)) | (true, false, None | Some(1)) => Ok(Residual::ParallelShared),
        (false, false, _) => Ok(Residual::Sequential),
        (false, true, _) => Err(keys.wrong(
            "parallel_attn",
            "true with new_decoder_architecture, as in the reference",
            "false",
        )),
        (true, _, Some(n)) => Err(keys.wrong(
            "num_ln_in_parallel_attn",
            "1 or 2, 2 only with new_decoder_architecture",
            n,
        )),
    }
}
