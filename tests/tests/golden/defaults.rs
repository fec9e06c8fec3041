//! Settings that nobody sets.

use farspan_pe::Registry;
use serde_json::{Value, json};

/// Settings that nobody sets, where a paper or published code has a number for them.
#[test]
fn defaults_are_the_published_ones() {
    for (id, published) in [
        // 10000 of "Attention is all you need" and of RoFormer, section 3.2.2, stays wherever a rotation starts from
        // it; below are those that depart.
        // torchscale's xPos: scale_base 512, (0.4 · d) / (1.4 · d).
        ("xpos", json!({ "scale_base": 512.0, "gamma": 0.4 })),
        // YaRN, section 3.2 and its code, for Llama: α = 1, β = 32.
        (
            "ntk-by-parts",
            json!({ "alpha": 1.0, "beta": 32.0, "ntk_factor": 1.0, "extrapolation_factor": 1.0 }),
        ),
        (
            "yarn",
            json!({ "beta_fast": 32.0, "beta_slow": 1.0, "truncate": true, "extrapolation_factor": 1.0,
                    "attn_factor": 1.0, "ramp": "code", "blend": "frequencies", "dynamic": false }),
        ),
        ("resonance", json!({ "beta_fast": 32.0, "beta_slow": 1.0 })),
        // rope_scaling of Llama 3.1.
        (
            "llama3",
            json!({ "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0 }),
        ),
        // Code Llama's base is 10⁶; that of the ABF paper, section 2.1, 500000.
        ("abf", json!({ "new_base": 500_000.0 })),
        ("alibi", json!({ "bias_max": 8.0, "learned": false })),
        // relative_attention_num_buckets and _max_distance of T5.
        ("t5", json!({ "buckets": 32, "max_distance": 128 })),
        ("sandwich", json!({ "channels": 128, "strength": 8.0 })),
        (
            "fire",
            json!({ "hidden": 32, "init_c": 0.1, "init_length": 512.0 }),
        ),
        // max_relative_position of tensor2tensor's transformer_relative.
        ("shaw", json!({ "clip": 20, "values": true })),
        // position_buckets of deberta-v3, and max_position_embeddings, which max_relative_positions = -1 stands for.
        ("deberta", json!({ "buckets": 256, "max_distance": 512 })),
        ("tape", json!({ "position_size": 48, "mix_heads": false })),
        ("wall", json!({ "bias_init": 8.0 })),
        ("clex", json!({ "max_factor": 16, "width_factor": 1 })),
        ("dape", json!({ "hidden": 32, "kernel": 1 })),
        ("grape", json!({ "kappa": 16.0, "pace": "sigmoid" })),
        (
            "selective-rope",
            json!({ "base": 500_000.0, "rank": 16, "kernel": 4 }),
        ),
        ("distance-bank", json!({ "curves": 16, "extent": 1024 })),
        ("fox", json!({ "gate": "full", "spread_bias": false })),
        ("bipe-alibi", json!({ "scale": 96.0 })),
        // Every fourth layer of Llama 4, Cohere2 and SmolLM3 is without positions.
        ("irope", json!({ "interval": 4, "growth": 0.1 })),
        ("nope-layers", json!({ "interval": 4 })),
        ("rnope-swa", json!({ "interval": 4 })),
        ("swan", json!({ "base": 1e6, "interval": 4 })),
        ("llama4-temperature", json!({ "scale": 0.1, "floor": 8192 })),
        ("sinusoidal", json!({ "convention": "paper", "scale": 1.0 })),
        ("shortformer", json!({ "base": 10_000.0 })),
        ("stick-breaking", json!({ "attend_current": false })),
        ("ntk-mixed", json!({ "factor": 12.0, "beta": 0.75 })),
        ("psc", json!({ "under": "yarn" })),
        ("pose", json!({ "method": "yarn" })),
        ("fope", json!({ "gain": 0.3, "rest_sin": 1.0 })),
        (
            "ms-poe",
            json!({ "min_ratio": 1.2, "max_ratio": 1.8, "per_query_head": false }),
        ),
        ("cope-clip", json!({ "hard": false })),
        ("repo", json!({ "base": 500_000.0, "share": 8 })),
        ("dynamic-bias", json!({ "depth": 2, "per_layer": false })),
        ("grape-a", json!({ "path_dim": 8 })),
        ("half-truncated-rope", json!({ "slowest": 1.0 / 1024.0 })),
        ("self", json!({ "rate": 0.02, "capacity": 33 })),
        ("tapa", json!({ "strength": 0.5, "power": 0.1 })),
    ] {
        let scheme = Registry::builtin().parse(id, json!({})).unwrap();
        let found = scheme.settings();
        for (key, value) in published.as_object().unwrap() {
            // 8 and 8.0 are one number.
            let same = match (found[key].as_f64(), value.as_f64()) {
                (Some(a), Some(b)) => a == b,
                _ => found[key] == *value,
            };
            assert!(same, "{id}.{key}: {}, not {value}", found[key]);
        }
    }
    for entry in Registry::builtin().entries() {
        let found = entry.parse(json!({})).unwrap().settings();
        if let Some(base) = found.get("base").and_then(Value::as_f64) {
            let departs = ["selective-rope", "swan", "repo", "periodic-rope"].contains(&entry.id);
            assert!(departs || base == 10_000.0, "{}: {base}", entry.id);
        }
    }
}
