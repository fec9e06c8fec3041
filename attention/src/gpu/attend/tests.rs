//! Generated kernels against `naive`, values and all gradients, and under naga's eyes.

use super::text::TILE;
use super::{Fused, Params};
use crate::attend::Implementation;
use crate::gpu::tests::context;
use crate::gpu::{Array, Traced, validate};
use crate::mask::Mask;
use crate::plan::{Geometry, Init, Pairing, ParamSpec, Plan, QkRotation};
use crate::testing::{Case, Outcome, case, noise};
use crate::{DType, Precision};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What is computed there against f64, over sums of a few terms.
fn tolerance() -> f64 {
    match context().precision() {
        Precision::F32 | Precision::Tf32 => 1e-4,
        Precision::Bf16 => 2e-2,
    }
}

/// Runs the call as [`Case::run`] does.
fn run(case: &Case) -> crate::Result<Outcome> {
    let context = context();
    let variable = |values: &[f64], dims: &[usize]| {
        let values: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        Traced::variable(&Array::from_f32(context, &values, dims)?)
    };
    let geometry = case.geometry;
    let queries = [
        case.batch,
        geometry.heads,
        case.queries.len(),
        geometry.head_dim,
    ];
    let keys = [
        case.batch,
        geometry.kv_heads,
        case.keys.len(),
        geometry.head_dim,
    ];
    let drawn =
        |seed: u64, dims: &[usize]| variable(&noise(case.seed + seed, dims.iter().product()), dims);
    let mut vars = vec![
        ("q".to_string(), drawn(1, &queries)?),
        ("k".to_string(), drawn(2, &keys)?),
        ("v".to_string(), drawn(3, &keys)?),
    ];
    let mut params = Params::new();
    for (name, shape, values) in case.params() {
        let var = variable(&values, &shape)?;
        params.insert(name.clone(), var.clone());
        vars.push((name, var));
    }
    let fused = Fused::new(context, &case.prepared(), &case.mask, case.batch)?;
    for (name, text) in fused.kernels().texts() {
        // Kernels for tensor cores are no kernels of wgpu.
        if context.precision() != Precision::Bf16 {
            validate(text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
        }
    }
    let output = fused.attend(&vars[0].1, &vars[1].1, &vars[2].1, &params)?;
    let weights = drawn(4, &queries)?.detach();
    let gradients = output.mul(&weights)?.backward()?;
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let mut values = BTreeMap::from([("output".to_string(), wide(output.array().to_f32()?))]);
    for (name, var) in &vars {
        let gradient = match gradients.get(var) {
            Some(gradient) => wide(gradient.to_f32()?),
            None => vec![0.0; var.array().count()],
        };
        values.insert(name.clone(), gradient);
    }
    Ok(Outcome { values })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Every case compiles three kernels.
        cases: 30,
        max_global_rejects: 20_000,
        failure_persistence: None,
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    })]

    #[test]
    fn generated_kernels_equal_naive(case in case()) {
        let naive = case.run(Implementation::Naive, DType::F64).unwrap();
        prop_assume!(naive.is_tame() && case.is_regular());
        // Random formulas may lose digits; how many, another implementation in f32 tells.
        let composed = case.run(Implementation::Composed, DType::F32).unwrap();
        let (usual, _) = naive.distance(&composed);
        prop_assume!(usual < 1e-4);
        let found = run(&case).unwrap();
        let (distance, place) = naive.distance(&found);
        prop_assert!(distance < tolerance() + 30.0 * usual, "{distance} at {place}; score {}", case.plan.score);
    }
}

/// A call of some scheme's kind that random plans are too short for.
fn long(score: &str, shapes: &[(&str, &[usize])], mask: Mask, sizes: [usize; 4]) -> Case {
    let [queries, keys, heads, kv_heads] = sizes;
    let spec = |(name, shape): &(&str, &[usize])| ParamSpec {
        name: name.to_string(),
        shape: shape.to_vec(),
        init: Init::Constant(0.5),
        learned: true,
        per_layer: false,
        clamp: None,
    };
    let rotary = QkRotation::rotary(vec![1.0, 0.1, 0.01], 1.0, Pairing::HalfSplit);
    Case {
        plan: Plan {
            rotations: vec![rotary],
            score: score.parse().unwrap(),
            params: shapes.iter().map(spec).collect(),
            ..Plan::default()
        },
        geometry: Geometry {
            layers: 1,
            width: 8,
            heads,
            kv_heads,
            head_dim: 6,
            trained_length: 64,
        },
        batch: 2,
        queries: keys - queries..keys,
        keys: 0..keys,
        mask,
        positions: None,
        seed: 11,
    }
}

#[track_caller]
fn agrees(case: &Case) {
    let naive = case.run(Implementation::Naive, DType::F64).unwrap();
    let (distance, place) = naive.distance(&run(case).unwrap());
    assert!(
        distance < 2.0 * tolerance(),
        "{distance} at {place}; score {}",
        case.plan.score
    );
}

#[test]
fn calls_longer_than_a_workgroup() {
    let causal = Mask::causal;
    // Slopes by head, grouped heads.
    agrees(&long(
        "raw - slope[h] * (q - k)",
        &[("slope", &[4])],
        causal(),
        [131, 131, 4, 2],
    ));
    // Logarithmic buckets of a learned table; queries at the end of the keys.
    let buckets = "raw + t[h, min(select(q - k < 8, q - k, 8 + floor(4 * ln((q - k) / 8))), 15)]";
    agrees(&long(
        buckets,
        &[("t", &[2, 16])],
        causal(),
        [67, 129, 2, 1],
    ));
    // The logarithm near 1, learned, so that the kernel computes it.
    agrees(&long(
        "raw + 1000 * log1p(slope[h] * (q - k) / 7000)",
        &[("slope", &[2])],
        causal(),
        [67, 67, 2, 1],
    ));
    // A network of the relative position.
    let net: [(&str, &[usize]); 4] = [
        ("f.w1", &[5]),
        ("f.b1", &[5]),
        ("f.w2", &[2, 5]),
        ("f.b2", &[2]),
    ];
    agrees(&long(
        "raw + net f(log1p(q - k) / log1p(max(q, 16)))",
        &net,
        causal(),
        [70, 70, 2, 2],
    ));
    // Documents, a window and sinks.
    let documents = Some((0..90).map(|t| t / 37).collect());
    let mask = Mask {
        window: Some(20),
        sinks: 3,
        documents,
        ..causal()
    };
    agrees(&long("raw", &[], mask, [90, 90, 2, 1]));
}

#[test]
fn tiles_that_the_score_hides_are_skipped() {
    let case = long(
        "select(q - k < 30, raw, -inf)",
        &[],
        Mask::default(),
        [200, 200, 2, 1],
    );
    let hidden = crate::score::hidden_tiles(&case.prepared(), TILE, TILE);
    let hidden: Vec<u32> = hidden.into_iter().map(u32::from).collect();
    // Of 4 × 4 tiles: (2, 0), (3, 0), (3, 1).
    let expected = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0];
    assert_eq!(hidden, expected);
    agrees(&case);
    // Whole tiles.
    let score = "select(q - k < 30, raw, -inf)";
    agrees(&long(score, &[], Mask::default(), [192, 192, 2, 1]));
}

#[test]
fn scores_that_are_shown_are_those_that_attention_weighs_by() {
    let slopes: [(&str, &[usize]); 1] = [("slope", &[4])];
    let mask = Mask {
        window: Some(40),
        ..Mask::causal()
    };
    let score = "select(q - k < 30, raw - slope[h] * (q - k), -inf)";
    let case = long(score, &slopes, mask, [67, 70, 4, 2]);
    let Geometry {
        heads,
        kv_heads,
        head_dim,
        ..
    } = case.geometry;
    let (queries, keys) = (case.queries.len(), case.keys.len());
    let drawn = |seed: u64, heads: usize, rows: usize| {
        let dims = [case.batch, heads, rows, head_dim];
        let values = noise(case.seed + seed, dims.iter().product());
        let narrow: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        let array = Array::from_f32(context(), &narrow, &dims).unwrap();
        (Traced::constant(array), values)
    };
    let (q, k) = (drawn(1, heads, queries).0, drawn(2, kv_heads, keys).0);
    let values = drawn(3, kv_heads, keys).1;
    let mut params = Params::new();
    for (name, shape, values) in case.params() {
        let values: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        let array = Array::from_f32(context(), &values, &shape).unwrap();
        params.insert(name, Traced::constant(array));
    }
    let fused = Fused::new(context(), &case.prepared(), &case.mask, case.batch).unwrap();
    let scores = fused.scores(&q, &k, &params).unwrap().to_f32().unwrap();
    let naive = case.run(Implementation::Naive, DType::F64).unwrap();
    let output = &naive.values["output"];
    for (row, scores) in scores.chunks_exact(keys).enumerate() {
        let line = row / queries;
        let of_values = line / heads * kv_heads + line % heads / (heads / kv_heads);
        let weights: Vec<f64> = scores.iter().map(|s| f64::from(*s).exp()).collect();
        let total: f64 = weights.iter().sum();
        for c in 0..head_dim {
            let value = |j: usize| values[(of_values * keys + j) * head_dim + c];
            let sum: f64 = weights.iter().enumerate().map(|(j, w)| w * value(j)).sum();
            let expected = output[row * head_dim + c];
            assert!(
                (sum / total - expected).abs() < tolerance(),
                "row {row}, channel {c}: {}, expected {expected}",
                sum / total
            );
        }
    }
}

#[test]
fn a_missing_parameter_and_a_wrong_shape_are_named() {
    let slopes = long(
        "raw - slope[h] * (q - k)",
        &[("slope", &[2])],
        Mask::causal(),
        [3, 3, 2, 1],
    );
    let fused = Fused::new(context(), &slopes.prepared(), &slopes.mask, 1).unwrap();
    let zeros = |dims: &[usize]| Traced::zeros(context(), dims).unwrap();
    let (q, k) = (zeros(&[1, 2, 3, 6]), zeros(&[1, 1, 3, 6]));
    let message = fused
        .attend(&q, &k, &k, &Params::new())
        .unwrap_err()
        .to_string();
    assert!(message.contains("slope"), "{message}");
    let message = fused
        .attend(&k, &k, &k, &Params::new())
        .unwrap_err()
        .to_string();
    assert!(message.contains("[1, 2, 3, 6]"), "{message}");
}
