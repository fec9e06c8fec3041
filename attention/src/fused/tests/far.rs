//! Far keys under biases that leave them no weight.

use super::*;

/// Under slopes like these, most tiles are not looked at.
#[test]
fn tiles_without_weight_change_nothing() {
    let learned = vec![learned("a", &[2])];
    for (score, params) in [
        ("raw - 0.4 * max(q - k, 0)", vec![]),
        ("raw - a[h] * max(q - k, 0)", learned),
        // Far keys have all the weight, and near ones none.
        ("raw + 0.9 * max(q - k, 0)", vec![]),
    ] {
        let plan = Plan {
            score: score.parse().unwrap(),
            params,
            ..Plan::default()
        };
        for (queries, mask) in [
            (0..700, Mask::causal()),
            (600..700, Mask::causal()),
            (0..700, Mask::default()),
        ] {
            let case = Case {
                plan: plan.clone(),
                geometry: geometry(2, 1, 8),
                batch: 1,
                queries,
                keys: 0..700,
                mask,
                positions: None,
                seed: 7,
            };
            compare(&case, "far");
        }
    }
}

#[test]
fn a_number_that_is_none_reaches_far_queries_under_any_bias() {
    let plan = Plan {
        score: "raw - max(q - k, 0)".parse().unwrap(),
        ..Plan::default()
    };
    let n = 600;
    let prepared = Prepared::new(&plan, &geometry(1, 1, 8), 0..n, 0..n, &Device::cpu()).unwrap();
    for input in [1, 2] {
        let mut parts = [1, 2, 3].map(|seed| random(seed, &[1, 1, n, 8]).to_flat::<f32>().unwrap());
        parts[input][3] = f32::NAN;
        let [q, k, v] = parts.map(|x| Tensor::from_vec(x, (1, 1, n, 8), &Device::cpu()).unwrap());
        let (params, mask) = (Params::new(), Mask::causal());
        let out = attend(&q, &k, &v, &prepared, &params, &mask, Implementation::Fused);
        let out = out.unwrap().output.to_flat::<f32>().unwrap();
        assert!(
            out[(n - 1) * 8..].iter().any(|x| x.is_nan()),
            "input {input}"
        );
    }
}
