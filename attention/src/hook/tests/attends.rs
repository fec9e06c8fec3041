//! Hooks that leave all pairs to the attention that runs them.

use super::*;

/// Louder queries, and a key for every query head.
#[derive(Debug)]
struct Louder;

impl Hook for Louder {
    fn stage(&self) -> Stage {
        Stage::Attention
    }

    fn describe(&self) -> String {
        "louder queries".into()
    }

    fn attends(&self) -> bool {
        true
    }

    fn attention(&self, scope: &Scope<'_>, qkv: &Qkv) -> Result<Tensor> {
        let q = qkv.q.affine(2.0, 0.0)?;
        let (k, v) = (scope.repeated(&qkv.k)?, scope.repeated(&qkv.v)?);
        // Another mind about the keys, which what was made ready for the first must survive.
        let plain = Qkv {
            q: q.clone(),
            ..qkv.clone()
        };
        let both = [scope.attend(&Qkv { q, k, v })?, scope.attend(&plain)?];
        both[0].add(&both[1])?.affine(0.5, 0.0)
    }
}

#[test]
fn attention_is_done_by_what_the_call_asks_for() {
    let twice = Plan {
        softmax_scale: 2.0,
        ..rotary()
    };
    let exact = run(
        &twice,
        &qkv(DType::F64),
        &Params::new(),
        Implementation::Naive,
    )
    .unwrap();
    for (which, dtype, by, tolerance) in [
        (Implementation::Naive, DType::F64, "naive", 1e-12),
        (Implementation::Composed, DType::F64, "composed", 1e-12),
        (Implementation::Auto, DType::F64, "composed", 1e-12),
        (Implementation::Composed, DType::F32, "composed", 1e-5),
        (Implementation::Auto, DType::F32, "fused", 1e-5),
        (Implementation::Fused, DType::F32, "fused", 1e-5),
        (Implementation::Fused, DType::BF16, "fused", 0.1),
    ] {
        let found = run(&with(Louder, rotary()), &qkv(dtype), &Params::new(), which).unwrap();
        assert_eq!(found.implementation, by);
        close(&found.output, &exact.output, tolerance);
    }
    let wide = qkv(DType::F64);
    let fused = run(
        &with(Louder, rotary()),
        &wide,
        &Params::new(),
        Implementation::Fused,
    );
    assert!(fused.unwrap_err().to_string().contains("f32 and bf16"));
}

/// Key heads that turn apart from each other cannot become as many as there are query heads.
#[test]
fn keys_that_turn_apart_keep_their_number() {
    use crate::expr::Expr;
    use crate::plan::Positions;
    let mut plan = rotary();
    let pace = |factor: f64| Expr::Key * factor;
    plan.rotations[0].key.position = Positions::PerHead(vec![pace(1.0), pace(2.0)]);
    let found = run(
        &with(Louder, plan),
        &qkv(DType::F32),
        &Params::new(),
        Implementation::Auto,
    );
    let message = found.unwrap_err().to_string();
    assert!(message.contains("4 heads"), "{message}");
}
