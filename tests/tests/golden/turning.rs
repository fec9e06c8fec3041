//! Schemes whose rotation is a function of tensors: what attention under their hooks gives, against published numbers.
//!
//! Files hold scores or turned vectors; what comes out of attention is the output. Values that are unit vectors make it
//! the shares of the softmax, whose logarithms are the scores up to a constant per query.

use super::tensors::{f64s as tensor, flat};
use super::{close, golden, list, number, numbers, plan, size};
use farspan_attention::attend::{INPUT, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use serde_json::{Value, json};

/// Scores are differences of logarithms of f64 shares; the recorded ones are sums of a few f32 products.
const SCORE: (f64, f64) = (2e-6, 2e-6);

/// A parameter as the file nests it.
pub(crate) fn param(name: &str, value: &Value) -> (String, Tensor) {
    (name.into(), super::tensors::tensor(value))
}

pub(crate) fn model(heads: usize, kv_heads: usize, head_dim: usize) -> Geometry {
    Geometry {
        layers: 1,
        width: 8,
        heads,
        kv_heads,
        head_dim,
        trained_length: 64,
    }
}

/// Scores (heads, tokens, tokens) of q and k (heads, tokens, head_dim) up to a constant per query, the first token
/// standing at `first`; `None` where no token sees another. Differences from the first key of the row.
pub(crate) fn scores(
    plan: &Plan,
    model: &Geometry,
    (q, k): (&[f64], &[f64]),
    params: &Params,
    first: usize,
) -> Vec<f64> {
    let d = model.head_dim;
    let tokens = q.len() / (model.heads * d);
    let at = first..first + tokens;
    let prepared = Prepared::new(plan, model, at.clone(), at, &Device::cpu()).unwrap();
    let q = tensor(q.to_vec(), &[1, model.heads, tokens, d]);
    let k = tensor(k.to_vec(), &[1, model.kv_heads, tokens, d]);
    // Unit vectors, as many at once as a value has channels.
    let mut shares = vec![0.0; model.heads * tokens * tokens];
    for start in (0..tokens).step_by(d) {
        let unit = |t: usize| (0..d).map(move |c| f64::from(u8::from(t == start + c)));
        let v = (0..model.kv_heads)
            .flat_map(|_| (0..tokens).flat_map(unit))
            .collect();
        let v = tensor(v, &[1, model.kv_heads, tokens, d]);
        let mask = Mask::causal();
        let found = attend(&q, &k, &v, &prepared, params, &mask, Implementation::Auto).unwrap();
        let found: Vec<f64> = found.output.to_flat().unwrap();
        for row in 0..model.heads * tokens {
            for c in 0..d.min(tokens - start) {
                shares[row * tokens + start + c] = found[row * d + c];
            }
        }
    }
    let row = |row: &[f64]| row.iter().map(|p| (p / row[0]).ln()).collect::<Vec<_>>();
    shares.chunks(tokens).flat_map(row).collect()
}

/// `found` (heads, tokens, tokens) against recorded scores that are not yet scaled by `scale`, below the diagonal.
#[track_caller]
pub(crate) fn same_scores(what: &str, found: &[f64], expected: &[Vec<f64>], scale: f64) {
    let tokens = expected[0].len();
    for (row, expected) in expected.iter().enumerate() {
        let seen = row % tokens + 1;
        let expected: Vec<f64> = expected[..seen]
            .iter()
            .map(|x| (x - expected[0]) * scale)
            .collect();
        let found = &found[row * tokens..][..seen];
        close(
            &format!("{what}, row {row}"),
            found,
            &expected,
            SCORE.0,
            SCORE.1,
        );
    }
}

pub(crate) fn rows(value: &Value) -> Vec<Vec<f64>> {
    list(value).iter().map(numbers).collect()
}

fn heads_of_rows(value: &Value) -> Vec<Vec<f64>> {
    list(value).iter().flat_map(rows).collect()
}

#[test]
fn coca() {
    let file = golden("rotary/coca");
    let d = size(&file["head_dim"]);
    let model = model(1, 1, d);
    let (q, k) = (flat(&file["q"]), flat(&file["t_proj_output"]));
    for (form, key) in [
        ("collinear", "logits_collinear_definition"),
        ("released", "logits_released_code"),
    ] {
        let settings = json!({ "form": form, "base": file["rope_theta"] });
        let plan = plan("coca", settings, &model, 64);
        for (first, suffix) in [(0, ""), (17, "_positions_plus_17")] {
            let found = scores(&plan, &model, (&q, &k), &Params::new(), first);
            // They are scaled already.
            let expected = rows(&file[format!("{key}{suffix}")]);
            same_scores(&format!("{form}{suffix}"), &found, &expected, 1.0);
        }
    }
}

#[test]
fn pope() {
    let file = golden("rotary/pope");
    let (heads, d) = (size(&file["heads"]), size(&file["dim"]));
    let model = model(heads, heads, d);
    let plan = plan("pope", json!({ "base": file["theta"] }), &model, 64);
    let params = Params::from([param("pope.bias", &file["bias"])]);
    let qk = (flat(&file["q"]), flat(&file["k"]));
    for first in [0, 5] {
        let found = scores(&plan, &model, (&qk.0, &qk.1), &params, first);
        let expected = heads_of_rows(&file["logits_unscaled"]);
        same_scores("pope", &found, &expected, (d as f64).powf(-0.5));
    }
}

#[test]
fn rope_plus_plus() {
    let file = golden("rotary/rope_plus_plus");
    let d = size(&file["head_dim"]);
    let model = model(2, 2, d);
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let expected = [
        rows(&file["logits_real_unscaled"]),
        rows(&file["logits_imag_unscaled"]),
    ]
    .concat();
    let other: Vec<f64> = q.iter().map(|x| 0.5 - x).collect();
    for (queries, q, k) in [
        ("own", [q.clone(), q.clone()].concat(), k.repeat(2)),
        // What the odd head projects does not matter.
        ("shared", [q, other.clone()].concat(), [k, other].concat()),
    ] {
        let settings = json!({ "queries": queries, "base": file["rope_theta"] });
        let plan = plan("rope-plus-plus", settings, &model, 64);
        let found = scores(&plan, &model, (&q, &k), &Params::new(), 0);
        same_scores(queries, &found, &expected, (d as f64).powf(-0.5));
    }
}

/// Increments are given through an identity: unit inputs are not, so the file's increments pass the projection alone.
#[test]
fn selective_rope() {
    let file = golden("rotary/selective_rope");
    let d = size(&file["head_dim"]);
    let tokens = list(&file["phi_increment"]).len();
    // One channel of the input for each token, all others 0: x̂ is a unit vector, so U·D holds the increments by column.
    let model = Geometry {
        width: tokens,
        ..model(1, 1, d)
    };
    let settings = json!({
        "base": file["temp_theta"],
        "rank": tokens,
        "kernel": 2,
    });
    let plan = plan("selective-rope", settings, &model, 64);
    let unit = |n: usize| {
        (0..n * n)
            .map(|i| f64::from(u8::from(i / n == i % n)))
            .collect::<Vec<_>>()
    };
    let increments = rows(&file["phi_increment"]);
    let by_pair: Vec<f64> = (0..d / 2)
        .flat_map(|p| increments.iter().map(move |row| row[p]))
        .collect();
    let params = Params::from([
        ("phase.down".into(), tensor(unit(tokens), &[tokens, tokens])),
        ("phase.up".into(), tensor(by_pair, &[d / 2, tokens])),
        // The last tap alone: the convolution is the identity.
        (
            "phase.filter".into(),
            tensor([0.0, 1.0].repeat(d / 2), &[d / 2, 2]),
        ),
        (INPUT.into(), tensor(unit(tokens), &[1, tokens, tokens])),
    ]);
    let (q, k) = (flat(&file["q"]), flat(&file["k"]));
    let found = scores(&plan, &model, (&q, &k), &params, 0);
    let (q, k) = (rows(&file["q_out"]), rows(&file["k_out"]));
    let product = |q: &Vec<f64>, k: &Vec<f64>| q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>();
    let expected: Vec<Vec<f64>> = q
        .iter()
        .map(|q| k.iter().map(|k| product(q, k)).collect())
        .collect();
    same_scores("selective-rope", &found, &expected, (d as f64).powf(-0.5));
}

#[test]
fn grape() {
    let file = golden("rotary/grape");
    let planar = &file["planar_clockwise"];
    let d = size(&planar["head_dim"]);
    let model = model(1, 1, d);
    let base = &planar["rope_theta"];
    let speeds = |plan: &Plan| {
        let farspan_attention::plan::Init::Values(values) = &plan.params[0].init else {
            panic!("{:?}", plan.params[0].init)
        };
        (
            "grape.log_speed".to_string(),
            tensor(values.clone(), &[1, d / 2]),
        )
    };
    let group = plan("grape", json!({ "base": base }), &model, 64);
    let params = Params::from([speeds(&group)]);
    // x as queries and as keys: products of what came out.
    let x = flat(&planar["x"]);
    let found = scores(&group, &model, (&x, &x), &params, 0);
    let out = rows(&planar["out"]);
    let product = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let expected: Vec<Vec<f64>> = out
        .iter()
        .map(|a| out.iter().map(|b| product(a, b)).collect())
        .collect();
    same_scores("grape", &found, &expected, (d as f64).powf(-0.5));

    // Paces to phases, exclusive of the token itself: the same as RoPE at those positions.
    let context = &file["context_phase_exclusive_cumsum"];
    let (paces, phases) = (numbers(&context["omega"]), numbers(&context["phi"]));
    let tokens = paces.len();
    let settings = json!({ "base": base, "contextual": true, "kappa": 1 });
    let group = plan("grape", settings, &model, 64);
    // σ(w·x) = ω for an input whose first channel is ln(ω / (1 − ω)).
    let input = paces
        .iter()
        .flat_map(|w| [vec![(w / (1.0 - w)).ln()], vec![0.0; 7]].concat())
        .collect();
    let pick = [vec![1.0], vec![0.0; 7]].concat();
    let params = Params::from([
        speeds(&group),
        ("grape.pace".into(), tensor(pick, &[1, 8])),
        ("grape.pace_bias".into(), tensor(vec![0.0], &[1])),
        (INPUT.into(), tensor(input, &[1, tokens, 8])),
    ]);
    let found = scores(&group, &model, (&x, &x), &params, 0);
    let rope = plan("rope", json!({ "base": base }), &model, 64);
    let matrix = |i: usize, j: usize| -> f64 {
        let inv_freq = farspan_attention::scalar::inv_freq(&rope, 0).unwrap();
        let (q, k) = (&x[i * d..][..d], &x[j * d..][..d]);
        let pair = |p: usize| {
            let ((a, b), (c, e)) = ((q[p], q[p + d / 2]), (k[p], k[p + d / 2]));
            let angle = (phases[i] - phases[j]) * inv_freq[p];
            // Products are the same for both directions of turning only if the angle is turned over too.
            (a * c + b * e) * angle.cos() + (b * c - a * e) * angle.sin()
        };
        (0..d / 2).map(pair).sum()
    };
    let expected: Vec<Vec<f64>> = (0..tokens)
        .map(|i| (0..tokens).map(|j| matrix(i, j)).collect())
        .collect();
    same_scores("grape in context", &found, &expected, (d as f64).powf(-0.5));

    let first = &file["effective_initial_omega"];
    let group = plan("grape", json!({ "contextual": true }), &model, 64);
    let bias = &group.params[2];
    let farspan_attention::plan::Init::Constant(bias) = bias.init else {
        panic!("{bias:?}")
    };
    close("bias", &[bias], &[number(&first["bias"])], 1e-8, 0.0);
    assert_eq!(number(&first["scale"]), 16.0);
    let pace = 1.0 / (1.0 + (-bias / 16.0).exp());
    let recorded = number(&first["sigmoid_bias_over_scale"]);
    close("first pace", &[pace], &[recorded], 1e-8, 0.0);
}

/// Frequencies are read from the angle between two tokens, one pair at a time.
#[test]
fn clex() {
    let file = golden("rotary/clex");
    for (name, entry) in super::entries(&file, "", 3) {
        let d = size(&entry["head_dim"]);
        let model = Geometry {
            trained_length: 4,
            ..model(1, 1, d)
        };
        let columns = list(entry.get("down").unwrap_or(&json!(vec![0; d]))).len();
        let params = match entry.get("up") {
            Some(up) => Params::from([param("clex.up", up), param("clex.down", &entry["down"])]),
            None => Params::from([
                (
                    "clex.up".into(),
                    tensor(vec![0.3; d / 2 * columns], &[d / 2, columns]),
                ),
                (
                    "clex.down".into(),
                    tensor(vec![0.0; d / 2 * columns], &[columns, d / 2]),
                ),
            ]),
        };
        for (t, expected) in list(&entry["t"]).iter().zip(list(&entry["inv_freq_by_t"])) {
            let settings = json!({
                "base": entry["rope_theta"],
                "step": entry.get("time_dt").unwrap_or(&json!(0.1)),
                "width_factor": columns / d,
            });
            let plan = plan("clex", settings, &model, 4 * size(t));
            let expected = numbers(expected);
            let found: Vec<f64> = (0..d / 2)
                .map(|p| angle(&plan, &model, &params, p))
                .collect();
            // The authors solve in f32 (3e-6 from the closed form), and angles come back from a cosine.
            close(&format!("{name} at {t}"), &found, &expected, 2e-5, 1e-8);
        }
    }
}

/// The angle of one token of pair `p`, in (0, π), from the scores of the second token of a text for both.
fn angle(plan: &Plan, model: &Geometry, params: &Params, p: usize) -> f64 {
    let d = model.head_dim;
    let unit = |c: usize| (0..d).map(move |i| f64::from(u8::from(i == c)));
    // ⟨y, Rot(x)⟩ for the first key is sin, for the second, which is y itself, 0.
    let (x, y) = (p, p + d / 2);
    let q: Vec<f64> = unit(x).chain(unit(y)).collect();
    let k: Vec<f64> = unit(x).chain(unit(x)).collect();
    let row = |q: &[f64]| scores(plan, model, (q, &k), params, 0)[3];
    let scale = (d as f64).sqrt();
    let first_minus_second = -row(&q) * scale;
    // Second query y: score for key x one token back is −sin of the angle, for key x at its side 0.
    let sin = -first_minus_second;
    let q: Vec<f64> = unit(x).chain(unit(x)).collect();
    let cos = 1.0 - row(&q) * scale;
    sin.atan2(cos)
}
