//! Baichuan 1 and 2 (remote code): Llama with queries, keys and values in one matrix. The models of 7 billion parameters
//! turn by RoPE, those of 13 billion have ALiBi; the second generation divides the rows of its head by their lengths
//! (arXiv 2309.10305, sections 2.3 and 2.5).

use super::shared::*;

/// Words that tell the second generation.
const SECOND: usize = 125_696;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        qkv: Qkv::Fused("self_attn.W_pack"),
        ..Names::LLAMA
    }
}

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    // The two sizes come with code of their own, which asks for one of the two lengths.
    let turns = keys.has("max_position_embeddings");
    let positions = keys.count(
        "max_position_embeddings",
        "longest text, and that it is RoPE's",
    )?;
    let most = keys.count(
        "model_max_length",
        "longest text, of ALiBi where it stands alone",
    )?;
    let known = positions.or(most);
    let rule =
        "a length, which tells RoPE (max_position_embeddings) from ALiBi (model_max_length alone)";
    let trained = known.ok_or_else(|| keys.wrong("max_position_embeddings", rule, "nothing"))?;
    let (width, hidden, layers, heads) = match turns {
        true => (4096, 11_008, 32, 32),
        false => (5120, 13_696, 40, 40),
    };
    let width = keys.count_or("hidden_size", width, "width of the residual stream")?;
    let hidden = keys.count_or("intermediate_size", hidden, "hidden width after attention")?;
    let layers = keys.count_or("num_hidden_layers", layers, "layers")?;
    let heads = keys.count_or("num_attention_heads", heads, "heads")?;
    let vocab = keys.count(
        "vocab_size",
        "vocabulary; it tells the two generations apart",
    )?;
    let rule = "a number, which tells Baichuan 1 from 2";
    let vocab = vocab.ok_or_else(|| keys.wrong("vocab_size", rule, "nothing"))?;
    let sizes = geometry(keys, (layers, width), (heads, heads), None, trained)?;
    let mut architecture = Architecture::llama_like("baichuan", sizes, hidden, vocab);
    architecture.positional = match turns {
        true => {
            let mut settings = Map::new();
            settings.insert("base".into(), json!(10_000.0));
            settings.insert("partial".into(), json!(1.0));
            Positional::new("rope", settings)
        }
        false => alibi(8.0, "after-scale"),
    };
    architecture.norm_eps = keys.positive_or("rms_norm_eps", 1e-6, "added in norms")?;
    architecture.activation = Activation::named(keys, "hidden_act", "silu")?;
    architecture.tied = keys.switch("tie_word_embeddings", false, "head is the embedding")?;
    architecture.unit_head = vocab == SECOND;
    let why = "no effect on the computation";
    keys.idle(&["z_loss_weight", "gradient_checkpointing"], why);
    Ok(architecture)
}
