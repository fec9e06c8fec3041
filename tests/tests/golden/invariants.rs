//! What must hold of contextual schemes whatever the numbers: special parameters make them schemes that are known.

use super::tensors::{f64s, model, params, run};
use super::{close, plan};
use farspan_attention::Tensor;
use farspan_attention::attend::{INPUT, Params};
use farspan_attention::plan::Plan;
use serde_json::{Value, json};

const HEADS: usize = 2;
const DIM: usize = 4;
const WIDTH: usize = 6;
const TOKENS: usize = 9;
/// Both sides are computed in f64.
const EXACT: f64 = 1e-12;

pub(crate) fn waves(shape: &[usize], speed: f64) -> Tensor {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| 1.5 * (speed * (i + 1) as f64).sin();
    f64s((0..count).map(value).collect(), shape)
}

fn qkv() -> [Tensor; 3] {
    [1.3, 2.1, 0.7].map(|speed| waves(&[1, HEADS, TOKENS, DIM], speed))
}

fn of(id: &str, settings: Value) -> Plan {
    plan(id, settings, &model(HEADS, DIM, WIDTH), TOKENS)
}

/// The learned parameters of a plan, those named in `zero` 0, and an input.
pub(crate) fn filled(plan: &Plan, zero: &[&str]) -> Params {
    let mut given = params([(INPUT, waves(&[1, TOKENS, WIDTH], 0.9))]);
    for (i, spec) in plan.params.iter().filter(|spec| spec.learned).enumerate() {
        let values = waves(&spec.shape, 1.7 + 0.2 * i as f64);
        let factor = if zero.contains(&spec.name.as_str()) {
            0.0
        } else {
            1.0
        };
        // Clamped parameters are positive.
        let values = if spec.clamp.is_some() {
            values.abs().unwrap()
        } else {
            values
        };
        given.insert(spec.name.clone(), values.affine(factor, 0.0).unwrap());
    }
    given
}

fn output(plan: &Plan, [q, k, v]: &[Tensor; 3], given: &Params) -> Vec<f64> {
    run(plan, &model(HEADS, DIM, WIDTH), [q, k, v], given)
}

#[track_caller]
fn same(what: &str, found: &[f64], expected: &[f64]) {
    close(what, found, expected, EXACT, EXACT);
}

#[test]
fn tables_of_zeros_leave_plain_attention() {
    let inputs = qkv();
    let plain = output(&of("nope", json!({})), &inputs, &Params::new());
    for (id, settings, zero) in [
        ("shaw", json!({}), vec!["to_keys", "to_values"]),
        (
            "shaw",
            json!({ "values": false, "clip": 1 }),
            vec!["to_keys"],
        ),
        ("huang-m4", json!({}), vec!["table"]),
        (
            "transformer-xl",
            json!({}),
            vec!["to_content", "to_position", "w"],
        ),
        ("distance-bank", json!({}), vec!["bank"]),
        ("cope", json!({}), vec!["table"]),
        (
            "dape",
            json!({ "base": "none", "kernel": 3 }),
            vec!["w2", "b2"],
        ),
    ] {
        let plan = of(id, settings);
        same(id, &output(&plan, &inputs, &filled(&plan, &zero)), &plain);
        let moved = output(&plan, &inputs, &filled(&plan, &[]));
        assert!(
            moved.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-3),
            "{id}"
        );
    }
}

/// Weights that are alike over the channels of a distance are method 1's numbers, and one channel alone is one product.
#[test]
fn huang_m3_weighs_channels() {
    let inputs = qkv();
    let rows = json!({ "rows": TOKENS });
    let (m1, m3) = (of("huang-m1", rows.clone()), of("huang-m3", rows));
    let weights = waves(&[TOKENS, 1], 1.1);
    let flat = weights.reshape(TOKENS).unwrap();
    let name = m1.params[0].name.as_str();
    let expected = output(&m1, &inputs, &params([(name, flat)]));
    let alike = weights.broadcast_as((TOKENS, DIM)).unwrap();
    let alike = params([("table", alike.contiguous().unwrap())]);
    same("huang-m3", &output(&m3, &inputs, &alike), &expected);

    let only = |c: usize| (0..TOKENS * DIM).map(move |i| f64::from(u8::from(i % DIM == c)));
    let [q, k, v] = inputs;
    for channel in 0..DIM {
        let table = params([("table", f64s(only(channel).collect(), &[TOKENS, DIM]))]);
        let found = output(&m3, &[q.clone(), k.clone(), v.clone()], &table);
        let mask = f64s(only(channel).take(DIM).collect(), &[1, 1, 1, DIM]);
        let q = q.broadcast_mul(&mask).unwrap();
        let plain = of("nope", json!({}));
        let expected = output(&plain, &[q, k.clone(), v.clone()], &Params::new());
        same("huang-m3", &found, &expected);
    }
}

#[test]
fn deberta_without_an_embedding_is_content_at_a_third() {
    let [q, k, v] = qkv();
    let deberta = of("deberta", json!({}));
    let zero = ["embedding", "key_bias", "query_bias"];
    let found = output(
        &deberta,
        &[q.clone(), k.clone(), v.clone()],
        &filled(&deberta, &zero),
    );
    let third = q.affine(3f64.sqrt().recip(), 0.0).unwrap();
    same(
        "deberta",
        &found,
        &output(&of("nope", json!({})), &[third, k, v], &Params::new()),
    );
}

#[test]
fn gates_that_are_open_leave_plain_attention() {
    let inputs = qkv();
    let plain = output(&of("nope", json!({})), &inputs, &Params::new());
    for (id, bias) in [("fox", 60.0), ("cable", -60.0)] {
        let plan = of(id, json!({}));
        let mut given = filled(&plan, &["w"]);
        given.insert("b".into(), f64s(vec![bias; HEADS], &[HEADS]));
        same(id, &output(&plan, &inputs, &given), &plain);
    }
}

#[test]
fn constant_gates_are_full_gates_of_their_biases() {
    let inputs = qkv();
    let (full, constant) = (
        of("fox", json!({})),
        of("fox", json!({ "gate": "bias-only" })),
    );
    let given = filled(&full, &["w"]);
    let expected = output(&constant, &inputs, &given);
    same("fox", &output(&full, &inputs, &given), &expected);
    // Cable's logit has the other sign.
    let mut flipped = given.clone();
    flipped.insert("b".into(), given["b"].neg().unwrap());
    same(
        "cable",
        &output(&of("cable", json!({})), &inputs, &flipped),
        &expected,
    );
}

/// Where every gate is open, the count is the distance plus one.
#[test]
fn cope_with_open_gates_counts_tokens() {
    let [q, k, v] = qkv();
    let open = q.affine(0.0, 0.0).unwrap().affine(1.0, 1.0).unwrap();
    let rows = TOKENS + 1;
    let cope = of("cope", json!({ "rows": rows, "gate": "values" }));
    let given = filled(&cope, &[]);
    // Queries and values whose products are large and positive.
    let v = v.abs().unwrap().affine(1000.0, 1000.0).unwrap();
    let found = output(&cope, &[open.clone(), k.clone(), v.clone()], &given);
    let shaw = of("shaw", json!({ "clip": TOKENS - 1, "values": false }));
    let table = given["table"].t().unwrap().narrow(0, 1, TOKENS).unwrap();
    let table = params([("to_keys", table.contiguous().unwrap())]);
    let expected = output(&shaw, &[open, k, v], &table);
    close("cope", &found, &expected, 1e-9, 0.0);
}

#[test]
fn selective_attention_without_votes_is_plain() {
    let [q, k, v] = qkv();
    // The first head's scores are all below 0.
    let signs: Vec<f64> = (0..HEADS * TOKENS * DIM)
        .map(|i| if i < TOKENS * DIM { -1.0 } else { 1.0 })
        .collect();
    let signs = f64s(signs, &[1, HEADS, TOKENS, DIM]);
    let q = q.abs().unwrap().mul(&signs).unwrap();
    let inputs = [q, k.abs().unwrap(), v];
    let plain = output(&of("nope", json!({})), &inputs, &Params::new());
    same(
        "selective",
        &output(&of("selective", json!({})), &inputs, &Params::new()),
        &plain,
    );
}

#[test]
fn dape_without_its_network_is_its_base() {
    let inputs = qkv();
    for base in ["kerple", "alibi"] {
        for kernel in [1, 3] {
            let dape = of("dape", json!({ "base": base, "kernel": kernel }));
            let given = filled(&dape, &["w2", "b2"]);
            let expected = output(&of(base, json!({})), &inputs, &given);
            same(base, &output(&dape, &inputs, &given), &expected);
        }
    }
}

/// A convolution whose outer taps are 0 sees one key.
#[test]
fn dape_v2_holds_v1() {
    let inputs = qkv();
    let (v1, v2) = (of("dape", json!({})), of("dape", json!({ "kernel": 3 })));
    let given = filled(&v1, &[]);
    let mut wide = given.clone();
    for name in ["w1", "w2"] {
        let weight = &given[name];
        let none = weight.affine(0.0, 0.0).unwrap();
        let taps = Tensor::cat(&[&none, weight, &none], 2).unwrap();
        wide.insert(name.into(), taps);
    }
    let expected = output(&v1, &inputs, &given);
    same("dape", &output(&v2, &inputs, &wide), &expected);
}

#[test]
fn shares_sum_to_one() {
    let [q, k, v] = qkv();
    let ones = v.affine(0.0, 1.0).unwrap();
    for own in [true, false] {
        let stick = of("stick-breaking", json!({ "attend_current": own }));
        let found = output(
            &stick,
            &[q.clone(), k.clone(), ones.clone()],
            &Params::new(),
        );
        same("stick-breaking", &found, &vec![1.0; found.len()]);
    }
    // The same value vector at every distance arrives whole.
    let shaw = of("shaw", json!({ "clip": 3 }));
    let mut given = filled(&shaw, &[]);
    given.insert("to_values".into(), f64s(vec![1.0; 4 * DIM], &[4, DIM]));
    let found = output(&shaw, &[q, k, v.affine(0.0, 0.0).unwrap()], &given);
    same("shaw", &found, &vec![1.0; found.len()]);
}

/// Nearer shares do not know how many keys lie behind them.
#[test]
fn stick_breaking_shares_do_not_depend_on_farther_keys() {
    let [q, k, v] = qkv();
    let stick = of("stick-breaking", json!({ "remainder": false }));
    let run_on = |k: &Tensor| {
        // The first three values are 0, so that their shares do not show.
        let none = v.narrow(2, 0, 3).unwrap().affine(0.0, 0.0).unwrap();
        let rest = v.narrow(2, 3, TOKENS - 3).unwrap();
        let v = Tensor::cat(&[&none, &rest], 2).unwrap();
        output(&stick, &[q.clone(), k.clone(), v], &Params::new())
    };
    let (far, near) = (
        k.narrow(2, 0, 3).unwrap(),
        k.narrow(2, 3, TOKENS - 3).unwrap(),
    );
    let moved = Tensor::cat(&[&far.affine(-3.0, 0.4).unwrap(), &near], 2).unwrap();
    same("stick-breaking", &run_on(&moved), &run_on(&k));
}

#[test]
fn far_distances_are_alike_past_the_end_of_a_table() {
    let [q, k, v] = qkv();
    for (id, settings, ends_at) in [
        ("shaw", json!({ "clip": 3, "values": false }), 3),
        ("transformer-xl", json!({ "clamp": 3 }), 3),
        ("distance-bank", json!({ "extent": 3 }), 3),
        // Buckets 0, 1, 2, 3 hold distances 0, 1, 2, 3 and farther.
        ("deberta", json!({ "buckets": 4, "max_distance": 4 }), 3),
    ] {
        let plan = of(id, settings);
        let given = filled(&plan, &[]);
        let last = |k: &Tensor, v: &Tensor| {
            let output = output(&plan, &[q.clone(), k.clone(), v.clone()], &given);
            output[(TOKENS - 1) * DIM..TOKENS * DIM].to_vec()
        };
        let exchanged = |x: &Tensor, a: usize, b: usize| {
            let order = (0..TOKENS).map(|t| match t {
                t if t == a => b,
                t if t == b => a,
                t => t,
            });
            let rows: Vec<_> = order.map(|t| x.narrow(2, t, 1).unwrap()).collect();
            Tensor::cat(&rows.iter().collect::<Vec<_>>(), 2).unwrap()
        };
        let whole = last(&k, &v);
        // The first and the fourth key are at distances 8 and 5 of the last query; the last but one is at 1.
        assert!(TOKENS - 1 - 3 > ends_at);
        same(
            id,
            &last(&exchanged(&k, 0, 3), &exchanged(&v, 0, 3)),
            &whole,
        );
        let near = last(&exchanged(&k, 0, TOKENS - 2), &exchanged(&v, 0, TOKENS - 2));
        assert!(
            near.iter().zip(&whole).any(|(a, b)| (a - b).abs() > 1e-6),
            "{id}"
        );
    }
}
