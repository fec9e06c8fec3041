//! Published configs of models with experts, and the sizes that those models are known to have.

use farspan::checkpoint::config;
use serde_json::{Value, json};
use std::path::Path;

/// Published configs, as they are, and the numbers that their models are known to have.
#[test]
fn published_configs_are_read_and_make_models_of_the_known_size() {
    let common = json!({
        "attention_bias": false, "attention_dropout": 0.0, "hidden_act": "silu", "initializer_range": 0.02,
        "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true,
    });
    let deepseek = json!({
        "auto_map": {}, "aux_loss_alpha": 0.001, "kv_lora_rank": 512, "max_position_embeddings": 163_840,
        "moe_layer_freq": 1, "pretraining_tp": 1, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6,
        "rope_theta": 10_000, "seq_aux": true, "v_head_dim": 128, "ep_size": 1,
    });
    let yarn = |scale: f64| {
        json!({
            "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": scale, "mscale_all_dim": scale,
            "original_max_position_embeddings": 4096, "type": "yarn",
        })
    };
    let none = json!({});
    for (base, config, millions) in [
        (
            &none,
            json!({
                "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14_336,
                "max_position_embeddings": 32_768, "num_attention_heads": 32, "num_experts_per_tok": 2,
                "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8, "output_router_logits": false,
                "rms_norm_eps": 1e-5, "rope_theta": 1e6, "router_aux_loss_coef": 0.02, "sliding_window": null,
                "vocab_size": 32_000,
            }),
            46_702,
        ),
        (
            &none,
            json!({
                "model_type": "qwen3_moe", "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 2048,
                "intermediate_size": 6144, "max_position_embeddings": 40_960, "max_window_layers": 48,
                "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32,
                "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4,
                "output_router_logits": false, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "router_aux_loss_coef": 0.001,
                "sliding_window": null, "use_sliding_window": false, "vocab_size": 151_936,
            }),
            30_532,
        ),
        (
            &none,
            json!({
                "model_type": "gpt_oss", "attention_bias": true, "experts_per_token": 4, "head_dim": 64,
                "hidden_size": 2880, "initial_context_length": 4096, "intermediate_size": 2880,
                "max_position_embeddings": 131_072, "num_attention_heads": 64, "num_experts_per_tok": 4,
                "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
                "output_router_logits": false, "rms_norm_eps": 1e-5, "rope_theta": 150_000, "router_aux_loss_coef": 0.9,
                "rope_scaling": {
                    "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "original_max_position_embeddings": 4096,
                    "rope_type": "yarn", "truncate": false,
                },
                "sliding_window": 128, "swiglu_limit": 7.0, "vocab_size": 201_088,
            }),
            20_914,
        ),
        (
            &none,
            json!({
                "model_type": "olmoe", "clip_qkv": null, "hidden_size": 2048, "intermediate_size": 1024,
                "max_position_embeddings": 4096, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts": 64,
                "num_experts_per_tok": 8, "num_hidden_layers": 16, "num_key_value_heads": 16,
                "output_router_logits": false, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
                "router_aux_loss_coef": 0.01, "vocab_size": 50_304,
            }),
            6_919,
        ),
        (
            &deepseek,
            json!({
                "model_type": "deepseek_v2", "first_k_dense_replace": 1, "hidden_size": 2048, "intermediate_size": 10_944,
                "moe_intermediate_size": 1408, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2,
                "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
                "num_key_value_heads": 16, "q_lora_rank": null, "routed_scaling_factor": 1.0, "scoring_func": "softmax",
                "topk_group": 1, "topk_method": "greedy", "vocab_size": 102_400, "rope_scaling": yarn(0.707),
            }),
            15_706,
        ),
        (
            &deepseek,
            json!({
                "model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_size": 7168, "intermediate_size": 18_432,
                "moe_intermediate_size": 2048, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
                "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
                "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
                "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_group": 4, "topk_method": "noaux_tc",
                "vocab_size": 129_280, "rope_scaling": yarn(1.0),
            }),
            671_026,
        ),
    ] {
        let mut whole = common.as_object().expect("a table").clone();
        for part in [base, &config] {
            whole.extend(part.as_object().expect("a table").clone());
        }
        let text = Value::Object(whole).to_string();
        let read = config::parse(Path::new("config.json"), text.as_bytes());
        let found = read.unwrap_or_else(|e| panic!("{}: {e}", config["model_type"]));
        let numbers = found.architecture.parameters();
        assert_eq!(numbers / 1_000_000, millions, "{}", config["model_type"]);
    }
}
