//! Sums down columns of scores.

use super::{Call, dot};
use crate::DType;
use crate::attend::{Mask, Params};
use crate::form::{Form, Votes};

fn form(_: &Params) -> Form {
    Form::Votes(Votes)
}

/// The formula, pair by pair.
fn naive(call: &Call, x: &[&[f64]]) -> Vec<f64> {
    let (d, n) = (call.geometry.head_dim, call.keys.len());
    let mut output = vec![0.0; x[0].len()];
    for b in 0..call.batch {
        let raw = |h: usize, i: usize, j: usize| {
            let (q, k) = (call.query(b, h, i), call.key(b, h, j));
            dot(&x[0][q..q + d], &x[1][k..k + d]) * call.scale()
        };
        let mut sums = vec![0.0; n];
        for i in 0..n {
            let seen: Vec<usize> = (0..n).filter(|j| call.sees(i, *j)).collect();
            for h in 0..call.geometry.heads {
                let scores: Vec<f64> = seen.iter().map(|j| raw(h, i, *j) - sums[*j]).collect();
                let all: f64 = scores.iter().map(|score| score.exp()).sum();
                for (score, j) in scores.iter().zip(&seen) {
                    let (at, v) = (call.query(b, h, i), call.key(b, h, *j));
                    for c in 0..d {
                        output[at + c] += score.exp() / all * x[2][v + c];
                    }
                }
            }
            for j in seen.into_iter().filter(|j| *j != 0 && *j != i) {
                sums[j] += raw(0, i, j).max(0.0);
            }
        }
    }
    output
}

#[track_caller]
fn check(call: &Call) {
    call.check(&call.inputs(Vec::new()), |x| naive(call, x), form);
}

#[test]
fn later_queries_see_votes() {
    check(&Call::new(4, 2, 6, 300));
    check(&Call::new(2, 2, 5, 256));
    check(&Call::new(1, 1, 4, 3));
}

#[test]
fn windows_and_documents() {
    let window = Mask {
        window: Some(30),
        ..Mask::causal()
    };
    let documents = Some((0..280).map(|t| t / 90).collect());
    let documents = Mask {
        documents,
        ..Mask::causal()
    };
    for mask in [window, documents] {
        check(&Call {
            mask,
            batch: 2,
            ..Call::new(2, 1, 4, 280)
        });
    }
}

#[test]
fn threads_and_bf16_change_nothing_but_rounding() {
    let call = Call {
        batch: 2,
        ..Call::new(4, 2, 16, 200)
    };
    let inputs = call.inputs(Vec::new());
    let weights = crate::testing::noise(3, inputs[0].values.len());
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| call.run(&inputs, &weights, form, DType::F32))
    };
    let (one, three) = (run(1), run(3));
    assert!(one == three);
    let (rounded, _) = call.run(&inputs, &weights, form, DType::BF16);
    for (x, y) in rounded.iter().zip(&one.0) {
        assert!((x - y).abs() < 0.1, "{x} {y}");
    }
}
