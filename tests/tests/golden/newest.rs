//! Schemes of 2023 to 2026: networks of the distance, groups that follow the text, learned frequencies, positions and phases from
//! content, keys of the token before.

use super::remaps::distance;
use super::tensors::{f64s, flat, tensor};
use super::turning::scores;
use super::{F64, close, entries, golden, list, model, number, numbers, plan, size};
use farspan_attention::attend::{INPUT, Params};

use farspan_attention::plan::{Cache, Geometry};

use farspan_pe::{Len, Registry};
use serde_json::{Value, json};

/// Scores come back from shares of a softmax, whose logarithms lose what the shares are small by.
const SCORE: f64 = 1e-7;

/// A model of these sizes.
pub(super) fn heads(heads: usize, kv_heads: usize, head_dim: usize, width: usize) -> Geometry {
    Geometry {
        heads,
        kv_heads,
        head_dim,
        width,
        ..model(head_dim, 64)
    }
}

/// Scores of all queries against those recorded for the last rows of each head, up to a constant per query.
#[track_caller]
fn last_rows(what: &str, found: &[f64], tokens: usize, expected: &Value) {
    for (head, rows) in list(expected).iter().enumerate() {
        let rows = list(rows);
        for (n, row) in rows.iter().enumerate() {
            let query = tokens - rows.len() + n;
            let row = numbers(row);
            let expected: Vec<f64> = row[..=query].iter().map(|x| x - row[0]).collect();
            let found = &found[(head * tokens + query) * tokens..][..=query];
            close(
                &format!("{what}[{head}][{query}]"),
                found,
                &expected,
                SCORE,
                SCORE,
            );
        }
    }
}

#[test]
fn lampe() {
    let file = golden("rotary/lampe");
    for case in list(&file["cases"]) {
        let length = size(&case["T"]);
        let settings = json!({ "head": case["head"], "tail": case["tail"], "mapped": case["m"] });
        let plan = plan("lampe", settings, &model(8, 64), length);
        assert_eq!(plan.cache, Cache::Unrotated);
        for (row, expected) in list(&case["rows"]).iter().zip(list(&case["distance"])) {
            let i = size(row);
            for (j, expected) in numbers(expected).into_iter().enumerate() {
                let found = distance(&plan, i, j, length);
                close(
                    &format!("{length}[{i}][{j}]"),
                    &[found],
                    &[expected],
                    0.0,
                    2e-6,
                );
            }
        }
        let amplitude = 1.0 + 0.1 * 2f64.ln();
        assert!(
            plan.rotations
                .iter()
                .all(|turn| (turn.query.amplitude - amplitude).abs() < 1e-12
                    && turn.key.amplitude == turn.query.amplitude)
        );
    }
    // Short texts are RoPE, by either measure of short.
    for (length, turns) in [(60, 1), (61, 3)] {
        let settings = json!({ "head": 30, "mapped": 20 });
        let plan = plan("lampe", settings, &model(8, 64), length);
        assert_eq!(plan.rotations.len(), turns, "{length}");
    }
    let short = plan("lampe", json!({}), &model(8, 64), 48);
    assert_eq!(short.rotations.len(), 1);
    // The curve that was fitted to Llama 3: positions in use by length.
    for pair in list(&file["llama3"]) {
        let (length, expected) = (size(&pair[0]), number(&pair[1]));
        let settings = json!({
            "mapped": 6204, "rate": 0.00010493097327094324, "offset": -2.466638011138158,
        });
        let plan = plan("lampe", settings, &model(8, 8192), length);
        let last = super::remaps::position(&plan.rotations[1].key, 0, 0, length - 1, length);
        // M is 6204.409, and no whole number of positions here.
        assert!(
            (last - expected).abs() <= 1.0,
            "{length}: {last} {expected}"
        );
    }
}

#[test]
fn groups_that_grow_with_the_position() {
    let file = golden("rotary/self_groups");
    for case in list(&file["cases"]) {
        let (n, window) = (size(&case["n"]), size(&case["window"]));
        let settings = json!({
            "window": window, "rate": case["rate"], "capacity": case["capacity"],
        });
        let plan = plan("self", settings, &model(8, 64), n);
        let (queries, keys) = (numbers(&case["query"]), numbers(&case["key"]));
        for i in (0..n).step_by(7) {
            for j in (0..=i).rev().step_by(if i % 2 == 0 { 1 } else { 5 }) {
                let expected = match i - j < window {
                    true => (i - j) as f64,
                    false => queries[i] - keys[j],
                };
                let found = distance(&plan, i, j, n);
                close(&format!("[{i}][{j}]"), &[found], &[expected], 0.0, 2e-6);
            }
        }
    }
    let fast = Registry::builtin().parse("self", json!({ "rate": 3.0 }));
    let words = fast.unwrap_err().to_string();
    assert!(
        words.contains("`rate`") && words.contains("group has"),
        "{words}"
    );
}

#[test]
fn learned_frequencies() {
    let file = golden("rotary/lerope");
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let (sizes, tokens) = (heads(2, 2, 8, 8), 50);
    for (name, shared) in [("all", "all"), ("key_head", "key-head")] {
        let plan = plan("lerope", json!({ "shared": shared }), &sizes, tokens);
        let params = Params::from([("lerope.log_shift".into(), tensor(&file[name]["alpha"]))]);
        let found = scores(&plan, &sizes, (&q, &k), &params, 0);
        last_rows(name, &found, tokens, &file[name]["last_rows"]);
    }
    assert!(
        plan("lerope", json!({}), &sizes, 9)
            .params
            .iter()
            .all(|spec| !spec.per_layer)
    );
}

#[test]
fn positions_from_content() {
    let file = golden("bias/repo");
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let (sizes, tokens) = (heads(2, 2, 6, 16), 8);
    let input = tensor(&file["x"]).unsqueeze(0).unwrap();
    for (form, key, names) in [
        (
            "gated",
            "gated",
            &[
                ("repo.gate", "gate"),
                ("repo.content", "content"),
                ("repo.position", "final"),
            ][..],
        ),
        ("linear", "per_head", &[("repo.position", "linear")]),
        ("shared-linear", "shared", &[("repo.position", "one")]),
    ] {
        let plan = plan("repo", json!({ "form": form }), &sizes, tokens);
        let mut params = Params::from([(INPUT.into(), input.clone())]);
        params.extend(
            names
                .iter()
                .map(|(ours, theirs)| (ours.to_string(), tensor(&file[theirs]))),
        );
        let found = scores(&plan, &sizes, (&q, &k), &params, 0);
        last_rows(form, &found, tokens, &file[key]["scores"]);
    }
    // Earlier layers are RoPE: 5 of 16, 10 of 32.
    for (layers, first) in [(16, 5), (32, 10)] {
        let sizes = Geometry { layers, ..sizes };
        let scheme = Registry::builtin().parse("repo", json!({})).unwrap();
        let plans = scheme.layer_plans(&sizes, Len(8)).unwrap();
        let content = plans.iter().position(|plan| plan.reads_input());
        assert_eq!(content, Some(first));
    }
}

#[test]
fn networks_of_the_distance() {
    let file = golden("bias/dynamic_bias");
    for (name, case) in entries(&file, "", 4) {
        let settings = json!({
            "hidden": 5, "depth": case["depth"], "log_distance": case["log"],
        });
        let (sizes, tokens) = (heads(3, 3, 2, 8), 40);
        let plan = plan("dynamic-bias", settings, &sizes, tokens);
        let mut params = Params::new();
        for (n, layer) in list(&case["layers"]).iter().enumerate() {
            params.insert(format!("distance.weight{n}"), tensor(&layer["weight"]));
            params.insert(format!("distance.bias{n}"), tensor(&layer["bias"]));
        }
        let none = vec![0.0; 3 * tokens * 2];
        let found = scores(&plan, &sizes, (&none, &none), &params, 0);
        let last = list(&case["last_row_h_k"]);
        let as_rows: Vec<Value> = last.iter().map(|row| json!([row])).collect();
        last_rows(name, &found, tokens, &json!(as_rows));
    }
}

#[test]
fn rates_that_content_sets() {
    let file = golden("bias/grape_a");
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let (sizes, tokens) = (heads(4, 4, 6, 8), 9);
    for gate in ["key", "query", "both"] {
        let case = &file[gate];
        let plan = plan("grape-a", json!({ "gate": gate }), &sizes, tokens);
        let names = [
            ("grape_a.rate", "omega"),
            ("grape_a.key", "u"),
            ("grape_a.query", "v"),
        ];
        let own = names
            .iter()
            .filter(|(_, theirs)| case.get(theirs).is_some());
        let params = own.map(|(ours, theirs)| (ours.to_string(), tensor(&case[theirs])));
        let found = scores(&plan, &sizes, (&q, &k), &params.collect(), 0);
        last_rows(gate, &found, tokens, &case["scores"]);
    }
    let (case, sizes) = (&file["path"], heads(4, 4, 6, 5));
    let plan = plan("grape-a", json!({ "gate": "path" }), &sizes, tokens);
    let params = Params::from([
        (INPUT.into(), tensor(&case["x"]).unsqueeze(0).unwrap()),
        ("grape_a.path".into(), tensor(&case["w"])),
    ]);
    let none = vec![0.0; q.len()];
    let found = scores(&plan, &sizes, (&none, &none), &params, 0);
    last_rows("path", &found, tokens, &case["bias"]);
}

/// The recorded projection stands for the values, of which every token sees the mean.
#[test]
fn values_of_the_token_before() {
    let file = golden("bias/kv_shift");
    let (sizes, tokens) = (heads(2, 2, 4, 5), 7);
    let plan = plan("kv-shift", json!({ "keys": false }), &sizes, tokens);
    let x = tensor(&file["x"]);
    let projected = x.matmul(&tensor(&file["linear"]).t().unwrap()).unwrap();
    let v = super::tensors::heads_of(&projected, 0, 2, 4);
    let none = f64s(vec![0.0; 2 * tokens * 4], &[1, 2, tokens, 4]);
    let params = Params::from([
        (INPUT.into(), x.unsqueeze(0).unwrap()),
        ("shift.value".into(), tensor(&file["shift"])),
    ]);
    let found = super::tensors::run(&plan, &sizes, [&none, &none, &v], &params);
    let found: Vec<f64> = super::tensors::by_token(found, 2, tokens)
        .to_flat()
        .unwrap();
    let rows: Vec<Vec<f64>> = list(&file["out_t_c"]).iter().map(numbers).collect();
    for t in 0..tokens {
        let mean = |c: usize| rows[..=t].iter().map(|row| row[c]).sum::<f64>() / (t + 1) as f64;
        let expected: Vec<f64> = (0..8).map(mean).collect();
        close(
            &format!("token {t}"),
            &found[t * 8..][..8],
            &expected,
            F64,
            1e-8,
        );
    }
}

#[test]
fn half_of_the_pairs_stand_still() {
    let file = golden("rotary/half_truncated");
    for case in list(&file["cases"]) {
        let dim = size(&case["head_dim"]);
        let (sizes, tokens) = (heads(2, 2, dim, 8), 20);
        let of = |shift: bool| {
            plan(
                "half-truncated-rope",
                json!({ "shift_keys": shift }),
                &sizes,
                tokens,
            )
        };
        let inv_freq = &of(true).rotations[0].query.inv_freq;
        close(
            "frequencies",
            inv_freq,
            &numbers(&case["inv_freq"]),
            F64,
            0.0,
        );
        if case.get("q").is_none() {
            continue;
        }
        // Their turns run clockwise.
        let mirrored = |value: &Value| -> Vec<f64> {
            let signed = |(i, x): (usize, f64)| if i % 2 == 1 { -x } else { x };
            flat(value).into_iter().enumerate().map(signed).collect()
        };
        let (q, k) = (mirrored(&case["q"]), mirrored(&case["k"]));
        for (shift, key) in [(false, "raw_last_rows"), (true, "shifted_last_rows")] {
            let found = scores(&of(shift), &sizes, (&q, &k), &Params::new(), 0);
            let scale = (dim as f64).sqrt();
            let raw: Vec<f64> = found.iter().map(|x| x * scale).collect();
            last_rows(key, &raw, tokens, &case[key]);
        }
    }
}

#[test]
fn phases_from_content() {
    let file = golden("bias/tapa");
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let (sizes, tokens) = (heads(2, 2, 8, 8), 30);
    for (name, case) in [("half", &file["half"]), ("more", &file["more"])] {
        let settings = json!({ "strength": case["strength"], "power": case["power"] });
        let plan = plan("tapa", settings, &sizes, tokens);
        let found = scores(&plan, &sizes, (&q, &k), &Params::new(), 0);
        last_rows(name, &found, tokens, &case["last_rows"]);
    }
}

#[test]
fn positions_untied_from_content() {
    let file = golden("bias/tupe");
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let (sizes, tokens) = (heads(2, 2, 3, 6), 7);
    let plan = plan("tupe", json!({ "rows": tokens }), &sizes, tokens);
    let names = [
        "table",
        "norm",
        "norm_bias",
        "query",
        "query_bias",
        "key",
        "key_bias",
    ];
    let params = names.map(|name| (format!("tupe.{name}"), tensor(&file[name])));
    let found = scores(&plan, &sizes, (&q, &k), &params.into(), 0);
    last_rows("tupe", &found, tokens, &file["scores"]);
    let scheme = Registry::builtin()
        .parse("tupe", json!({ "rows": 7 }))
        .unwrap();
    let words = scheme.plan(&sizes, Len(8)).unwrap_err().to_string();
    assert!(
        words.starts_with("length 8 cannot be served, the limit is 7"),
        "{words}"
    );
}
