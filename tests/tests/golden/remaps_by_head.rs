//! Remaps whose heads differ, amplitudes, and groups that grow.

use super::remaps::{at, position, shows};
use super::{F32, close, entries, golden, model, number, numbers, plan, size};
use farspan_attention::plan::{Cache, Geometry};
use serde_json::json;

/// Ratios by the index of the head. The released code orders heads by their attention, by descending share of outliers,
/// and then gives head number `order[r]` the ratio at place `order`'s argument; no plan can depend on that.
#[test]
fn ms_poe() {
    let file = golden("rotary/mspoe");
    for (name, entry) in entries(&file, "H", 3) {
        let heads = size(&entry["num_heads"]);
        let geometry = Geometry {
            heads,
            kv_heads: heads,
            ..model(8, 16)
        };
        let settings = json!({ "min_ratio": entry["min_ratio"], "max_ratio": entry["max_ratio"] });
        let plan = plan("ms-poe", settings, &geometry, 32);
        let turn = &plan.rotations[0];
        let place = |head: usize| position(&turn.query, 0, head, 1, 32);
        let ratios: Vec<f64> = (0..heads).map(|head| 1.0 / place(head)).collect();
        close(name, &ratios, &numbers(&entry["ratio_by_index"]), F32, 0.0);
        let angles: Vec<f64> = (0..heads).map(place).collect();
        close(
            name,
            &angles,
            &numbers(&entry["angle_pair0_pos1"]),
            F32,
            0.0,
        );
        for head in 0..heads {
            assert_eq!(place(head), position(&turn.key, 0, head, 1, 32), "{name}");
        }
    }
}

#[test]
fn amplitudes_of_remaps() {
    let file = golden("rotary/temperature");
    let string = at("string", json!({}), 64, 128);
    let expected = number(&file["string_attention_factor"]["value"]);
    close(
        "string",
        &[string.rotations[0].query.amplitude],
        &[expected],
        1e-8,
        0.0,
    );
    let dca = &file["chunkllama_mscale"];
    for (i, ratio) in numbers(&dca["ratio_seq_over_train"])
        .into_iter()
        .enumerate()
    {
        let length = (1000.0 * ratio).round() as usize;
        let plan = at("dca", json!({}), 1000, length);
        let expected = number(&dca["value"][i]);
        close(
            "dca",
            &[plan.rotations[0].query.amplitude],
            &[expected],
            1e-8,
            0.0,
        );
    }
}

#[test]
fn groups_that_grow_with_the_text() {
    let file = golden("rotary/jet_long");
    for (name, entry) in entries(&file, "T", 4) {
        let settings = json!({ "window": entry["near"] });
        let (trained, length) = (size(&entry["trained_length"]), size(&entry["length"]));
        let plan = at("jet-long", settings, trained, length);
        assert_eq!(plan.cache, Cache::Unrotated);
        shows(name, &plan, entry);
    }
}
