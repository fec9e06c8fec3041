//! Factors of scores.

use super::bias::model;
use super::{F32, F64, close, golden, numbers, plan, query_scale, scale_with};
use farspan_attention::expr::ParamValues;
use farspan_attention::plan::{Geometry, Init};
use serde_json::{Value, json};

#[test]
fn temperatures() {
    let file = golden("bias/length_temperature");
    let positions = numbers(&file["positions0"]);
    let holds = |id: &str, settings: Value, trained: usize, positions: &[f64], expected: &Value| {
        let geometry = Geometry {
            trained_length: trained,
            ..model(1)
        };
        let plan = plan(id, settings, &geometry, 512);
        let found: Vec<f64> = positions.iter().map(|at| query_scale(&plan, *at)).collect();
        close(id, &found, &numbers(expected), F64, 0.0);
    };
    let llama4 = &file["llama4_floor8192_scale0.1"];
    holds("llama4-temperature", json!({}), 512, &positions, llama4);
    let logn = &file["logn_over_log_train512_n_is_pos_plus1"];
    holds("log-n", json!({}), 512, &positions, logn);
    let clamped = &file["logn_clamped_min1_512"];
    holds(
        "log-n",
        json!({ "clamped": true }),
        512,
        &positions,
        clamped,
    );
    let file = golden("rotary/temperature");
    let llama4 = &file["llama4_nope_layer_q_scale"];
    let positions = numbers(&llama4["positions"]);
    let settings = json!({ "floor": llama4["floor_scale"], "scale": llama4["attn_scale"] });
    holds(
        "llama4-temperature",
        settings,
        512,
        &positions,
        &llama4["value"],
    );
    let logn = &file["logn_q_scale_train4096"];
    let positions = numbers(&logn["positions"]);
    for id in ["rerope", "leaky-rerope"] {
        holds(id, json!({}), 4096, &positions, &logn["value"]);
    }
}

/// One row of softmax under a strength of 0.43.
#[test]
fn scalable_softmax() {
    let file = golden("bias/length_temperature");
    let (z, probs) = (
        numbers(&file["ssmax_s0.43_z"]),
        numbers(&file["ssmax_s0.43_probs"]),
    );
    let plan = plan("ssmax", json!({ "strength": 0.43 }), &model(1), 16);
    let query = z.len() - 1;
    let Some(Init::Constant(strength)) = plan.param("s").map(|spec| spec.init.clone()) else {
        panic!("no strength");
    };
    let params = ParamValues::from([("s".into(), vec![strength])]);
    let scale = scale_with(&plan, query as f64, &params);
    let shares: Vec<f64> = z.iter().map(|z| (scale * z).exp()).collect();
    let sum: f64 = shares.iter().sum();
    let found: Vec<f64> = shares.iter().map(|x| x / sum).collect();
    close("ssmax", &found, &probs, F32, 0.0);
}
