//! `fused` against `naive`, values and all gradients.

use crate::attend::{Implementation, Mask, Params, attend, attend_packed};
use crate::expr::Expr;
use crate::plan::{Geometry, Init, Pairing, ParamSpec, Plan, QkRotation};
use crate::prepared::Prepared;
use crate::testing::{Case, case, noise};
use crate::{DType, Device, Tensor, Var};
use proptest::prelude::*;

mod bf16;
mod far;
mod forms;
mod layer;

/// f32 against f64 over sums of at most a few hundred terms.
const TOLERANCE: f64 = 1e-4;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        max_global_rejects: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn fused_equals_naive(case in case()) {
        let naive = case.run(Implementation::Naive, DType::F64).unwrap();
        prop_assume!(naive.is_tame() && case.is_regular());
        // Random formulas may lose digits; how many, the other implementation in f32 tells.
        let composed = case.run(Implementation::Composed, DType::F32).unwrap();
        let (usual, _) = naive.distance(&composed);
        prop_assume!(usual < 1e-3);
        // A query's factor multiplies the rounding errors of all gradients that pass through its scores.
        let gain = largest_query_scale(&case).max(1.0);
        prop_assume!(gain < 20.0);
        let fused = case.run(Implementation::Fused, DType::F32).unwrap();
        let (distance, place) = naive.distance(&fused);
        prop_assert!(distance < TOLERANCE * gain + 30.0 * usual, "{distance} at {place}; score {}", case.plan.score);
    }
}

fn largest_query_scale(case: &Case) -> f64 {
    let prepared = case.prepared();
    let compiled = prepared.compiled().unwrap();
    let learned = case
        .params()
        .into_iter()
        .map(|(name, _, values)| (name, values));
    let values = compiled.values(learned.collect()).unwrap();
    let heads = 0..case.geometry.heads;
    let table = compiled.query_scale.map(|table| &values.tables[table]);
    let all = table
        .iter()
        .flat_map(|table| heads.clone().flat_map(|head| table.row(0, head)));
    all.fold(0.0, |largest, x| largest.max(f64::from(x.abs())))
}

fn learned(name: &str, shape: &[usize]) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init: Init::Constant(0.5),
        learned: true,
        per_layer: false,
        clamp: None,
    }
}

/// Plans of the shapes that schemes have, for `heads` heads of `dim` channels.
fn plans(heads: usize, dim: usize) -> Vec<Plan> {
    let turn = |pairing, amplitude| {
        let inv_freq = (0..dim / 2).map(|p| 100f64.powf(-(2.0 * p as f64) / dim as f64));
        QkRotation::rotary(inv_freq.collect(), amplitude, pairing)
    };
    let plan = |score: &str, rotations: Vec<QkRotation>, params: Vec<ParamSpec>| {
        let score: Expr = score.parse().unwrap();
        Plan {
            score,
            rotations,
            params,
            ..Plan::default()
        }
    };
    let remap = |turn: QkRotation| {
        let mut far = turn.clone();
        far.query.position = crate::plan::Positions::All(Expr::Query / 4.0);
        far.key.position = crate::plan::Positions::All(Expr::Key / 4.0);
        vec![turn, far]
    };
    let head = |name| learned(name, &[heads]);
    let half = || turn(Pairing::HalfSplit, 1.1);
    let mut scaled = plan("raw", vec![half()], vec![head("a")]);
    scaled.query_scale = Some("1 + a[h] * log1p(q)".parse().unwrap());
    vec![
        plan("raw", vec![], vec![]),
        plan("raw", vec![half()], vec![]),
        plan("raw", vec![turn(Pairing::Interleaved, 1.0)], vec![]),
        plan("raw - 0.1 * max(q - k, 0)", vec![], vec![]),
        plan(
            "raw - a[h] * log1p(b[h] * max(q - k, 0))",
            vec![],
            vec![head("a"), head("b")],
        ),
        plan(
            "raw + t[h, log1p(max(q - k, 0)) * 3]",
            vec![half()],
            vec![learned("t", &[heads, 9])],
        ),
        plan("raw + t[q] + t[k]", vec![], vec![learned("t", &[5])]),
        plan(
            "raw + net f(log1p(c[0] * max(q - k, 0)) / log1p(c[0] * max(q, 16) + 0.1))",
            vec![],
            vec![
                learned("c", &[1]),
                learned("f.w1", &[6]),
                learned("f.b1", &[6]),
                learned("f.w2", &[heads, 6]),
                learned("f.b2", &[heads]),
            ],
        ),
        plan("select(q - k < 20, raw, raw1)", remap(half()), vec![]),
        plan("select(q - k < 30, raw, -inf)", vec![half()], vec![]),
        plan("8 * tanh(raw / 8) * a[h]", vec![], vec![head("a")]),
        scaled,
    ]
}

fn compare(case: &Case, text: &str) {
    let naive = case.run(Implementation::Naive, DType::F64).unwrap();
    let fused = case.run(Implementation::Fused, DType::F32).unwrap();
    let (distance, place) = naive.distance(&fused);
    assert!(
        distance < TOLERANCE,
        "{text}: {distance} at {place}; {} queries {:?} keys {:?} {:?} {:?}",
        case.plan.score,
        case.queries,
        case.keys,
        case.geometry,
        case.mask
    );
}

fn geometry(heads: usize, kv_heads: usize, head_dim: usize) -> Geometry {
    Geometry {
        layers: 1,
        width: 8,
        heads,
        kv_heads,
        head_dim,
        trained_length: 8,
    }
}

fn each(
    sizes: (usize, usize, usize),
    queries: std::ops::Range<usize>,
    keys: std::ops::Range<usize>,
    mask: &Mask,
    text: &str,
) {
    let (heads, kv_heads, dim) = sizes;
    for plan in plans(heads, dim) {
        let case = Case {
            plan,
            geometry: geometry(heads, kv_heads, dim),
            batch: 2,
            queries: queries.clone(),
            keys: keys.clone(),
            mask: mask.clone(),
            positions: None,
            seed: 7,
        };
        compare(&case, text);
    }
}

#[test]
fn lengths_across_tiles() {
    for n in [1, 7, 63, 64, 65, 129, 257] {
        each((2, 1, 8), 0..n, 0..n, &Mask::causal(), "causal");
    }
    each(
        (2, 2, 8),
        0..70,
        0..150,
        &Mask::default(),
        "everything visible",
    );
    each(
        (2, 2, 8),
        100..170,
        0..170,
        &Mask::causal(),
        "a late block of queries",
    );
    each(
        (2, 2, 8),
        3..60,
        10..140,
        &Mask::causal(),
        "queries before the first key",
    );
}

#[test]
fn shapes_of_heads() {
    for (heads, kv_heads, dim) in [(4, 1, 16), (6, 3, 10), (1, 1, 64), (2, 2, 100), (2, 1, 256)] {
        each(
            (heads, kv_heads, dim),
            0..75,
            0..75,
            &Mask::causal(),
            "shape",
        );
    }
}

#[test]
fn masks() {
    let documents: Vec<u32> = (0..200)
        .map(|i| (i >= 37) as u32 + (i >= 140) as u32)
        .collect();
    for causal in [true, false] {
        for (window, sinks, documents) in [
            (Some(10), 0, None),
            (Some(70), 3, None),
            (Some(0), 0, None),
            (None, 0, Some(documents.clone())),
            (Some(33), 2, Some(documents.clone())),
        ] {
            let mask = Mask {
                causal,
                window,
                sinks,
                documents,
            };
            each((2, 1, 8), 0..200, 0..200, &mask, "mask");
        }
    }
}

#[test]
fn empty_calls() {
    for (queries, keys) in [(0..0, 0..5), (0..3, 0..0), (0..0, 0..0)] {
        each((2, 1, 8), queries, keys, &Mask::causal(), "empty");
    }
}

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let values: Vec<f32> = noise(seed, shape.iter().product())
        .iter()
        .map(|x| *x as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::cpu()).unwrap()
}

#[test]
fn nan_reaches_what_sees_it_and_nothing_before() {
    let n = 150;
    let prepared = Prepared::new(
        &Plan::default(),
        &geometry(1, 1, 8),
        0..n,
        0..n,
        &Device::cpu(),
    )
    .unwrap();
    for input in 0..3 {
        let mut parts = [1, 2, 3].map(|seed| random(seed, &[1, 1, n, 8]).to_flat::<f32>().unwrap());
        parts[input][140 * 8 + 3] = f32::NAN;
        let [q, k, v] = parts.map(|x| Tensor::from_vec(x, (1, 1, n, 8), &Device::cpu()).unwrap());
        let out = attend(
            &q,
            &k,
            &v,
            &prepared,
            &Params::new(),
            &Mask::causal(),
            Implementation::Fused,
        );
        let out = out.unwrap().output.to_flat::<f32>().unwrap();
        // Rows of earlier blocks; within its tile, a hidden NaN may spread.
        assert!(out[..64 * 8].iter().all(|x| x.is_finite()));
        assert!(
            out[140 * 8..141 * 8].iter().any(|x| x.is_nan()),
            "input {input}"
        );
        let after = &out[149 * 8..];
        assert!(
            input == 0 || after.iter().any(|x| x.is_nan()),
            "input {input}"
        );
    }
}

#[test]
fn what_it_cannot_run_is_named() {
    let prepared = Prepared::new(
        &Plan::default(),
        &geometry(1, 1, 2),
        0..3,
        0..3,
        &Device::cpu(),
    )
    .unwrap();
    let x = random(1, &[1, 1, 3, 2]).to_dtype(DType::F64).unwrap();
    let run = |which| {
        attend(
            &x,
            &x,
            &x,
            &prepared,
            &Params::new(),
            &Mask::causal(),
            which,
        )
    };
    let message = run(Implementation::Fused).unwrap_err().to_string();
    assert!(message.contains("f32"), "{message}");
    assert_eq!(
        run(Implementation::Auto).unwrap().implementation,
        "composed"
    );
}
