//! Frequencies, amplitudes and rotations.

use super::{F32, F64, close, entries, golden, list, model, number, numbers, plan, size};
use farspan_attention::expr::Expr;
use farspan_attention::plan::{Cache, Plan, Positions};
use farspan_attention::scalar;
use serde_json::{Value, json};

/// Frequencies of a plan that turns queries and keys alike by their own positions, and the factor of cos and sin.
pub(super) fn only_turn(plan: &Plan) -> (&[f64], f64) {
    assert_eq!(plan.rotations.len(), 1);
    let turn = &plan.rotations[0];
    assert_eq!(turn.query.inv_freq, turn.key.inv_freq);
    assert_eq!(turn.query.amplitude, turn.key.amplitude);
    assert_eq!(turn.query.position, Positions::All(Expr::Query));
    assert_eq!(turn.key.position, Positions::All(Expr::Key));
    assert_eq!(plan.score, Expr::Raw(0));
    (&turn.query.inv_freq, turn.query.amplitude)
}

pub(super) fn holds(name: &str, plan: &Plan, entry: &Value, rtol: f64) {
    let (inv_freq, amplitude) = only_turn(plan);
    close(name, inv_freq, &numbers(&entry["inv_freq"]), rtol, 0.0);
    let expected = entry.get("attention_factor").map_or(1.0, number);
    close(
        &format!("{name} amplitude"),
        &[amplitude],
        &[expected],
        F64,
        0.0,
    );
    assert_eq!(plan.softmax_scale, 1.0, "{name}");
}

#[test]
fn rope_frequencies() {
    let file = golden("rotary/inv_freq_default");
    for (name, entry) in entries(&file, "", 11) {
        let settings =
            json!({ "base": entry["rope_theta"], "partial": entry["partial_rotary_factor"] });
        let model = model(size(&entry["head_dim"]), 2048);
        holds(name, &plan("rope", settings, &model, 4096), entry, F32);
    }
}

#[test]
fn position_interpolation() {
    let file = golden("rotary/inv_freq_linear");
    for (name, entry) in entries(&file, "", 4) {
        let settings = json!({ "base": entry["rope_theta"], "factor": entry["factor"] });
        let model = model(size(&entry["head_dim"]), 2048);
        holds(name, &plan("pi", settings, &model, 4096), entry, F32);
    }
}

#[test]
fn ntk_aware() {
    let file = golden("rotary/inv_freq_ntk");
    for (name, entry) in entries(&file, "", 5) {
        let settings = json!({ "base": entry["rope_theta"], "factor": entry["factor"] });
        let model = model(size(&entry["head_dim"]), 2048);
        holds(name, &plan("ntk", settings, &model, 4096), entry, F32);
    }
}

#[test]
fn dynamic_ntk() {
    let file = golden("rotary/inv_freq_dynamic");
    for (name, entry) in entries(&file, "hf_", 16) {
        let settings = json!({ "base": entry["rope_theta"], "factor": entry["factor"] });
        let model = model(
            size(&entry["head_dim"]),
            size(&entry["max_position_embeddings"]),
        );
        let plan = plan("dynamic-ntk", settings, &model, size(&entry["seq_len"]));
        holds(name, &plan, entry, F32);
        assert_eq!(plan.cache, Cache::Unrotated);
    }
    for (name, entry) in entries(&file, "repo_ntk", 2) {
        let model = model(
            size(&entry["head_dim"]),
            size(&entry["max_position_embeddings"]),
        );
        let length = size(&entry["seq_len"]);
        let plan = plan(
            "dynamic-ntk",
            json!({ "factor": entry["ntk"] }),
            &model,
            length,
        );
        holds(name, &plan, entry, F32);
        holds_at_the_end(name, &plan, entry, length);
    }
}

/// The authors' class for stretched positions that follow the length.
#[test]
fn dynamic_position_interpolation() {
    let file = golden("rotary/inv_freq_dynamic");
    for (name, entry) in entries(&file, "repo_dynlinear", 2) {
        let trained = size(&entry["max_position_embeddings"]);
        let length = size(&entry["seq_len"]);
        let model = model(size(&entry["head_dim"]), trained);
        let plan = plan("pi", json!({ "dynamic": true }), &model, length);
        // The class scales positions and leaves the frequencies, which is the same angle.
        let stretch = length as f64 / trained as f64;
        let unscaled: Vec<f64> = only_turn(&plan)
            .0
            .iter()
            .map(|theta| theta * stretch)
            .collect();
        close(name, &unscaled, &numbers(&entry["inv_freq"]), F32, 0.0);
        holds_at_the_end(name, &plan, entry, length);
        assert_eq!(plan.cache, Cache::Unrotated);
    }
}

/// The last row of the recorded cos and sin tables.
fn holds_at_the_end(name: &str, plan: &Plan, entry: &Value, length: usize) {
    let head_dim = size(&entry["head_dim"]);
    let matrix = scalar::rotation_matrix(plan, 0, 0, length - 1, length, head_dim).unwrap();
    let at = |row: usize, column: usize| matrix[row * head_dim + column];
    let half = head_dim / 2;
    let cos: Vec<f64> = (0..half).map(|p| at(p, p)).collect();
    let sin: Vec<f64> = (0..half).map(|p| at(half + p, p)).collect();
    // The recorded angles are f32: up to 6000 radians with a relative error of 2⁻²⁴ in both factors.
    let angle = 6000.0 * 2f64.powi(-23);
    close(
        &format!("{name} cos"),
        &cos,
        &numbers(&entry["cos_last_row"]),
        0.0,
        angle,
    );
    close(
        &format!("{name} sin"),
        &sin,
        &numbers(&entry["sin_last_row"]),
        0.0,
        angle,
    );
}

/// Hugging Face keeps the table of the longest call until a call shorter than the trained length. A plan is a
/// function of the length: it agrees wherever the recorded object does not look back, and only there.
#[test]
fn dynamic_ntk_has_no_memory() {
    let file = golden("rotary/dynamic_state");
    let model = model(
        size(&file["head_dim"]),
        size(&file["max_position_embeddings"]),
    );
    let trained = model.trained_length;
    let (mut agreeing, mut looking_back) = (0, 0);
    for (i, call) in list(&file["call_lengths"]).iter().enumerate() {
        let length = size(call);
        let settings = json!({ "base": file["rope_theta"], "factor": file["factor"] });
        let plan = plan("dynamic-ntk", settings, &model, length);
        let (found, recorded) = (
            only_turn(&plan).0[1],
            number(&file["inv_freq_index_1_after_call"][i]),
        );
        if size(&file["max_len_cached_after_call"][i]) == length.max(trained) {
            close("agreeing call", &[found], &[recorded], F32, 0.0);
            agreeing += 1;
        } else {
            assert!(
                (found / recorded - 1.0).abs() > 1e-3,
                "call {i}: {found} {recorded}"
            );
            looking_back += 1;
        }
    }
    assert_eq!((agreeing, looking_back), (7, 2));
}

#[test]
fn yarn() {
    let file = golden("rotary/inv_freq_yarn");
    for (name, entry) in entries(&file, "", 16) {
        let mut settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "trained_length": entry["original_max_position_embeddings"],
            "beta_fast": entry["beta_fast"],
            "beta_slow": entry["beta_slow"],
            "truncate": entry["truncate"],
        });
        for (key, recorded) in [
            ("attention_factor", "attention_factor_in"),
            ("mscale", "mscale_in"),
            ("mscale_all_dim", "mscale_all_dim_in"),
        ] {
            if let Some(value) = entry.get(recorded) {
                settings[key] = value.clone();
            }
        }
        // The setting, not the model, gives the trained length.
        let model = model(size(&entry["head_dim"]), 17);
        holds(name, &plan("yarn", settings, &model, 1 << 17), entry, F32);
    }
}

#[test]
fn yarn_with_the_ramp_of_the_paper() {
    let file = golden("rotary/inv_freq_by_parts");
    for (name, entry) in entries(&file, "paper_ramp_", 4) {
        let settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "beta_slow": entry["alpha"],
            "beta_fast": entry["beta"],
            "ramp": "paper",
        });
        let model = model(
            size(&entry["head_dim"]),
            size(&entry["original_max_position_embeddings"]),
        );
        let plan = plan("yarn", settings, &model, 1 << 17);
        close(
            name,
            only_turn(&plan).0,
            &numbers(&entry["inv_freq"]),
            F64,
            0.0,
        );
    }
}

#[test]
fn revised_yarn() {
    let file = golden("rotary/inv_freq_revised_yarn");
    for (name, entry) in entries(&file, "", 3) {
        let settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "blend": "wavelengths",
        });
        let model = model(
            size(&entry["head_dim"]),
            size(&entry["original_max_position_embeddings"]),
        );
        let plan = plan("yarn", settings, &model, 1 << 17);
        let (inv_freq, amplitude) = only_turn(&plan);
        close(name, inv_freq, &numbers(&entry["inv_freq"]), F64, 0.0);
        close(name, &[amplitude], &[number(&entry["mscale"])], F64, 0.0);
    }
}

#[test]
fn yarn_temperature() {
    let file = &golden("rotary/temperature")["yarn_mscale"];
    let factors = list(&file["factor"]);
    assert_eq!(factors.len(), 9);
    for (i, factor) in factors.iter().enumerate() {
        let plan = plan("yarn", json!({ "factor": factor }), &model(64, 4096), 8192);
        let amplitude = only_turn(&plan).1;
        close(
            "mscale",
            &[amplitude],
            &[number(&file["mscale"][i])],
            F64,
            0.0,
        );
        let product = plan.rotations[0].query.amplitude * plan.rotations[0].key.amplitude;
        close(
            "on scores",
            &[product],
            &[number(&file["logit_multiplier"][i])],
            F64,
            0.0,
        );
    }
}

/// 64 of 192 channels turn, tables keep amplitude 1, the softmax is scaled instead.
#[test]
fn deepseek_v3() {
    let file = golden("rotary/deepseek_v3_yarn");
    let scale = &file["softmax_scale"];
    let head_dim = size(&scale["qk_head_dim"]);
    let entry = &file["max_seq_len_16384"];
    let settings = json!({
        "partial": number(&entry["qk_rope_head_dim"]) / head_dim as f64,
        "factor": entry["rope_factor"],
        "trained_length": entry["original_seq_len"],
        "mscale": scale["mscale"],
        "mscale_all_dim": scale["mscale"],
        "scale_softmax": true,
    });
    let extended = plan("yarn", settings, &model(head_dim, 4096), 16384);
    let (inv_freq, amplitude) = only_turn(&extended);
    let expected = numbers(&entry["inv_freq_from_angle_at_pos1"]);
    close("frequencies", inv_freq, &expected, F32, 0.0);
    assert_eq!(amplitude, number(&entry["abs_max"]));
    let softmax = extended.softmax_scale / (head_dim as f64).sqrt();
    close(
        "softmax scale",
        &[softmax],
        &[number(&scale["softmax_scale_extended"])],
        F64,
        0.0,
    );

    let plain = plan(
        "rope",
        json!({ "partial": 64.0 / 192.0 }),
        &model(head_dim, 4096),
        4096,
    );
    let expected = numbers(&file["max_seq_len_4096"]["inv_freq_from_angle_at_pos1"]);
    close(
        "plain frequencies",
        only_turn(&plain).0,
        &expected,
        F32,
        0.0,
    );
    let softmax = plain.softmax_scale / (head_dim as f64).sqrt();
    close(
        "plain softmax scale",
        &[softmax],
        &[number(&scale["softmax_scale_plain"])],
        F64,
        0.0,
    );
}
