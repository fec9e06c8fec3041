//! Sums down columns of scores.

use super::{Call, dot, narrowed, threads_and_bf16};
use crate::attend::Params;
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
    for call in narrowed() {
        check(&call);
    }
}

#[test]
fn threads_and_bf16_change_nothing_but_rounding() {
    threads_and_bf16(|call| call.inputs(Vec::new()), |_| form, 0.1);
}
