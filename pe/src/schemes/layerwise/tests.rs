use crate::{AnyScheme, Len, Registry};
use farspan_attention::plan::{Geometry, Plan};
use serde_json::json;

const MODEL: Geometry = Geometry {
    layers: 8,
    width: 32,
    heads: 2,
    kv_heads: 2,
    head_dim: 16,
    trained_length: 64,
};

fn layers(id: &str, settings: serde_json::Value) -> Vec<Plan> {
    let scheme: Box<dyn AnyScheme> = Registry::builtin().parse(id, settings).unwrap();
    scheme.layer_plans(&MODEL, Len(256)).unwrap()
}

fn rotated(id: &str) -> Vec<bool> {
    let plans = layers(id, json!({ "interval": 4 }));
    plans
        .iter()
        .map(|plan| !plan.rotations.is_empty())
        .collect()
}

/// Layers 4 and 8 of eight have no positions: SmolLM3's and RNoPE's pattern.
#[test]
fn every_fourth_layer_has_no_rotation() {
    let pattern = [true, true, true, false, true, true, true, false];
    for id in ["nope-layers", "rnope-swa"] {
        assert_eq!(rotated(id), pattern, "{id}");
    }
}
