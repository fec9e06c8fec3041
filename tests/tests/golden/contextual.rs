//! Schemes that look at the content, run through attention on the recorded tensors.

use super::tensors::{
    by_head, by_token, causal_shares, f64s, flat, from_scores, heads_of, identity, linear, mixed,
    model, params, run, run_from, tensor,
};
use super::{F32, close, golden, list, number, numbers, plan, size};
use farspan_attention::attend::{INPUT, Implementation, Params};
use farspan_attention::plan::Init;
use serde_json::json;

#[test]
fn fox() {
    let file = golden("bias/fox");
    let (tokens, heads, dim) = (size(&file["T"]), size(&file["H"]), size(&file["D"]));
    // The recorded gates are reached with one channel per token and head that holds the gate's logit.
    let model = model(heads, dim, heads * tokens);
    let plan = plan("fox", json!({}), &model, tokens);
    let log_f = flat(&file["log_f_t_h"]);
    let logit = |at: usize| log_f[at] - (-log_f[at].exp_m1()).ln();
    let mut input = vec![0.0; tokens * model.width];
    let mut weight = vec![0.0; heads * model.width];
    for at in 0..tokens * heads {
        input[at / heads * model.width + at] = logit(at);
        weight[at % heads * model.width + at] = 1.0;
    }
    let params = params([
        (INPUT, f64s(input, &[1, tokens, model.width])),
        ("w", f64s(weight, &[heads, model.width])),
        ("b", f64s(vec![0.0; heads], &[heads])),
    ]);
    let [q, k, v] = ["q", "k", "v"].map(|key| by_head(&file[key]));
    let expected: Vec<f64> = by_head(&file["out_t_h_d"]).to_flat().unwrap();
    for which in [Implementation::Composed, Implementation::Naive] {
        let found = run_from(&plan, &model, [&q, &k, &v], &params, which);
        // Recorded in f32.
        close("fox", &found, &expected, F32, 2e-7);
    }
}

#[test]
fn fox_constant_gates() {
    let file = golden("bias/fox");
    let times = numbers(&file["bias_only_init_decay_time"]);
    let (shortest, longest) = (times[0], times[times.len() - 1]);
    let settings = json!({ "gate": "bias-only", "shortest": shortest, "longest": longest });
    let plan = plan("fox", settings, &model(times.len(), 4, 8), 16);
    let Init::Values(found) = &plan.param("b").unwrap().init else {
        panic!("{plan}");
    };
    let expected = numbers(&file["bias_only_init_b"]);
    close("biases", found, &expected, F32, 0.0);
    let gates: Vec<f64> = found.iter().map(|b| 1.0 / (1.0 + (-b).exp())).collect();
    close(
        "gates",
        &gates,
        &numbers(&file["check_sigmoid_b"]),
        F32,
        0.0,
    );
}

#[test]
fn cable() {
    let file = golden("bias/cable");
    let (heads, width, tokens) = (
        size(&file["n_head"]),
        size(&file["n_embd"]),
        size(&file["T"]),
    );
    assert_eq!(number(&file["note_score_scale_in_train_code"]), 1.0);
    let model = model(heads, width / heads, width);
    let plan = plan("cable", json!({ "unscaled": true }), &model, tokens);
    let x = tensor(&file["x"]);
    let packed = linear(&x, &file["c_attn_w"], &file["c_attn_b"]);
    let [q, k, v] = [0, 1, 2].map(|n| heads_of(&packed, n * width, heads, width / heads));
    let params = params([
        (INPUT, x.unsqueeze(0).unwrap()),
        ("w", tensor(&file["h_attn_w"])),
        ("b", tensor(&file["h_attn_b"])),
    ]);
    let expected = flat(&file["y"]);
    for which in [Implementation::Composed, Implementation::Naive] {
        let output = run_from(&plan, &model, [&q, &k, &v], &params, which);
        let output = by_token(output, heads, tokens);
        let found = linear(&output, &file["c_proj_w"], &file["c_proj_b"]);
        // Recorded in f32, after a projection.
        close(
            "cable",
            &found.to_flat::<f64>().unwrap(),
            &expected,
            F32,
            5e-7,
        );
    }
}

#[test]
fn cope() {
    let file = golden("bias/cope");
    let mut tried = 0;
    for (name, settings) in [
        ("npos3", json!({})),
        ("npos8", json!({})),
        ("npos3_nodiv", json!({ "divided": false })),
        ("npos3_sepkey", json!({ "gate": "own" })),
    ] {
        let case = &file[name];
        let (heads, tokens) = (list(&case["q"]).len(), list(&case["q"][0]).len());
        // With one channel of input per token, the columns of the projection are the gate's keys.
        let model = model(heads, size(&case["head_dim"]), tokens);
        let mut settings = settings;
        settings["rows"] = case["npos"].clone();
        let plan = plan("cope", settings, &model, tokens);
        let mut given = params([("table", tensor(&case["pos_emb_d_by_npos"]))]);
        if !list(&case["k_gate"]).is_empty() {
            let gate = tensor(&case["k_gate"]).transpose(1, 2).unwrap();
            let gate = gate.contiguous().unwrap();
            let shape = (heads * model.head_dim, tokens);
            given.insert("gate".into(), gate.reshape(shape).unwrap());
            given.insert(INPUT.into(), identity(tokens).unsqueeze(0).unwrap());
        }
        let [q, k, v] = ["q", "k", "v"].map(|key| tensor(&case[key]).unsqueeze(0).unwrap());
        let found = run(&plan, &model, [&q, &k, &v], &given);
        // Recorded in f32.
        close(name, &found, &flat(&case["out"]), F32, 5e-7);
        tried += 1;
    }
    assert_eq!(tried, 4);
}

#[test]
fn selective() {
    let file = golden("bias/selective");
    let (heads, tokens) = (size(&file["H"]), size(&file["T"]));
    let model = model(heads, tokens, 8);
    let plan = plan("selective", json!({}), &model, tokens);
    let [q, k, v] = from_scores(&file["scores_causal_masked_minus1e9"]);
    let found = run(&plan, &model, [&q, &k, &v], &Params::new());
    let expected = causal_shares(&file["scores_out_lower"]);
    close("selective", &found, &mixed(&expected, &v), F32, 1e-7);
}

#[test]
fn dape() {
    let file = golden("bias/dape");
    let (heads, tokens) = (size(&file["H"]), size(&file["T"]));
    let model = model(heads, tokens, 8);
    assert_eq!(number(&file["leaky_relu_slope"]), 0.01);
    let [q, k, v] = from_scores(&file["scores_in"]);
    let keys_v1 = ["p", "a", "w1", "b1", "w2", "b2", "v1_scores_out"];
    let keys_v2 = [
        "v2_p",
        "v2_a",
        "v2_conv1_w",
        "v2_conv1_b",
        "v2_conv2_w",
        "v2_conv2_b",
        "v2_scores_out",
    ];
    for (kernel, keys) in [(1, keys_v1), (3, keys_v2)] {
        let [p, a, w1, b1, w2, b2, out] = keys;
        let hidden = list(&file[b1]).len();
        let settings = json!({ "kernel": kernel, "hidden": hidden });
        let plan = plan("dape", settings, &model, tokens);
        let layer = |key: &str, outputs: usize, inputs: usize| {
            tensor(&file[key])
                .reshape((outputs, inputs, kernel))
                .unwrap()
        };
        let params = params([
            ("p", tensor(&file[p])),
            ("a", tensor(&file[a])),
            ("w1", layer(w1, hidden, 2 * heads)),
            ("b1", tensor(&file[b1])),
            ("w2", layer(w2, heads, hidden)),
            ("b2", tensor(&file[b2])),
        ]);
        let found = run(&plan, &model, [&q, &k, &v], &params);
        // Recorded in f32.
        let expected = mixed(&causal_shares(&file[out]), &v);
        close(out, &found, &expected, F32, 5e-7);
    }
}

#[test]
fn stick_breaking() {
    let file = golden("bias/stickbreaking");
    let [q, k, v] =
        ["q", "k", "v"].map(|x| tensor(&file[format!("{x}_h_t_d")]).unsqueeze(0).unwrap());
    let (_, heads, tokens, dim) = q.dims4().unwrap();
    let model = model(heads, dim, 8);
    for (name, attend_current) in [("attend_current0", false), ("attend_current1", true)] {
        for (key, remainder) in [
            ("out_no_remainder", false),
            ("out_plus_remainder_times_v", true),
        ] {
            let settings = json!({ "attend_current": attend_current, "remainder": remainder });
            let plan = plan("stick-breaking", settings, &model, tokens);
            let found = run(&plan, &model, [&q, &k, &v], &Params::new());
            // Recorded in f32.
            close(name, &found, &flat(&file[name][key]), F32, 5e-7);
        }
    }
}
