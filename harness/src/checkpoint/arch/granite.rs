//! Granite: Llama with multipliers of embeddings, scores, the residual stream and logits.

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let mut architecture = common(keys, "granite", LLAMA)?;
    architecture.attention_bias(keys, false)?;
    architecture.bias.mlp = keys.switch("mlp_bias", false, "biases after attention")?;
    let mut number = |key, meaning| keys.positive_or(key, 1.0, meaning);
    architecture.embed_scale = number("embedding_multiplier", "multiplies embeddings")?;
    architecture.logit_scale = 1.0 / number("logits_scaling", "divides logits")?;
    architecture.residual_scale = number("residual_multiplier", "multiplies what sublayers add")?;
    let scores = number(
        "attention_multiplier",
        "multiplies scores in place of 1/√head_dim",
    )?;
    architecture.score_scale = scores * (architecture.geometry.head_dim as f64).sqrt();
    Ok(architecture)
}
