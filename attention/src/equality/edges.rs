//! Empty calls, hidden rows, numbers that are none, names that are missing.

use super::*;

#[test]
fn nothing_in_nothing_out_and_hidden_rows_are_zero() {
    for which in [Implementation::Naive, Implementation::Composed] {
        for (queries, keys) in [(0..0, 0..0), (0..0, 0..3), (0..3, 0..0), (0..3, 5..9)] {
            let case = usual("raw - a[h] * (q - k)", queries, keys);
            let outcome = case.run(which, DType::F32).unwrap();
            assert!(
                outcome.values.values().flatten().all(|x| *x == 0.0),
                "{which}: {outcome:?}"
            );
        }
        // A window of 0 hides the query from itself.
        let mut case = usual("raw - a[h] * (q - k)", 0..4, 0..4);
        case.mask.window = Some(0);
        let outcome = case.run(which, DType::F32).unwrap();
        assert!(
            outcome.values.values().flatten().all(|x| *x == 0.0),
            "{which}: {outcome:?}"
        );
        // So does a score of −∞ everywhere.
        let case = usual("select(q - k < 9, -inf, raw)", 0..4, 0..4);
        let outcome = case.run(which, DType::F32).unwrap();
        assert!(
            outcome.values.values().flatten().all(|x| *x == 0.0),
            "{which}: {outcome:?}"
        );
    }
}

/// What an untracked part of a score is at a hidden pair (here the logarithm of a negative distance, chosen by a constant) must
/// not reach the gradient of what it is multiplied with.
#[test]
fn hidden_pairs_spoil_no_gradient() {
    for text in [
        "raw + a[h] * log1p(select(c[h] < q + 0.5, q - k, 0))",
        "raw + a[h] * sqrt(select(c[h] < q + 0.5, q - k, 0))",
    ] {
        let case = usual(text, 0..5, 0..5);
        let naive = case.run(Implementation::Naive, DType::F64).unwrap();
        let composed = case.run(Implementation::Composed, DType::F64).unwrap();
        let (distance, place) = naive.distance(&composed);
        assert!(distance < TOLERANCE_F64, "{text}: {distance} at {place}");
    }
}

#[test]
fn nan_propagates_and_stays_where_it_is_seen() {
    let device = Device::cpu();
    let case = usual("raw", 0..4, 0..4);
    let prepared = Prepared::new(&case.plan, &case.geometry, 0..4, 0..4, &device).unwrap();
    for which in [Implementation::Naive, Implementation::Composed] {
        for spoiled in 0..3 {
            let tensor = |i: usize, heads: usize| {
                let mut values: Vec<f32> = noise(i as u64, heads * 32)
                    .iter()
                    .map(|&x| x as f32)
                    .collect();
                if i == spoiled {
                    // Channel 0 of the last token of head 0.
                    values[3 * 8] = f32::NAN;
                }
                Tensor::from_vec(values, (1, heads, 4, 8), &device).unwrap()
            };
            let (q, k, v) = (tensor(0, 4), tensor(1, 2), tensor(2, 2));
            let out = attend(
                &q,
                &k,
                &v,
                &prepared,
                &Params::new(),
                &Mask::causal(),
                which,
            )
            .unwrap();
            let out = out.output.to_flat::<f32>().unwrap();
            assert!(out[3 * 8].is_nan(), "{which}, input {spoiled}");
            // The last head reads another key head and another query.
            assert!(
                out[3 * 32..].iter().all(|x| x.is_finite()),
                "{which}, input {spoiled}"
            );
        }
    }
}

#[test]
fn constants_of_the_plan_cannot_be_replaced_and_missing_parameters_are_named() {
    let device = Device::cpu();
    let case = usual("raw - c[h] * (q - k) + a[h]", 0..4, 0..4);
    let prepared = Prepared::new(&case.plan, &case.geometry, 0..4, 0..4, &device).unwrap();
    let q = Tensor::zeros((1, 4, 4, 8), &device).unwrap();
    let k = Tensor::zeros((1, 2, 4, 8), &device).unwrap();
    let mut params = Params::new();
    let call = |params: &Params, k: &Tensor, which| {
        attend(&q, k, k, &prepared, params, &Mask::causal(), which)
    };
    let message = call(&params, &k, Implementation::Auto)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("\"a\"") && message.contains("[4]"),
        "{message}"
    );
    params.insert("a".into(), Tensor::zeros(3, &device).unwrap());
    let message = call(&params, &k, Implementation::Auto)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("expected shape [4], found [3]"),
        "{message}"
    );
    params.insert("a".into(), Tensor::zeros(4, &device).unwrap());
    let message = call(&params, &q, Implementation::Auto)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("attend, k") && message.contains("[1, 2, 4, 8]"),
        "{message}"
    );
    let found = |params: &Params, which| {
        call(params, &k, which)
            .unwrap()
            .output
            .to_flat::<f32>()
            .unwrap()
    };
    let mut with = params.clone();
    with.insert("c".into(), Tensor::full(100f32, 4, &device).unwrap());
    for which in [Implementation::Naive, Implementation::Composed] {
        assert_eq!(found(&params, which), found(&with, which));
    }
    let mask = Mask {
        documents: Some(vec![0; 3]),
        ..Mask::causal()
    };
    let message = attend(&q, &k, &k, &prepared, &params, &mask, Implementation::Auto).unwrap_err();
    assert!(
        message.to_string().contains("each of 4 positions"),
        "{message}"
    );
}

#[test]
fn query_blocks_do_not_change_the_result() {
    let case = usual("raw - a[h] * log1p(q - k)", 0..40, 0..40);
    let whole = case.run(Implementation::Composed, DType::F64).unwrap();
    let blocks =
        crate::blocks::with_rows_per_block(16, || case.run(Implementation::Composed, DType::F64))
            .unwrap();
    let (distance, place) = whole.distance(&blocks);
    assert!(distance < 1e-12, "{distance} at {place}");
}

#[test]
fn partials_only_hold_what_is_asked_for() {
    let expr: Expr = "raw - a[h] * c[h] * (q - k)".parse().unwrap();
    let (raw, params) = values(3, &expr);
    let tokens = TokenValues::new();
    let env = Env {
        i: 5.0,
        j: 2.0,
        n: 6.0,
        head: 0,
        heads: 2,
        raw: &raw,
        params: &params,
        tokens: &tokens,
    };
    let mut into = Partials {
        raw: vec![0.0],
        ..Partials::default()
    };
    into.params.insert("a".into(), vec![0.0; 2]);
    expr.backward(&env, 2.0, &mut into).unwrap();
    assert_eq!(into.raw, [2.0]);
    assert_eq!(into.params["a"], [-2.0 * params["c"][0] * 3.0, 0.0]);
    assert!(!into.params.contains_key("c"));
}
