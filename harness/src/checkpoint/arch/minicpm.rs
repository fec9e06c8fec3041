//! MiniCPM (remote code): Llama with multipliers of embeddings, the residual stream and logits (Hu et al. 2024,
//! arXiv 2404.06395, table 7).

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        tied: true,
        ..LLAMA
    };
    let mut architecture = common(keys, "minicpm", defaults)?;
    architecture.attention_bias(keys, false)?;
    let mut number = |key, meaning| {
        let found = keys.positive(key, meaning)?;
        let rule =
            "a number above 0, for versions of this family's code disagree about its default";
        found.ok_or_else(|| keys.wrong(key, rule, "nothing"))
    };
    architecture.embed_scale = number("scale_emb", "multiplies embeddings")?;
    let depth = number("scale_depth", "multiplies what sublayers add, by 1/√layers")?;
    let base = number("dim_model_base", "logits are multiplied by it and 1/width")?;
    let sizes = &architecture.geometry;
    architecture.residual_scale = depth / (sizes.layers as f64).sqrt();
    architecture.logit_scale = base / sizes.width as f64;
    keys.idle(&["mup_denominator"], "not read by this model");
    Ok(architecture)
}
