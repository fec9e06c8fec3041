//! MPT: ALiBi with a range of its own, no biases at all.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        prefix: "transformer.",
        embed: "wte",
        layers: "blocks",
        attention_norm: "norm_1",
        mlp_norm: "norm_2",
        qkv: Qkv::Fused("attn.Wqkv"),
        out: "attn.out_proj",
        up: &["ffn.up_proj"],
        down: "ffn.down_proj",
        norm: "norm_f",
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let width = keys.either_or(
        &["d_model", "hidden_size"],
        2048,
        "width of the residual stream",
    )?;
    let layers = keys.either_or(&["n_layers", "num_hidden_layers"], 24, "layers")?;
    let heads = keys.either_or(&["n_heads", "num_attention_heads"], 16, "heads")?;
    let vocab = keys.count_or("vocab_size", 50_368, "vocabulary")?;
    let trained = keys.count_or("max_seq_len", 2048, "length of the training texts")?;
    keys.only(
        "expansion_ratio",
        &json!(4),
        "the reference always makes it 4",
    )?;
    let sizes = geometry(keys, (layers, width), (heads, heads), None, trained)?;
    let mut architecture = Architecture::llama_like("mpt", sizes, 4 * width, vocab);
    architecture.positional = alibi(8.0, "after-scale");
    architecture.before_llama(keys, "layer_norm_epsilon", true)?;
    architecture.bias = Biases::default();
    architecture.activation = Activation::Gelu;
    attention(keys, &mut architecture)?;
    keys.only("no_bias", &json!(true), "the reference has no biases")?;
    keys.only(
        "embedding_fraction",
        &json!(1.0),
        "gradients of the embedding",
    )?;
    keys.only("logit_scale", &json!(null), "logits as they are")?;
    keys.idle(
        &["learned_pos_emb"],
        "not read by the reference, which has ALiBi alone",
    );
    keys.idle(&["norm_type"], "the reference has LayerNorm without a bias");
    let why = "no effect on the computation";
    let idle = ["init_config", "init_device", "verbose"];
    keys.idle(&idle, why);
    Ok(architecture)
}

fn attention(keys: &mut Keys, architecture: &mut Architecture) -> Result<()> {
    let Some(mut block) = keys.object("attn_config")? else {
        return Ok(());
    };
    block.only("alibi", &json!(true), "the reference has ALiBi alone")?;
    let bias_max = block.positive_or(
        "alibi_bias_max",
        8.0,
        "slopes end at 2^-this, as in training (the reference takes 8 whatever it says)",
    )?;
    architecture.positional = alibi(bias_max, "after-scale");
    if let Some(scale) = block.positive("softmax_scale", "multiplies scores, not 1/√head_dim")? {
        architecture.score_scale = scale * (architecture.geometry.head_dim as f64).sqrt();
    }
    architecture.clip =
        block.positive("clip_qkv", "queries, keys and values are clipped to ±this")?;
    block.only(
        "attn_type",
        &json!("multihead_attention"),
        "the reference has no other",
    )?;
    block.only("prefix_lm", &json!(false), "causal attention")?;
    block.only("qk_ln", &json!(false), "no norms on queries and keys")?;
    block.only(
        "attn_uses_sequence_id",
        &json!(false),
        "one document per text",
    )?;
    block.idle(&["attn_impl", "attn_pdrop"], "no effect on the computation");
    let (sizes, clip) = (architecture.geometry, architecture.clip);
    keys.absorb(block, |key| match key {
        "kv_n_heads" => Some(json!(sizes.kv_heads)),
        "clip_qkv" => Some(json!(clip)),
        "rope" | "qk_gn" => Some(json!(false)),
        "sliding_window_size" => Some(json!(-1)),
        _ => None,
    })
}
