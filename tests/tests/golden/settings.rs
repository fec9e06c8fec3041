//! Settings where neighbours give other numbers: edges of chunks and windows, factors, shares of channels, and the
//! defaults that follow the trained length.

use super::rotary::only_turn;
use super::tensors::flat;
use super::turning::rows;
use super::{F32, F64, close, entries, golden, list, model, number, numbers, plan, size};
use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};

/// (1, heads, tokens, channels) of nested lists \[head\]\[token\]\[channel\].
fn tensor(value: &Value) -> Tensor {
    super::tensors::tensor(value).unsqueeze(0).unwrap()
}

/// Official attention code at settings beside which it would give other numbers.
#[test]
fn remaps() {
    let file = golden("rotary/remap_settings");
    let [q, k, v] = ["q", "k", "v"].map(|x| tensor(&file[x]));
    let (_, heads, tokens, head_dim) = q.dims4().unwrap();
    for (name, case) in entries(&file["cases"], "", 6) {
        let geometry = Geometry {
            heads,
            kv_heads: heads,
            ..model(head_dim, size(&case["trained"]))
        };
        let id = case["id"].as_str().unwrap();
        let plan = plan(id, case["settings"].clone(), &geometry, tokens);
        for which in [Implementation::Naive, Implementation::Composed] {
            let prepared = Prepared::new(&plan, &geometry, 0..tokens, 0..tokens, &Device::cpu());
            let (prepared, params, mask) = (prepared.unwrap(), Params::new(), Mask::causal());
            let found = attend(&q, &k, &v, &prepared, &params, &mask, which).unwrap();
            let found: Vec<f64> = found.output.to_flat().unwrap();
            close(
                &format!("{name} {which}"),
                &found,
                &flat(&case["output"]),
                0.0,
                1e-8,
            );
        }
    }
}

/// Decay and frequencies follow the channels that turn, not those of the head.
#[test]
fn xpos_over_half_of_the_channels() {
    let file = golden("rotary/xpos_partial");
    let settings = json!({
        "partial": file["partial"], "scale_base": file["scale_base"], "pairing": "interleaved", "origin": "middle",
    });
    let (q, k) = (rows(&file["q"]), rows(&file["k"]));
    let plan = plan(
        "xpos",
        settings,
        &model(size(&file["head_dim"]), 64),
        q.len(),
    );
    for (i, row) in list(&file["scores_unscaled"]).iter().enumerate() {
        let found: Vec<f64> = (0..q.len())
            .map(|j| product(&plan, &q[i], &k[j], (i, j), q.len()))
            .collect();
        close(&format!("row {i}"), &found, &numbers(row), 1e-7, 1e-7);
    }
}

/// ⟨q′, k′⟩ of a plan's only turn.
fn product(plan: &Plan, q: &[f64], k: &[f64], (i, j): (usize, usize), n: usize) -> f64 {
    let turn = &plan.rotations[0];
    let side = |rotation: &farspan_attention::plan::Rotation, x: &[f64], at: usize| {
        let table = farspan_attention::tables::Table::new(rotation, at..at + 1, n).unwrap();
        farspan_attention::tables::turned(x, table.row(0, 0), turn.pairing)
    };
    let (q, k) = (side(&turn.query, q, i), side(&turn.key, k, j));
    q.iter().zip(&k).map(|(a, b)| a * b).sum()
}

#[test]
fn frequencies_of_half_of_the_channels() {
    let file = golden("rotary/inv_freq_partial");
    for (name, id, settings) in [
        ("linear", "pi", json!({ "factor": 4.0 })),
        ("dynamic", "dynamic-ntk", json!({ "factor": 4.0 })),
        ("yarn", "yarn", json!({ "factor": 4.0 })),
        (
            "llama3",
            "llama3",
            json!({ "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0 }),
        ),
        (
            "longrope",
            "longrope",
            json!({ "factor": 4.0, "long_factors": file["longrope"]["long_factor"], "short_factors": file["longrope"]["short_factor"] }),
        ),
    ] {
        let entry = &file[name];
        let mut settings = settings;
        settings["partial"] = entry["partial_rotary_factor"].clone();
        let model = model(size(&entry["head_dim"]), size(&entry["trained_length"]));
        let plan = plan(id, settings, &model, size(&entry["length"]));
        let (inv_freq, amplitude) = only_turn(&plan);
        close(name, inv_freq, &numbers(&entry["inv_freq"]), F32, 0.0);
        let factor = number(&entry["attention_factor"]);
        close(name, &[amplitude], &[factor], F64, 0.0);
    }
}

/// Heads of which a share turns are turned as narrower heads are as a whole, by every scheme that offers it.
#[test]
fn a_share_of_the_channels_turns_like_a_narrower_head() {
    let registry = Registry::builtin();
    let of = |id: &str, partial: f64, head_dim: usize| {
        let scheme = registry.parse(id, json!({ "partial": partial })).unwrap();
        let model = Geometry {
            layers: 4,
            width: 64,
            heads: 2,
            kv_heads: 2,
            ..model(head_dim, 64)
        };
        scheme.layer_plans(&model, Len(200))
    };
    let mut tried = 0;
    for entry in registry.entries() {
        let offers = entry.parse(json!({ "partial": 0.5 })).is_ok();
        if !offers {
            continue;
        }
        let (half, whole) = (of(entry.id, 0.5, 32), of(entry.id, 1.0, 16));
        match (half, whole) {
            (Ok(half), Ok(whole)) => {
                for (half, whole) in half.iter().zip(&whole) {
                    assert_eq!(half.rotations, whole.rotations, "{}", entry.id);
                    assert_eq!(half.score, whole.score, "{}", entry.id);
                    assert_eq!(half.query_scale, whole.query_scale, "{}", entry.id);
                }
                tried += 1;
            }
            (half, whole) => panic!("{}: {half:?}, {whole:?}", entry.id),
        }
    }
    assert!(tried > 20, "{tried} schemes turn a share of the channels");
}

/// What stands in published code or papers for models of a length, and is the default here.
#[test]
fn defaults_that_follow_the_trained_length() {
    for (id, trained, published) in [
        // replace_with_chunkllama: chunk_size = L · 3 // 4, local_window = L // 8.
        (
            "dca",
            4096,
            json!({ "chunk_size": 3072, "local_window": 512 }),
        ),
        ("dca", 100, json!({ "chunk_size": 75, "local_window": 12 })),
        // SelfExtend's arguments, and half of a shorter L.
        ("self-extend", 4096, json!({ "group": 8, "window": 1024 })),
        ("self-extend", 2047, json!({ "group": 8, "window": 1023 })),
        // A third of L; local value 128 as in the README, or half of a shorter S.
        ("string", 131_072, json!({ "offset": 43_690, "local": 128 })),
        ("string", 100, json!({ "offset": 33, "local": 16 })),
        // rerope_patch.py and leaky_rerope_patch.py: window 512, scaling_factor 16, training_length 4096.
        (
            "rerope",
            4096,
            json!({ "window": 512, "log_n": true, "trained_length": 4096 }),
        ),
        (
            "rerope",
            100,
            json!({ "window": 50, "trained_length": 100 }),
        ),
        (
            "leaky-rerope",
            4096,
            json!({ "window": 512, "factor": 16.0, "trained_length": 4096 }),
        ),
        // LM-Infinite's window is the length of pre-training; first tokens appear at its end.
        (
            "lm-infinite",
            4096,
            json!({ "global": 10, "local": 4096, "limit": 4096 }),
        ),
        // README of streaming-llm: 4 sinks, 2000 recent tokens; in a shorter model, the rest of L.
        ("streaming-llm", 4096, json!({ "sinks": 4, "window": 2000 })),
        ("streaming-llm", 100, json!({ "sinks": 4, "window": 96 })),
        // A²ATS: 64 near tokens, 8 sinks, everything else at 2048.
        (
            "windowed-rope",
            8192,
            json!({ "window": 64, "far": 2048, "sinks": 8 }),
        ),
        (
            "gali",
            4096,
            json!({ "local_window": 128, "trained_length": 4096 }),
        ),
        (
            "ms-poe",
            4096,
            json!({ "min_ratio": 1.2, "max_ratio": 1.8 }),
        ),
        (
            "dpe",
            8192,
            json!({ "window": 1024, "factors": [2, 8, 2, 8, 32, 32, 32, 4] }),
        ),
        (
            "hirope",
            4096,
            json!({ "segment": 128, "window": 512, "fast": 0.5 }),
        ),
        // Cohere2: windows of 4096 in a model of 8192; Llama 4: chunks and floor_scale of 8192.
        ("rnope-swa", 8192, json!({ "interval": 4, "window": 4096 })),
        ("swan", 8192, json!({ "interval": 4, "window": 4096 })),
        (
            "irope",
            8192,
            json!({ "interval": 4, "chunk": 8192, "floor": 8192, "growth": 0.1 }),
        ),
        // One row more than the block, since a count may be 0.
        ("cope", 64, json!({ "rows": 65 })),
        ("huang-m1", 64, json!({ "rows": 64 })),
        ("huang-m3", 64, json!({ "rows": 64 })),
        ("huang-m4", 64, json!({ "rows": 64 })),
    ] {
        let head_dim = 128;
        for length in [trained, 2 * trained] {
            let plan = |settings: Value| {
                let scheme = Registry::builtin().parse(id, settings).unwrap();
                let model = Geometry {
                    layers: 4,
                    ..model(head_dim, trained)
                };
                // A table serves no more distances than it has.
                scheme
                    .layer_plans(&model, Len(length))
                    .map_err(|e| e.to_string())
            };
            assert_eq!(
                plan(json!({})),
                plan(published.clone()),
                "{id} at {trained}"
            );
        }
    }
    // The authors ran a third as 0.33 (README of STRING): 43253 of 131072.
    let run = (0.33f64 * 131_072.0).floor();
    assert!((43_690.0 - run) / run < 0.011);
}

/// A trained length that is not set is the model's, whatever the scheme does with it.
#[test]
fn the_models_trained_length_is_the_default() {
    let geometry = Geometry {
        layers: 4,
        ..model(32, 64)
    };
    let mut tried = 0;
    for entry in Registry::builtin().entries() {
        let plans = |settings: Value| {
            let scheme = entry.parse(settings).ok()?;
            Some(
                scheme
                    .layer_plans(&geometry, Len(200))
                    .map_err(|e| e.to_string()),
            )
        };
        let Some(set) = plans(json!({ "trained_length": 64 })) else {
            continue;
        };
        assert_eq!(Some(set), plans(json!({})), "{}", entry.id);
        tried += 1;
    }
    assert!(
        tried > 12,
        "{tried} schemes have a trained length of their own"
    );
}
