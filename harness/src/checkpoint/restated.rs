//! What an architecture computes, in the words of keys that other families, older versions and tools have for it. A key
//! that its own family does not read may say the same; it may not say anything else.

use crate::model::{Architecture, QueryKeyNorm, Residual};
use serde_json::{Value, json};

/// What a key that was not read would have to say; nothing for keys that are not known at all.
pub(super) fn restated(architecture: &Architecture, key: &str) -> Option<Value> {
    let a = architecture;
    let g = &a.geometry;
    let parallel = [Residual::Parallel, Residual::ParallelShared].contains(&a.residual);
    let all_biases = match (a.bias.qkv, a.bias.out, a.bias.mlp) {
        (true, true, true) => Some(true),
        (false, false, false) => Some(false),
        _ => None,
    };
    let turns = !["alibi", "learned", "nope"].contains(&a.positional.id.as_str());
    let rotary = |name: &str| a.positional.settings.get(name).cloned();
    Some(match key {
        "hidden_size" | "n_embd" | "n_embed" | "d_model" | "dim" => json!(g.width),
        "num_hidden_layers" | "n_layer" | "n_layers" | "num_layers" => json!(g.layers),
        "num_attention_heads" | "n_head" | "n_heads" => json!(g.heads),
        "num_key_value_heads"
        | "num_kv_heads"
        | "n_kv_heads"
        | "n_head_kv"
        | "kv_n_heads"
        | "multi_query_group_num" => json!(g.kv_heads),
        "num_key_value_groups" => json!(g.heads / g.kv_heads),
        "head_dim" | "kv_channels" | "attention_head_dim" => json!(g.head_dim),
        "intermediate_size" | "ffn_hidden_size" | "n_inner" | "ffn_dim" | "hidden_dim" => {
            json!(a.hidden)
        }
        "ff_factor" | "ffn_ratio" | "mlp_ratio" | "expansion_ratio" => {
            json!(a.hidden as f64 / g.width as f64)
        }
        "vocab_size" | "padded_vocab_size" => json!(a.vocab),
        "attention_bias" | "qkv_bias" | "use_qkv_bias" | "add_qkv_bias" => json!(a.bias.qkv),
        "mlp_bias" => json!(a.bias.mlp),
        "bias" | "use_bias" | "add_bias_linear" => json!(all_biases?),
        "no_bias" => json!(!all_biases?),
        "lm_head_bias" | "head_bias" => json!(a.bias.head),
        "tie_word_embeddings" => json!(a.tied),
        "parallel_attn" | "use_parallel_residual" | "parallel_residual" => json!(parallel),
        "apply_residual_connection_post_layernorm" => json!(a.residual == Residual::FromNorm),
        "sliding_window" | "attention_window" => {
            json!(a.windows.first().copied().flatten().filter(|w| {
                // One number for all layers.
                a.windows.iter().all(|other| *other == Some(*w))
            }))
        }
        "use_sliding_window" => json!(a.windows.iter().any(Option::is_some)),
        "layer_types" => {
            let kind = |window: &Option<usize>| match window {
                Some(_) => "sliding_attention",
                None => "full_attention",
            };
            json!(a.windows.iter().map(kind).collect::<Vec<_>>())
        }
        "qk_norm" | "use_qk_norm" | "qk_layernorm" | "use_qk_layernorm" | "qk_ln" => {
            json!(a.query_key_norm != QueryKeyNorm::None)
        }
        "alibi" | "use_alibi" => json!(a.positional.id == "alibi"),
        "rotary" | "use_rope" | "use_rotary" | "use_rotary_position_embeddings" => json!(turns),
        "rope_theta" | "rotary_emb_base" | "rotary_base" => rotary("base")?,
        "partial_rotary_factor" | "rotary_pct" | "rotary_percent" => rotary("partial")?,
        "rope_interleaved" | "rotary_emb_interleaved" => {
            json!(rotary("pairing") == Some(json!("interleaved")))
        }
        "use_mrope" => json!(false),
        "rms_norm_eps" | "layer_norm_eps" | "layer_norm_epsilon" | "layernorm_epsilon"
        | "norm_eps" | "norm_epsilon" => json!(a.norm_eps),
        "hidden_act" | "hidden_activation" | "activation_function" | "activation" => {
            json!(a.activation.name())
        }
        "attn_logit_softcapping" => json!(a.score_cap),
        "final_logit_softcapping" => json!(a.logit_cap),
        "logit_scale" => json!(a.logit_scale),
        "logits_scaling" => json!(1.0 / a.logit_scale),
        "embedding_multiplier" | "scale_emb" => json!(a.embed_scale),
        "residual_multiplier" => json!(a.residual_scale),
        "attention_multiplier" => json!(a.score_scale / (g.head_dim as f64).sqrt()),
        "clip_qkv" => json!(a.clip),
        "scale_attn_weights" => json!(true),
        "scale_attn_by_inverse_layer_idx" => json!(a.score_by_layer),
        "is_causal" | "causal" => json!(true),
        "prefix_lm" | "use_bidirectional_attention" => json!(false),
        "attn_type" => json!("multihead_attention"),
        "num_nextn_predict_layers" => json!(0),
        _ => return None,
    })
}
