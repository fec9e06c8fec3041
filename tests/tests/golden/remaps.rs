//! Distances that remaps show, and what attention gives under them.

use super::{F32, close, entries, golden, list, model, number, numbers, plan, query_scale, size};
use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::expr::ParamValues;
use farspan_attention::plan::{Geometry, Plan, Positions, Rotation};
use farspan_attention::prepared::Prepared;
use farspan_attention::tables::Table;
use farspan_attention::{DType, Device, Tensor, scalar};
use serde_json::{Value, json};

/// The position that pair `pair` of one side sees for the token at `at`.
pub(super) fn position(rotation: &Rotation, pair: usize, head: usize, at: usize, n: usize) -> f64 {
    // Read from the angle of a slow frequency.
    let theta = 1e-4;
    let position = match &rotation.position {
        Positions::PerPair(of) => Positions::All(of[pair].clone()),
        other => other.clone(),
    };
    let rotation = Rotation {
        position,
        inv_freq: vec![theta],
        ..rotation.clone()
    };
    let table = Table::new(&rotation, at..at + 1, n).unwrap();
    let (cos, sin) = table.row(head, 0);
    sin[0].atan2(cos[0]) / theta
}

/// The distance that a plan shows for a pair of tokens; −∞ if it hides the pair.
pub(super) fn distance(plan: &Plan, i: usize, j: usize, n: usize) -> f64 {
    // A turn may be slower than the first.
    let of_turn = |turn: &farspan_attention::plan::QkRotation| {
        let speed = turn.query.inv_freq[0] / plan.rotations[0].query.inv_freq[0];
        speed * (position(&turn.query, 0, 0, i, n) - position(&turn.key, 0, 0, j, n))
    };
    let raw: Vec<f64> = plan.rotations.iter().map(of_turn).collect();
    scalar::score(plan, &raw, (0, 1), i, j, n, &ParamValues::new()).unwrap()
}

pub(super) fn shows(name: &str, plan: &Plan, entry: &Value) {
    let rows = list(&entry["effective_distance"]);
    for (i, row) in rows.iter().enumerate() {
        for (j, expected) in numbers(row).into_iter().enumerate().take(i + 1) {
            let found = distance(plan, i, j, rows.len());
            let visible = entry
                .get("visible")
                .is_none_or(|seen| number(&seen[i][j]) == 1.0);
            if visible {
                // Recorded with six decimals.
                close(
                    &format!("{name}[{i}][{j}]"),
                    &[found],
                    &[expected],
                    0.0,
                    2e-6,
                );
            } else {
                assert_eq!(found, f64::NEG_INFINITY, "{name}[{i}][{j}]");
            }
        }
    }
}

pub(super) fn at(id: &str, settings: Value, trained: usize, length: usize) -> Plan {
    plan(id, settings, &model(8, trained), length)
}

#[test]
fn distances() {
    let file = golden("rotary/remap_distance");
    let shows = |name: &str, id: &str, settings: Value, trained: usize| {
        shows(name, &at(id, settings, trained, 20), &file[name]);
    };
    shows("rerope_w4", "rerope", json!({ "window": 4 }), 8);
    shows(
        "leaky_w4_k3",
        "leaky-rerope",
        json!({ "window": 4, "factor": 3.0 }),
        8,
    );
    for (group, window) in [(2, 4), (4, 8), (3, 4)] {
        for (name, shift) in [("truediv", "exact"), ("floordiv", "floor")] {
            let settings = json!({ "group": group, "window": window, "shift": shift });
            shows(
                &format!("self_extend_G{group}_W{window}_{name}"),
                "self-extend",
                settings,
                8,
            );
        }
    }
    shows(
        "dca_chunk6_local2",
        "dca",
        json!({ "chunk_size": 6, "local_window": 2 }),
        8,
    );
    shows(
        "string_S5_W2",
        "string",
        json!({ "offset": 5, "local": 2 }),
        8,
    );
    shows(
        "lm_infinite_G2_W5",
        "lm-infinite",
        json!({ "global": 2, "local": 5 }),
        8,
    );
}

/// Positions inside the cache of a stream: the last query sees each kept key at the recorded distance.
#[test]
fn streams() {
    let entry = &golden("rotary/remap_distance")["streaming_llm_sink2_recent4"];
    let plan = at("streaming-llm", json!({ "sinks": 2, "window": 4 }), 8, 12);
    for (i, kept) in list(&entry["kept_absolute_index_per_step"])
        .iter()
        .enumerate()
    {
        let (kept, places) = (
            numbers(kept),
            numbers(&entry["position_in_cache_per_step"][i]),
        );
        let own = places[places.len() - 1];
        for j in 0..=i {
            let found = distance(&plan, i, j, 12);
            match kept.iter().position(|at| *at == j as f64) {
                Some(p) => close("distance", &[found], &[own - places[p]], 0.0, 1e-6),
                None => assert_eq!(found, f64::NEG_INFINITY, "{i} {j}"),
            }
        }
    }
}

fn tensor(value: &Value, dtype: DType) -> Tensor {
    let heads = list(value);
    let (tokens, dim) = (list(&heads[0]).len(), list(&heads[0][0]).len());
    let values: Vec<f64> = heads
        .iter()
        .flat_map(|head| list(head).iter().flat_map(numbers))
        .collect();
    let tensor = Tensor::from_vec(values, vec![1, heads.len(), tokens, dim], &Device::cpu());
    tensor.unwrap().to_dtype(dtype).unwrap()
}

/// Official attention code, from q, k and v to the output.
#[test]
fn outputs() {
    let file = golden("rotary/remap_attention");
    for (name, id, settings) in [
        (
            "rerope",
            "rerope",
            json!({ "window": 4, "trained_length": 8 }),
        ),
        (
            "leaky_rerope",
            "leaky-rerope",
            json!({ "window": 4, "factor": 3.0, "trained_length": 8 }),
        ),
        (
            "self_extend_G2_W4",
            "self-extend",
            json!({ "group": 2, "window": 4 }),
        ),
        (
            "self_extend_G3_W4",
            "self-extend",
            json!({ "group": 3, "window": 4 }),
        ),
        (
            "dca_chunk6_local2",
            "dca",
            json!({ "chunk_size": 6, "local_window": 2, "amplitude": false }),
        ),
        (
            "dca_chunk8_local3",
            "dca",
            json!({ "chunk_size": 8, "local_window": 3, "amplitude": false }),
        ),
        (
            "string_S5_W2_clean_partition",
            "string",
            json!({ "offset": 5, "local": 2, "amplitude": 1.0 }),
        ),
        (
            "lm_infinite_G2_W5",
            "lm-infinite",
            json!({ "global": 2, "local": 5 }),
        ),
    ] {
        let entry = &file[name];
        let length = list(&entry["q"][0]).len();
        let geometry = Geometry {
            heads: 2,
            kv_heads: 2,
            ..model(8, 8)
        };
        let plan = plan(id, settings, &geometry, length);
        shows(name, &plan, entry);
        if let Some(scale) = entry.get("query_scale") {
            let found: Vec<f64> = (0..length).map(|i| query_scale(&plan, i as f64)).collect();
            close(name, &found, &numbers(scale), F32, 0.0);
        }
        for (which, dtype) in [
            (Implementation::Naive, DType::F64),
            (Implementation::Composed, DType::F32),
            (Implementation::Auto, DType::F32),
        ] {
            let [q, k, v] = ["q", "k", "v"].map(|x| tensor(&entry[x], dtype));
            let prepared = Prepared::new(&plan, &geometry, 0..length, 0..length, &Device::cpu());
            let (prepared, params, mask) = (prepared.unwrap(), Params::new(), Mask::causal());
            let found = attend(&q, &k, &v, &prepared, &params, &mask, which)
                .unwrap()
                .output;
            let found: Vec<f64> = found.to_dtype(DType::F64).unwrap().to_flat().unwrap();
            let expected: Vec<f64> = tensor(&entry["output"], DType::F64).to_flat().unwrap();
            // Computed in f32 by the recorded code.
            close(&format!("{name} {which}"), &found, &expected, 0.0, 2e-6);
        }
    }
}

#[test]
fn dpe_positions() {
    let file = golden("rotary/dpe_positions");
    for (name, entry) in entries(&file, "group_", 5) {
        let Some(factor) = entry.get("factor") else {
            continue;
        };
        let length = size(&entry["length"]);
        let settings = json!({ "factors": [factor], "window": entry["local_window"] });
        let plan = at("dpe", settings, 64, length);
        let far = &plan.rotations[1];
        for i in 0..length {
            let found = [&far.query, &far.key].map(|side| position(side, 0, 0, i, length));
            let expected = [&entry["q_pos_prefill"][i], &entry["k_pos_prefill"][i]].map(number);
            close(name, &found, &expected, 0.0, 1e-6);
        }
        // With a cache the released code rounds the shift of the query down; the distances differ by less than one.
        for j in 0..length {
            let found = distance(&plan, length - 1, j, length);
            let recorded = number(&entry["decode_rel_last_query_to_key"][j]);
            assert!(
                (found - recorded).abs() < 1.0,
                "{name} {j}: {found} {recorded}"
            );
        }
    }
    let bounds = numbers(&file["group_ranges_8_groups_64_pairs"]["pair_boundaries"]);
    let factors = [2, 3, 4, 5, 6, 7, 8, 9];
    let plan = plan(
        "dpe",
        json!({ "factors": factors, "window": 6 }),
        &model(128, 64),
        64,
    );
    for (group, factor) in factors.iter().enumerate() {
        for pair in bounds[group] as usize..bounds[group + 1] as usize {
            let found = position(&plan.rotations[1].key, pair, 0, 63, 64);
            close("group", &[found], &[f64::from(63 / factor)], 0.0, 1e-6);
        }
    }
}

#[test]
fn gali() {
    let file = golden("rotary/gali");
    for (name, entry) in entries(&file, "len", 6) {
        let (length, trained) = (size(&entry["target_len"]), size(&entry["train_length"]));
        let plan = at(
            "gali",
            json!({ "local_window": entry["local_window"] }),
            trained,
            length,
        );
        for (i, expected) in numbers(&entry["positions"]).into_iter().enumerate() {
            let [up, down] = [0, 1].map(|t| position(&plan.rotations[t].key, 0, 0, i, length));
            let rounded = [expected.ceil(), expected.floor()];
            close(&format!("{name}[{i}]"), &[up, down], &rounded, 0.0, 1e-6);
            // The share of the lower neighbour, read from the score.
            let share = scalar::score(
                &plan,
                &[0.0, 1.0],
                (0, 1),
                i,
                i,
                length,
                &ParamValues::new(),
            );
            close(
                name,
                &[share.unwrap()],
                &[expected.ceil() - expected],
                0.0,
                1e-6,
            );
        }
    }
    let entry = &file["logit_interp_d8"];
    let q: Vec<Vec<f64>> = list(&entry["q"]).iter().map(numbers).collect();
    let k: Vec<Vec<f64>> = list(&entry["k"]).iter().map(numbers).collect();
    let n = q.len();
    // Twelve tokens at the recorded positions.
    let plan = at("gali", json!({ "local_window": 4 }), 8, n);
    for i in 0..n {
        for j in 0..=i {
            let raw: Vec<f64> = plan
                .rotations
                .iter()
                .map(|turn| raw(turn, &q[i], &k[j], i, j, n))
                .collect();
            let found = scalar::score(&plan, &raw, (0, 1), i, j, n, &ParamValues::new()).unwrap();
            let expected = number(&entry["logits_no_noise"][i][j]);
            close(&format!("logit {i} {j}"), &[found], &[expected], 1e-5, 2e-6);
        }
    }
}

/// ⟨q′, k′⟩ / √d
fn raw(
    turn: &farspan_attention::plan::QkRotation,
    q: &[f64],
    k: &[f64],
    i: usize,
    j: usize,
    n: usize,
) -> f64 {
    let side = |rotation: &Rotation, x: &[f64], at: usize| {
        let table = Table::new(rotation, at..at + 1, n).unwrap();
        farspan_attention::tables::turned(x, table.row(0, 0), turn.pairing)
    };
    let (q, k) = (side(&turn.query, q, i), side(&turn.key, k, j));
    let product: f64 = q.iter().zip(&k).map(|(a, b)| a * b).sum();
    product / (q.len() as f64).sqrt()
}
