//! Tests: every implementation equals `naive`, and `naive` equals finite differences.

mod edges;

use crate::attend::{Implementation, Mask, Params, attend};
use crate::expr::{Env, Expr, Partials, TokenValues};
use crate::plan::{Geometry, Plan};
use crate::prepared::Prepared;
use crate::testing::{Case, any_expr, case, expr, noise, specs};
use crate::{DType, Device, Tensor};
use proptest::prelude::*;

/// Both sides compute in f64 and differ by the order of operations; conditioning of random formulas costs the rest.
const TOLERANCE_F64: f64 = 1e-8;

/// f32 against f64, for calls whose numbers are moderate; see [`Outcome::is_tame`](crate::testing::Outcome::is_tame).
const TOLERANCE_F32: f64 = 2e-3;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        max_global_rejects: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn composed_equals_naive(case in case()) {
        let naive = case.run(Implementation::Naive, DType::F64).unwrap();
        prop_assume!(naive.is_tame() && case.is_regular());
        let composed = case.run(Implementation::Composed, DType::F64).unwrap();
        let (distance, place) = naive.distance(&composed);
        prop_assert!(distance < TOLERANCE_F64, "{distance} at {place}; score {}", case.plan.score);
    }

    #[test]
    fn naive_equals_finite_differences(mut case in case()) {
        case.batch = 1;
        case.queries.end = case.queries.start + case.queries.len().min(4);
        case.keys.end = case.keys.start + case.keys.len().min(5);
        let naive = case.run(Implementation::Naive, DType::F64).unwrap();
        prop_assume!(naive.is_tame());
        check_differences(&case)?;
    }

    #[test]
    fn text_reads_back(expr in any_expr()) {
        let text = expr.to_string();
        let back: Expr = text.parse().map_err(|e| TestCaseError::fail(format!("{e}")))?;
        prop_assert_eq!(&back, &expr, "{}", text);
        prop_assert!(!expr.latex().is_empty());
    }

    #[test]
    fn simplifying_keeps_values(expr in expr(2), i in 0..9u32, j in 0..9u32, seed in any::<u64>()) {
        let simple = expr.simplified();
        let (raw, params) = values(seed, &expr);
        let tokens = TokenValues::new();
        let env = |raw| Env { i: i.into(), j: j.into(), n: 9.0, head: 1, heads: 2, raw, params: &params, tokens: &tokens };
        let (x, y) = (expr.eval(&env(&raw)).unwrap(), simple.eval(&env(&raw)).unwrap());
        prop_assert!(x == y || (x.is_nan() && y.is_nan()), "{expr} = {x}, {simple} = {y}");
    }

    #[test]
    fn bounds_hold(expr in expr(1), seed in any::<u64>(), i in 0..6usize, j in 0..6usize) {
        let (raw, params) = values(seed, &expr);
        let tokens = TokenValues::new();
        let tile = crate::expr::Tile { queries: i..i + 4, keys: j..j + 3, causal: true };
        let bounds = expr.bounds(&tile, 12, &params);
        for (i, j) in tile.queries.clone().flat_map(|i| tile.keys.clone().map(move |j| (i, j))) {
            if j > i {
                continue;
            }
            let env = Env { i: i as f64, j: j as f64, n: 12.0, head: 1, heads: 2, raw: &raw, params: &params, tokens: &tokens };
            let x = expr.eval(&env).unwrap();
            prop_assert!(x.is_nan() || (bounds.low <= x && x <= bounds.high), "{expr} = {x} not in {bounds:?}");
        }
    }

    #[test]
    fn shift_invariance_holds_where_claimed(expr in expr(1), seed in any::<u64>(), by in 1..9u32) {
        prop_assume!(expr.is_shift_invariant());
        let (raw, params) = values(seed, &expr);
        let tokens = TokenValues::new();
        let at = |i: u32, j: u32| {
            let env = Env { i: i.into(), j: j.into(), n: 30.0, head: 0, heads: 2, raw: &raw, params: &params, tokens: &tokens };
            expr.eval(&env).unwrap()
        };
        let (x, y) = (at(7, 3), at(7 + by, 3 + by));
        prop_assert!((x - y).abs() <= 1e-9 * x.abs() || x == y || (x.is_nan() && y.is_nan()), "{expr}: {x}, {y}");
    }
}

/// Raw scores, and all parameters that `expr` may name, for two heads.
fn values(seed: u64, expr: &Expr) -> (Vec<f64>, crate::expr::ParamValues) {
    let value = |spec: crate::plan::ParamSpec| {
        let values = spec
            .constant()
            .unwrap_or_else(|| noise(seed ^ 7, spec.len()));
        (spec.name, values)
    };
    (
        noise(seed, 3),
        specs(2, &expr.param_names())
            .into_iter()
            .map(value)
            .collect(),
    )
}

/// Derivatives of `naive` against central differences of its output, as far as the function is smooth there.
fn check_differences(case: &Case) -> Result<(), TestCaseError> {
    use crate::naive::{Inputs, backward, forward};
    use ndarray::Array4;
    let Geometry {
        heads,
        kv_heads,
        head_dim,
        ..
    } = case.geometry;
    let array = |seed: u64, dim: (usize, usize, usize, usize)| {
        let values = noise(case.seed + seed, dim.0 * dim.1 * dim.2 * dim.3);
        Array4::from_shape_vec(dim, values).unwrap()
    };
    let keys = (case.batch, kv_heads, case.keys.len(), head_dim);
    let queries = (case.batch, heads, case.queries.len(), head_dim);
    let params = case
        .params()
        .into_iter()
        .map(|(name, _, values)| (name, values))
        .collect();
    let inputs = Inputs {
        q: array(1, queries),
        k: array(2, keys),
        v: array(3, keys),
        params,
    };
    let prepared = case.prepared();
    let weights = array(4, queries);
    let value =
        |inputs: &Inputs| (forward(inputs, &prepared, &case.mask).unwrap() * &weights).sum();
    let found = backward(&inputs, &prepared, &case.mask, &weights).unwrap();
    let check = |what: &str, found: f64, moved: &dyn Fn(f64) -> Inputs| {
        let slope = |step: f64| (value(&moved(step)) - value(&moved(-step))) / (2.0 * step);
        let (near, far) = (slope(1e-5), slope(2e-5));
        // Next to a kink or a jump the two differ, and no difference tells the derivative.
        if (near - far).abs() > 1e-6 * (1.0 + near.abs()) {
            return Ok(());
        }
        let tolerance = 1e-5 * (1.0 + near.abs());
        prop_assert!(
            (found - near).abs() < tolerance,
            "{what}: {found}, expected {near}; {}",
            case.plan.score
        );
        Ok(())
    };
    for (what, by) in [("q", &found.q), ("k", &found.k), ("v", &found.v)] {
        for (index, &by) in by.indexed_iter() {
            check(&format!("{what}{index:?}"), by, &|step| {
                let mut moved = inputs.clone();
                let array = match what {
                    "q" => &mut moved.q,
                    "k" => &mut moved.k,
                    _ => &mut moved.v,
                };
                array[index] += step;
                moved
            })?;
        }
    }
    for (name, by) in &found.params {
        for (place, &by) in by.iter().enumerate() {
            // A parameter may sit exactly on a kink only by the formula's own making.
            check(&format!("{name}[{place}]"), by, &|step| {
                let mut moved = inputs.clone();
                moved.params.get_mut(name).unwrap()[place] += step;
                moved
            })?;
        }
    }
    Ok(())
}

fn usual(score: &str, queries: std::ops::Range<usize>, keys: std::ops::Range<usize>) -> Case {
    let geometry = Geometry {
        layers: 1,
        width: 8,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        trained_length: 16,
    };
    let score: Expr = score.parse().unwrap();
    let params = specs(4, &score.param_names());
    let inv_freq = vec![1.0, 0.3, 0.1, 0.03];
    let rotations =
        vec![crate::plan::QkRotation::rotary(inv_freq, 1.0, crate::plan::Pairing::HalfSplit); 2];
    let plan = Plan {
        score,
        params,
        rotations,
        ..Plan::default()
    };
    Case {
        plan,
        geometry,
        batch: 2,
        queries,
        keys,
        mask: Mask::causal(),
        positions: None,
        seed: 5,
    }
}

const USUAL: [&str; 9] = [
    "raw",
    "raw - c[h] * max(q - k, 0)",
    "raw + t[h, bucket[q - k]]",
    "raw - a[h] * log1p(b[h] * (q - k))",
    "raw - a[h] * pow(q - k, b[h])",
    "raw + net f(log1p(abs(a[h]) * (q - k)) / log1p(abs(a[h]) * max(q, 8)))",
    "select(q - k < 4, raw, raw1)",
    "raw * ln(max(q, 2)) / ln(8)",
    "30 * tanh(raw / 30) - sqrt(a[h] * (q - k))",
];

#[test]
fn usual_schemes_in_f32_at_odd_shapes() {
    for score in USUAL {
        for (queries, keys) in [
            (0..1, 0..1),
            (0..7, 0..7),
            (0..63, 0..63),
            (5..6, 0..6),
            (10..17, 3..17),
        ] {
            let case = usual(score, queries.clone(), keys.clone());
            let naive = case.run(Implementation::Naive, DType::F64).unwrap();
            assert!(naive.is_tame(), "{score}");
            let composed = case.run(Implementation::Composed, DType::F32).unwrap();
            let (distance, place) = naive.distance(&composed);
            assert!(
                distance < TOLERANCE_F32,
                "{score} {queries:?} {keys:?}: {distance} at {place}"
            );
        }
    }
}
