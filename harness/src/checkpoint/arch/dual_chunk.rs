//! `dual_chunk_attention_config`, as Qwen2.5-1M and later models have it: settings of Dual Chunk Attention, which the
//! reference library does not read (it computes plain RoPE) and engines do (vLLM, SGLang).

use super::shared::*;

/// Offers the scheme whose settings the block has. Its length before extension is that of the weights.
pub(super) fn read(keys: &mut Keys, architecture: &mut Architecture) -> Result<()> {
    const KEY: &str = "dual_chunk_attention_config";
    let Some(mut block) = keys.object(KEY)? else {
        return Ok(());
    };
    let mut required = |key, meaning| {
        let found = block.count(key, meaning)?;
        found.ok_or_else(|| block.wrong(key, "a whole number", "nothing"))
    };
    let size = required("chunk_size", "largest distance that is seen")?;
    let local = required("local_size", "distances that are exact across chunks")?;
    let original = block.count(
        "original_max_position_embeddings",
        "length before extension; scores are scaled past it",
    )?;
    block.idle(
        &[
            "sparse_attention_enabled",
            "sparse_attention_config",
            "sparse_attention_threshold",
            "sparse_attention_last_q",
        ],
        "how engines leave out small scores; none is left out here",
    );
    keys.absorb(block, |_| None)?;
    let mut settings = Map::new();
    settings.insert("chunk_size".into(), json!(size));
    settings.insert("local_window".into(), json!(local));
    settings.insert("amplitude".into(), json!(original.is_some()));
    if let Some(original) = original {
        settings.insert("trained_length".into(), json!(original));
        architecture.geometry.trained_length = original;
    }
    let offered = Positional::new("dca", settings);
    keys.warn(format!(
        "{KEY} is for a scheme of its own, {offered}, which `dca` takes over; without it these weights are read as the \
         reference library reads them, under {}",
        architecture.positional.id
    ));
    architecture.offers = Some(offered);
    Ok(())
}
