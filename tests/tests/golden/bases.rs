//! Frequencies that are mixed, and laws and bounds of bases.

use super::rotary::{holds, only_turn};
use super::{
    F32, F64, close, entries, golden, list, model, number, numbers, plan, query_scale, size,
};
use farspan_attention::plan::{Geometry, Plan, Waves};
use farspan_attention::tables::{Table, turned};
use farspan_pe::schemes::rotary::fope::Fope;
use farspan_pe::{Len, Registry, Scheme, angles};
use serde_json::{Value, json};

fn fope_model(head_dim: usize, heads: usize, trained_length: usize) -> Geometry {
    Geometry {
        heads,
        kv_heads: heads,
        ..model(head_dim, trained_length)
    }
}

/// Weights recorded per head as a matrix.
fn weights(value: &Value) -> Vec<Vec<f64>> {
    let rows = |head: &Value| list(head).iter().flat_map(numbers).collect();
    list(value).iter().map(rows).collect()
}

#[test]
fn fope() {
    let file = golden("rotary/fope");
    let (head_dim, heads) = (size(&file["head_dim"]), size(&file["heads"]));
    let model = fope_model(head_dim, heads, size(&file["train_length"]));
    let (cos, sin) = (weights(&file["cos_coef"]), weights(&file["sin_coef"]));
    let plan = Fope::default().plan_with(&model, &cos, &sin).unwrap();
    let kept = numbers(&file["kept_inv_freq"]);
    close("kept", &plan.rotations[0].query.inv_freq, &kept, F32, 0.0);
    let tokens = list(&file["x"][0]).len();
    let table = Table::new(&plan.rotations[0].query, 0..tokens, tokens).unwrap();
    for head in 0..heads {
        for token in 0..tokens {
            let x = numbers(&file["x"][head][token]);
            let found = turned(&x, table.row(head, token), plan.rotations[0].pairing);
            close(
                "turned",
                &found,
                &numbers(&file["out"][head][token]),
                F32,
                1e-6,
            );
        }
    }
    // Without a gain the drawn weights are the step identity.
    for (entry, trained) in [(&file, 128), (&file["case_L1024"], 1024)] {
        let bare = Fope {
            gain: 0.0,
            ..Fope::default()
        };
        let model = fope_model(head_dim, heads, trained);
        let plan: Plan = Scheme::plan(&bare, &model, Len(trained)).unwrap();
        let Waves::Mixed(mix) = &plan.rotations[0].query.waves else {
            panic!("not mixed");
        };
        let identity: Vec<f64> = list(&entry["step_eye"]).iter().flat_map(numbers).collect();
        assert_eq!(mix.mixed, size(&entry["out_dim"]));
        assert_eq!(mix.cos[..identity.len()], identity);
        assert_eq!(mix.sin[..identity.len()], identity);
    }
}

#[test]
fn base_bounds() {
    let file = golden("rotary/base_bound");
    let points = size(&file["grid"]["log_points"]);
    assert_eq!(size(&file["grid"]["from"]), 10);
    assert_eq!(size(&file["grid"]["to_over_L"]), 1000);
    for (name, entry) in entries(&file, "d", 15) {
        let (dim, length) = (size(&entry["head_dim"]), size(&entry["context"]));
        let found = angles::smallest_base(dim, length, points).expect("a base on the grid");
        let expected = number(&entry["smallest_feasible_base_on_grid"]);
        close(name, &[found], &[expected], F64, 0.0);
    }
    let sums = &file["sum_cos_d128"];
    for (i, base) in list(&sums["base"]).iter().enumerate() {
        let inv_freq = angles::inv_freq(number(base), 128);
        let distances = list(&sums["m"]).iter().map(size);
        let found: Vec<f64> = distances
            .map(|m| angles::similarity(&inv_freq, m))
            .collect();
        close("S", &found, &numbers(&sums["value"][i]), 0.0, 1e-6);
    }
}

#[test]
fn scaling_laws() {
    let file = golden("rotary/scaling_law_rope");
    for (name, entry) in entries(&file, "d", 6) {
        let (dim, trained) = (size(&entry["head_dim"]), size(&entry["train_length"]));
        let critical = 2 * angles::critical_pair(10000.0, dim, trained);
        assert_eq!(critical, size(&entry["critical_dim"]), "{name}");
        for (key, base) in entry["critical_base_by_tune_length"].as_object().unwrap() {
            let length: usize = key.strip_prefix("tune_").unwrap().parse().unwrap();
            let found = angles::critical_base(10000.0, trained, length);
            close(key, &[found], &[number(base)], F64, 0.0);
            let abf = plan(
                "abf",
                json!({ "target_length": length }),
                &model(dim, trained),
                length,
            );
            let expected = angles::inv_freq(number(base), dim);
            close(name, only_turn(&abf).0, &expected, F64, 0.0);
        }
    }
    for (name, entry) in entries(&file, "small_base_", 5) {
        let (dim, base) = (size(&entry["head_dim"]), number(&entry["base"]));
        let found = angles::extrapolation_limit(base, 92, dim);
        close(
            name,
            &[found],
            &[number(&entry["T_extra_if_d_extra_92"])],
            F64,
            0.0,
        );
    }
}

/// The authors' class, both forms.
#[test]
fn mixed_radices() {
    let file = golden("rotary/mr_rope");
    for (name, entry) in entries(&file, "", 5) {
        let settings = json!({
            "base": entry["rope_theta"],
            "factor": entry["factor"],
            "form": entry["form"],
            "trained_length": entry["original_max_position_embeddings"],
        });
        let model = model(size(&entry["head_dim"]), 17);
        let plan = plan("mr-rope", settings, &model, 64);
        holds(name, &plan, entry, 2.0 * F32);
        let amplitude = only_turn(&plan).1;
        close(
            name,
            &[amplitude],
            &[number(&entry["attention_factor"])],
            F32,
            0.0,
        );
    }
}

#[test]
fn distributions_of_angles() {
    let file = golden("rotary/dp_rope");
    for (name, entry) in entries(&file, "d", 3) {
        let settings = json!({ "base": entry["rope_theta"], "factor": entry["factor"] });
        let trained = size(&entry["original_max_position_embeddings"]);
        let plan = plan(
            "dp-rope",
            settings,
            &model(size(&entry["head_dim"]), trained),
            64,
        );
        holds(name, &plan, entry, F32);
    }
}

#[test]
fn entropy_aware_abf() {
    let entry = &golden("rotary/entropy_abf")["executed"];
    let model = Geometry {
        layers: 4,
        ..model(size(&entry["head_dim"]), size(&entry["trained_length"]))
    };
    let scheme = Registry::builtin().parse("entropy-abf", json!({})).unwrap();
    let layers = scheme.layer_plans(&model, Len(1 << 17)).unwrap();
    for (layer, plan) in layers.iter().enumerate() {
        holds("entropy-abf", plan, entry, F32);
        let sharpened = layer >= size(&entry["layers_left_alone"]);
        assert_eq!(plan.query_scale.is_some(), sharpened);
        if sharpened {
            let found: Vec<f64> = list(&entry["positions"])
                .iter()
                .map(|at| query_scale(plan, number(at)))
                .collect();
            close("factor", &found, &numbers(&entry["scale"]), F32, 0.0);
        }
    }
}
