//! Ids that a task gives, inside a model.

use super::{TRAINED, drawn, furthest, logits, random, scheme};
use farspan_datasets::Batch;
use farspan_pe::Len;
use serde_json::{Value, json};

/// Two windows of 20 tokens with ids.
fn with(ids: impl Fn(usize) -> f64) -> Batch {
    Batch {
        positions: Some((0..40).map(|t| ids(t % 20)).collect()),
        ..random(3, 2, 20)
    }
}

fn read(id: &str, settings: Value, batch: &Batch) -> Vec<f32> {
    let model = drawn(&scheme(id, settings));
    let ready = model.prepare(Len(TRAINED), 20).expect("plans");
    logits(&model, batch, &ready)
}

#[test]
fn embeddings_see_the_ids_and_scores_only_where_it_is_said() {
    let index = with(|t| t as f64);
    let others = with(|t| (t % 4) as f64);
    let shifted = with(|t| 3.0 + t as f64);
    for id in ["abacus", "position-coupling"] {
        let read = |batch: &Batch| read(id, json!({}), batch);
        assert!(furthest(&read(&index), &read(&others)) > 1e-3, "{id}");
        assert!(furthest(&read(&index), &read(&shifted)) > 1e-3, "{id}");
    }
    let biased = json!({
        "score": "raw - slope[h] * abs(q - k)",
        "ids": "coupled",
        "params": { "slope": { "values": [0.5] } },
    });
    let read = |batch: &Batch| read("custom", biased.clone(), batch);
    assert!(furthest(&read(&index), &read(&others)) > 1e-3);
    // Distances of ids are all that these scores see.
    assert!(furthest(&read(&index), &read(&shifted)) < 1e-5);
}
