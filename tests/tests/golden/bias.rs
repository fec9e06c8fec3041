//! Biases and embeddings.

use super::{F32, close, entries, golden, list, number, numbers, plan, size};
use farspan_attention::expr::ParamValues;
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::scalar;
use serde_json::{Value, json};

pub(super) fn model(heads: usize) -> Geometry {
    Geometry {
        layers: 1,
        width: 8,
        heads,
        kv_heads: heads,
        head_dim: 64,
        trained_length: 16,
    }
}

/// Biases of one query for the keys of `keys`.
fn row(
    plan: &Plan,
    (head, heads): (usize, usize),
    query: usize,
    keys: std::ops::Range<usize>,
    params: &ParamValues,
) -> Vec<f64> {
    let n = keys.end.max(query + 1);
    keys.map(|key| scalar::bias(plan, (head, heads), query, key, n, params).unwrap())
        .collect()
}

/// Every query of a recorded \[head\]\[query\]\[key\] matrix, for the keys that it sees.
fn causal_matrix(
    what: &str,
    plan: &Plan,
    params: &ParamValues,
    expected: &Value,
    tolerance: (f64, f64),
) {
    let heads = list(expected);
    for (head, queries) in heads.iter().enumerate() {
        for (query, keys) in list(queries).iter().enumerate() {
            let found = row(plan, (head, heads.len()), query, 0..query + 1, params);
            let what = format!("{what}[{head}][{query}]");
            close(
                &what,
                &found,
                &numbers(keys)[..=query],
                tolerance.0,
                tolerance.1,
            );
        }
    }
}

fn slopes(settings: Value, heads: usize) -> Vec<f64> {
    // The bias at distance 1 is minus the slope.
    let plan = plan("alibi", settings, &model(heads), 16);
    (0..heads)
        .map(|head| -row(&plan, (head, heads), 1, 0..1, &ParamValues::new())[0])
        .collect()
}

#[test]
fn alibi_slopes() {
    let file = golden("bias/alibi_slopes");
    let heads = list(&file["heads"]);
    assert_eq!(heads.len(), 24);
    for source in ["press", "bloom", "mpt"] {
        for (heads, expected) in heads.iter().zip(list(&file[source])) {
            let heads = size(heads);
            let what = format!("{source}, {heads} heads");
            close(
                &what,
                &slopes(json!({}), heads),
                &numbers(expected),
                F32,
                0.0,
            );
        }
    }
    for (key, heads) in [("mpt_bias_max16_h8", 8), ("mpt_bias_max16_h12", 12)] {
        let found = slopes(json!({ "bias_max": 16 }), heads);
        close(key, &found, &numbers(&file[key]), F32, 0.0);
    }
}

#[test]
fn alibi_bias() {
    let file = golden("bias/alibi_bias");
    let (heads, length) = (size(&file["heads"]), size(&file["seq"]));
    let alibi = plan("alibi", json!({}), &model(heads), length);
    let none = ParamValues::new();
    for head in 0..heads {
        // MPT's rows are centred on the last query; BLOOM's depend on the key alone, which is equal up to a constant
        // per row.
        let found = row(&alibi, (head, heads), length - 1, 0..length, &none);
        let centred = numbers(&file["mpt_hf_bias_h_1_k"][head][0]);
        close("mpt", &found, &centred, F32, 0.0);
        let from_first = |row: &[f64]| row.iter().map(|x| x - row[0]).collect::<Vec<_>>();
        let bloom = numbers(&file["bloom_bias_b_h_1_k"][0][head][0]);
        close("bloom", &from_first(&found), &from_first(&bloom), F32, 0.0);
    }
    let symmetric = &file["mpt_full_symmetric_1_h_q_k"][0];
    causal_matrix("symmetric", &alibi, &none, symmetric, (F32, 0.0));

    let falcon = &file["falcon_divides_by_sqrt_head_dim_example"];
    let (slope, distance) = (number(&falcon["slope"]), size(&falcon["distance"]));
    assert_eq!(size(&falcon["head_dim"]), model(16).head_dim);
    let before = plan(
        "alibi",
        json!({ "placement": "before-scale" }),
        &model(16),
        32,
    );
    // Of 16 heads the second has this slope.
    assert_eq!(slopes(json!({}), 16)[1], slope);
    let found = row(&before, (1, 16), distance, 0..1, &none);
    close("falcon", &found, &[number(&falcon["bias"])], F32, 0.0);
}

#[test]
fn t5_buckets() {
    let file = golden("bias/t5_buckets");
    for (name, entry) in entries(&file, "nb", 4) {
        let (buckets, max_distance) = name
            .strip_prefix("nb")
            .and_then(|rest| rest.split_once("_md"))
            .expect("nbN_mdM");
        let settings = json!({
            "buckets": buckets.parse::<usize>().unwrap(),
            "max_distance": max_distance.parse::<usize>().unwrap(),
        });
        let t5 = plan("t5", settings, &model(1), 16);
        let rows = buckets.parse::<usize>().unwrap();
        // A table that holds the number of each bucket shows the bucket of every distance.
        let params = ParamValues::from([("bias".into(), (0..rows).map(|b| b as f64).collect())]);
        let first = entry["rel_key_minus_query_first"].as_i64().unwrap();
        let expected = numbers(&entry["causal"]);
        assert_eq!(
            first + expected.len() as i64 - 1,
            entry["rel_last"].as_i64().unwrap()
        );
        let query = first.unsigned_abs() as usize;
        let found = row(&t5, (0, 1), query, 0..expected.len(), &params);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn t5_bias() {
    let file = golden("bias/t5_bias");
    let table: Vec<Vec<f64>> = list(&file["table_bucket_head"])
        .iter()
        .map(numbers)
        .collect();
    let heads = table[0].len();
    let by_head = (0..heads)
        .flat_map(|head| table.iter().map(move |row| row[head]))
        .collect();
    let params = ParamValues::from([("bias".into(), by_head)]);
    let t5 = plan("t5", json!({}), &model(heads), size(&file["T"]));
    causal_matrix("t5", &t5, &params, &file["causal_h_q_k"], (F32, 0.0));
}

#[test]
fn kerple() {
    let file = golden("bias/kerple");
    let heads = size(&file["H"]);
    let kind = |kind: &str| plan("kerple", json!({ "kind": kind }), &model(heads), 16);
    let params = |a: &str, p: &str| {
        ParamValues::from([
            ("a".into(), numbers(&file[a])),
            ("p".into(), numbers(&file[p])),
        ])
    };
    // Powers of small distances in f32.
    let tolerance = (F32, 1e-7);
    let log = kind("log");
    causal_matrix(
        "log",
        &log,
        &params("log_a", "log_p"),
        &file["log_bias_h_q_k"],
        tolerance,
    );
    let power = kind("power");
    causal_matrix(
        "power",
        &power,
        &params("pow_a", "pow_p"),
        &file["pow_bias_h_q_k"],
        tolerance,
    );

    let mut clamped = params("pow_a_raw2", "pow_p_raw2");
    for (name, values) in &mut clamped {
        let (low, high) = power
            .param(name)
            .and_then(|spec| spec.clamp)
            .expect("clamped");
        values.iter_mut().for_each(|x| *x = x.clamp(low, high));
        let expected = numbers(&file[format!("pow_{name}_after_clamp2")]);
        close(&format!("clamped {name}"), values, &expected, F32, 0.0);
    }
    causal_matrix(
        "clamped",
        &power,
        &clamped,
        &file["pow_bias2_h_q_k"],
        tolerance,
    );
    assert_eq!(number(&file["eps_clamp_min"]), 0.01);
    let clamp = |name: &str| log.param(name).and_then(|spec| spec.clamp);
    assert_eq!(
        (clamp("p"), clamp("a")),
        (Some((0.01, f64::INFINITY)), Some((0.01, f64::INFINITY)))
    );
}

#[test]
fn kerple_with_weights() {
    let file = golden("bias/kerple");
    let heads = size(&file["H"]);
    let plan = plan(
        "kerple",
        json!({ "kind": "weighted-power" }),
        &model(heads),
        16,
    );
    let params: ParamValues = [
        ("p", "w_bias_p"),
        ("a", "w_bias_a"),
        ("w_p", "w_wei_p"),
        ("w_a", "w_wei_a"),
    ]
    .map(|(name, key)| (name.to_string(), numbers(&file[key])))
    .into();
    for head in 0..heads {
        for i in 0..size(&file["T"]) {
            let raw = numbers(&file["w_scores_in"][head][i]);
            let score = |j: usize| {
                scalar::score(&plan, &raw[j..=j], (head, heads), i, j, 7, &params).unwrap()
            };
            let found: Vec<f64> = (0..=i).map(score).collect();
            let expected = &numbers(&file["w_scores_out"][head][i])[..=i];
            // Differences of nearly equal f32 numbers.
            close("weighted scores", &found, expected, F32, 1e-6);
        }
    }
}

#[test]
fn sandwich() {
    let file = golden("bias/sandwich");
    let heads = size(&file["H"]);
    let sandwich = |form: &str| {
        let settings = json!({ "form": form, "channels": file["dbar"] });
        plan("sandwich", settings, &model(heads), 16)
    };
    let none = ParamValues::new();
    // Sums of cosines of f32 angles.
    let tolerance = (F32, 2e-6);
    let (centred, expected) = (sandwich("centred"), &file["k_from1_centered_h_q_k"]);
    causal_matrix("centred", &centred, &none, expected, tolerance);
    let last = size(&file["T"]) - 1;
    for head in 0..heads {
        let found = row(&sandwich("paper"), (head, heads), last, 0..last + 1, &none);
        let expected = numbers(&file["k_from0_uncentered_row_last_h_k"][head]);
        close("paper", &found, &expected, tolerance.0, tolerance.1);
    }
}

#[test]
fn fire() {
    let file = golden("bias/fire");
    let (heads, length) = (size(&file["heads"]), size(&file["T"]));
    let settings = json!({ "hidden": file["mlp_width"], "init_length": file["init_L"] });
    let plan = plan("fire", settings, &model(heads), 16);
    let flat = |key: &str| -> Vec<f64> { list(&file[key]).iter().flat_map(numbers).collect() };
    let params = ParamValues::from([
        ("c".into(), vec![number(&file["c"])]),
        ("multiplier".into(), vec![number(&file["L_multiplier"])]),
        ("f.w1".into(), flat("w1_width_by_1")),
        ("f.b1".into(), numbers(&file["b1"])),
        ("f.w2".into(), flat("w2_heads_by_width")),
        ("f.b2".into(), numbers(&file["b2"])),
    ]);
    causal_matrix("fire", &plan, &params, &file["bias_h_q_k"], (F32, 1e-6));
    // Slopes of the sum of squares, by central differences in f64.
    for (name, key) in [
        ("c", "grad_c_of_sum_sq_causal_bias"),
        ("multiplier", "grad_Lmul"),
    ] {
        let loss = |moved: f64| -> f64 {
            let mut params = params.clone();
            params.get_mut(name).unwrap()[0] += moved;
            let of_row = |(head, query): (usize, usize)| -> f64 {
                let row = row(&plan, (head, heads), query, 0..query + 1, &params);
                row.iter().map(|x| x * x).sum()
            };
            (0..heads * length)
                .map(|x| of_row((x / length, x % length)))
                .sum()
        };
        let slope = (loss(1e-6) - loss(-1e-6)) / 2e-6;
        // A sum of 135 squares in f32.
        close(name, &[slope], &[number(&file[key])], 2e-5, 0.0);
    }
}

/// Factors of scores by the position of the query.
/// The authors' prior as training starts and with other parameters; the centre is a parameter only if it is learned.
#[test]
fn bam() {
    let file = golden("bias/bam");
    for (name, entry) in entries(&file, "", 3) {
        let heads = size(&entry["heads"]);
        let trained = name == "trained_h4";
        let settings = json!({ "learn_centre": trained });
        let plan = plan("bam", settings, &model(heads), 12);
        let params: ParamValues = match trained {
            false => start(&plan),
            true => ["shape", "scale", "centre"]
                .into_iter()
                .zip(["shape", "scale", "loc"])
                .map(|(ours, theirs)| (ours.to_string(), numbers(&entry[theirs])))
                .collect(),
        };
        causal_matrix(
            name,
            &plan,
            &params,
            &entry["bias_h_q_k"],
            (4.0 * F32, 1e-6),
        );
    }
}

fn start(plan: &Plan) -> ParamValues {
    let values = |spec: &farspan_attention::plan::ParamSpec| match &spec.init {
        Init::Constant(x) => vec![*x; spec.len()],
        Init::Values(values) => values.clone(),
        other => panic!("{other:?} is drawn"),
    };
    let params = plan.params.iter();
    params
        .map(|spec| (spec.name.clone(), values(spec)))
        .collect()
}
