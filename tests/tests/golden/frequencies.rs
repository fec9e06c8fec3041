//! Frequencies of the schemes that stretch, round, cut or mix them, and what is computed about them.

use super::rotary::{holds, only_turn};
use super::{
    F32, F64, close, entries, golden, list, model, number, numbers, plan, query_scale, size,
};
use farspan_attention::plan::{Cache, Waves};
use farspan_attention::tables::{Table, turned};
use farspan_pe::angles;
use farspan_pe::schemes::rotary::extended::longrope::yarn_divisors;
use serde_json::json;

#[test]
fn p_rope() {
    let file = golden("rotary/inv_freq_proportional");
    for (name, entry) in entries(&file, "", file.as_object().unwrap().len()) {
        let settings =
            json!({ "base": entry["rope_theta"], "share": entry["p"], "factor": entry["factor"] });
        let plan = plan(
            "p-rope",
            settings,
            &model(size(&entry["head_dim"]), 2048),
            4096,
        );
        holds(name, &plan, entry, F32);
        let turning = only_turn(&plan).0.iter().filter(|theta| **theta > 0.0);
        assert_eq!(turning.count(), size(&entry["rotated_pairs"]), "{name}");
    }
}

#[test]
fn ntk_by_parts() {
    let file = golden("rotary/inv_freq_by_parts");
    for (name, entry) in entries(&file, "repo_part_ntk_", 3) {
        let settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "trained_length": entry["original_max_position_embeddings"],
        });
        let plan = plan(
            "ntk-by-parts",
            settings,
            &model(size(&entry["head_dim"]), 17),
            1 << 17,
        );
        holds(name, &plan, entry, F32);
    }
    for (name, entry) in entries(&file, "repo_dynamic_part_ntk_", 1) {
        let model = model(
            size(&entry["head_dim"]),
            size(&entry["max_position_embeddings"]),
        );
        let settings = json!({ "base": entry["rope_theta"], "dynamic": true });
        let plan = plan("ntk-by-parts", settings, &model, size(&entry["seq_len"]));
        holds(name, &plan, entry, F32);
        assert_eq!(plan.cache, Cache::Unrotated);
    }
    for (name, entry) in entries(&file, "paper_ramp_", 4) {
        let settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "alpha": entry["alpha"],
            "beta": entry["beta"],
            "form": "turns",
        });
        let trained = size(&entry["original_max_position_embeddings"]);
        let model = model(size(&entry["head_dim"]), trained);
        let plan = plan("ntk-by-parts", settings, &model, 1 << 17);
        holds(name, &plan, entry, F64);
    }
}

#[test]
fn llama3() {
    let file = golden("rotary/inv_freq_llama3");
    for (name, entry) in entries(&file, "", 4) {
        let settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "low_freq_factor": entry["low_freq_factor"],
            "high_freq_factor": entry["high_freq_factor"],
            "trained_length": entry["original_max_position_embeddings"],
        });
        let plan = plan(
            "llama3",
            settings,
            &model(size(&entry["head_dim"]), 17),
            1 << 17,
        );
        holds(name, &plan, entry, F32);
    }
}

#[test]
fn longrope() {
    let file = golden("rotary/inv_freq_longrope");
    for (name, entry) in entries(&file, "", 7) {
        let trained = size(&entry["original_max_position_embeddings"]);
        // Hugging Face takes the stretch from the lengths if none is given.
        let factor = match number(&entry["factor_in"]) {
            0.0 => number(&entry["max_position_embeddings"]) / trained as f64,
            factor => factor,
        };
        let mut settings = json!({
            "base": entry["rope_theta"],
            "factor": factor,
            "trained_length": trained,
            "long_factors": entry["long_factor"],
            "short_factors": entry["short_factor"],
        });
        if name == "explicit_attention_factor" {
            settings["attention_factor"] = entry["attention_factor"].clone();
        }
        let model = model(size(&entry["head_dim"]), 17);
        let plan = plan("longrope", settings, &model, size(&entry["seq_len"]));
        holds(name, &plan, entry, F32);
    }
    let file = &golden("rotary/temperature")["longrope_attention_factor_L4096"];
    for (i, factor) in list(&file["factor"]).iter().enumerate() {
        let plan = plan(
            "longrope",
            json!({ "factor": factor }),
            &model(64, 4096),
            8192,
        );
        let expected = number(&file["value"][i]);
        close("amplitude", &[only_turn(&plan).1], &[expected], F64, 0.0);
    }
}

#[test]
fn longrope_starts_from_the_published_divisors() {
    let file = golden("rotary/longrope_search");
    for (name, entry) in entries(&file, "yarn_init_factors_", 3) {
        let found = yarn_divisors(
            number(&entry["rope_theta"]),
            size(&entry["head_dim"]),
            size(&entry["original_length"]),
            number(&entry["factor"]),
            (number(&entry["beta_fast"]), number(&entry["beta_slow"])),
        );
        close(name, &found, &numbers(&entry["initial_divisors"]), F64, 0.0);
    }
}

#[test]
fn longrope_grows_as_published_past_the_trained_length() {
    let entry = &golden("rotary/longrope_search")["dynamic_longrope_factors"];
    let trained = size(&entry["original_length"]);
    let factor = number(&entry["target_length"]) / trained as f64;
    let model = model(8, trained);
    let mut below = 0;
    for (i, length) in list(&entry["seq_len"]).iter().enumerate() {
        let settings =
            json!({ "factor": factor, "long_factors": entry["factors"], "dynamic": true });
        let plan = plan("longrope", settings, &model, size(length));
        let rope = angles::inv_freq(10000.0, 8);
        let found: Vec<f64> = rope
            .iter()
            .zip(only_turn(&plan).0)
            .map(|(a, b)| a / b)
            .collect();
        // The released code lets factors fall below 1 before the trained length; here they stay 1.
        let released = numbers(&entry["effective"][i]);
        let expected: Vec<f64> = released.iter().map(|x| x.max(1.0)).collect();
        below += usize::from(released != expected);
        close("factors", &found, &expected, F64, 0.0);
    }
    assert_eq!(below, 1);
}

#[test]
fn critical_pairs() {
    let file = golden("rotary/longrope_search");
    for (name, entry) in entries(&file, "critical_dim_", 4) {
        let (base, dim) = (number(&entry["rope_theta"]), size(&entry["head_dim"]));
        let trained = size(&entry["train_length"]);
        let pair = angles::critical_pair(base, dim, trained);
        assert_eq!(pair, size(&entry["theoretical_critical_pair"]), "{name}");
        assert_eq!(2 * pair, size(&entry["theoretical_critical_dim"]), "{name}");
        // The search starts at the pair with ten turns.
        let start = angles::critical_pair(base, dim, trained / 10);
        assert_eq!(start, size(&entry["search_start_pair"]), "{name}");
        // LongRoPE2 interpolates from there on.
        let settings = json!({ "base": base, "factor": 4.0 });
        let plan = plan("longrope2", settings, &model(dim, trained), 4 * trained);
        let rope = angles::inv_freq(base, dim);
        let stretch: Vec<f64> = rope
            .iter()
            .zip(only_turn(&plan).0)
            .map(|(a, b)| a / b)
            .collect();
        let full = stretch.iter().position(|s| (s - 4.0).abs() < 1e-9);
        assert_eq!(full, Some(pair), "{name}");
    }
}

#[test]
fn giraffe() {
    let file = golden("rotary/giraffe");
    for (name, entry) in entries(&file, "", 6) {
        let (base, factor) = (&entry["rope_theta"], &entry["scale"]);
        let (id, settings) = match size(&entry["truncate"]) {
            0 => (
                "giraffe-power",
                json!({ "base": base, "factor": factor, "power": entry["power"] }),
            ),
            cutoff => (
                "giraffe-truncated",
                json!({ "base": base, "factor": factor, "cutoff": cutoff }),
            ),
        };
        let plan = plan(id, settings, &model(size(&entry["head_dim"]), 17), 4096);
        // Powers of differences, in f32.
        holds(name, &plan, entry, 2.0 * F32);
    }
}

#[test]
fn ntk_with_mixed_radices() {
    let file = golden("rotary/ntk_mixed_logn");
    for (name, entry) in entries(&file, "d", 3) {
        let settings = json!({ "factor": entry["k"], "beta": entry["beta"], "log_n": false });
        let plan = plan(
            "ntk-mixed",
            settings,
            &model(size(&entry["head_dim"]), 2048),
            4096,
        );
        holds(name, &plan, entry, F32);
    }
    let entry = &file["logn_q_scale"];
    let settings = json!({ "trained_length": entry["train_length"] });
    let plan = plan("ntk-mixed", settings, &model(16, 2048), 64);
    let found: Vec<f64> = list(&entry["positions"])
        .iter()
        .map(|at| query_scale(&plan, number(at)))
        .collect();
    close("log-n", &found, &numbers(&entry["scale"]), F32, 0.0);
}

#[test]
fn resonance() {
    let file = golden("rotary/resonance");
    for (name, entry) in entries(&file, "d", 3) {
        let settings = json!({ "base": entry["rope_theta"] });
        let plan = plan(
            "resonance",
            settings,
            &model(size(&entry["head_dim"]), 2048),
            4096,
        );
        holds(name, &plan, entry, F32);
    }
    let entry = &file["yarn_then_resonance_d32"];
    let settings = json!({
        "over": "yarn",
        "factor": entry["factor"],
        "beta_fast": entry["beta_fast"],
        "beta_slow": entry["beta_slow"],
        "trained_length": entry["max_position_embeddings"],
    });
    let yarn = plan("resonance", settings, &model(32, 17), 256);
    let (inv_freq, amplitude) = only_turn(&yarn);
    close(
        "over yarn",
        inv_freq,
        &numbers(&entry["inv_freq"]),
        F64,
        0.0,
    );
    close(
        "amplitude",
        &[amplitude],
        &[number(&entry["mscale"])],
        F64,
        0.0,
    );

    // Positions reduced by whole wavelengths give the same cosines and sines.
    let entry = &file["angles_mod_wavelength_d16_b500"];
    let plan = plan(
        "resonance",
        json!({ "base": 500.0 }),
        &model(16, 2048),
        4096,
    );
    for (i, position) in list(&entry["positions"]).iter().enumerate() {
        let at = size(position);
        let table = Table::new(&plan.rotations[0].query, at..at + 1, 4096).unwrap();
        let angles = numbers(&entry["angle"][i]);
        let cos: Vec<f64> = angles.iter().map(|x| x.cos()).collect();
        let sin: Vec<f64> = angles.iter().map(|x| x.sin()).collect();
        close("cosines", table.row(0, 0).0, &cos, 0.0, 1e-8);
        close("sines", table.row(0, 0).1, &sin, 0.0, 1e-8);
    }
}

#[test]
fn clipped_rope() {
    let file = golden("rotary/cope_clip");
    for (name, entry) in entries(&file, "", 3) {
        let model = model(size(&entry["head_dim"]), 2048);
        for (hard, key) in [(false, "inv_freq_soft"), (true, "inv_freq_hard")] {
            let settings = json!({ "base": entry["rope_theta"], "hard": hard });
            let plan = plan("cope-clip", settings, &model, 4096);
            // The taper ends in a difference of two nearly equal f32.
            let (found, expected) = (only_turn(&plan).0, numbers(&entry[key]));
            close(name, found, &expected, 2.0 * F32, 1e-12);
        }
        let clipped = numbers(&entry["taper"]).len();
        assert_eq!(clipped, size(&entry["clip_low_n"]));
    }
}

/// Queries and keys as torchscale turns and enlarges them, counted from the middle.
#[test]
fn xpos() {
    let file = golden("rotary/xpos");
    for (name, entry) in entries(&file, "offset_", 2) {
        let head_dim = size(&entry["head_dim"]);
        let (q, k) = (list(&entry["q"]), list(&entry["k"]));
        let settings = json!({ "scale_base": entry["scale_base"], "origin": "middle" });
        let plan = plan("xpos", settings, &model(head_dim, 2048), k.len());
        let turn = &plan.rotations[0];
        let first = k.len() - q.len();
        for (x, expected, rotation, first) in [
            (q, &entry["q_out"], &turn.query, first),
            (k, &entry["k_out"], &turn.key, 0),
        ] {
            let table = Table::new(rotation, first..first + x.len(), k.len()).unwrap();
            for (row, x) in x.iter().enumerate() {
                let found = turned(&numbers(x), table.row(0, row), turn.pairing);
                close(name, &found, &numbers(&expected[row]), F32, 1e-6);
            }
        }
    }
    for (name, entry) in entries(&file, "zeta_", 2) {
        let plan = plan(
            "xpos",
            json!({}),
            &model(size(&entry["head_dim"]), 2048),
            512,
        );
        let Waves::Growing { rates, .. } = &plan.rotations[0].query.waves else {
            panic!("no growth");
        };
        let zeta: Vec<f64> = rates.iter().map(|rate| (512.0 * rate).exp()).collect();
        close(name, &zeta, &numbers(&entry["zeta"]), F32, 0.0);
    }
}
