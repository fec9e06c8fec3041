//! A map across the heads of each pair.

use super::{Call, Input, dot, threads_and_bf16};
use crate::attend::{Mask, Params};
use crate::form::{Form, HeadMap};

const SLOPE: f64 = 0.1;

fn form(biased: bool) -> impl Fn(&Params) -> Form + Send + Sync + 'static {
    move |params| {
        let of = |name: &str| params[name].clone();
        Form::Heads(HeadMap {
            first: (of("w1"), of("b1")),
            second: (of("w2"), of("b2")),
            slope: SLOPE,
            bias: biased.then(|| of("bias")),
        })
    }
}

fn inputs(call: &Call, hidden: usize, biased: bool) -> Vec<Input> {
    let heads = call.geometry.heads;
    let seen = if biased { 2 * heads } else { heads };
    let mut more = vec![
        ("w1", vec![hidden, seen], 0.7),
        ("b1", vec![hidden], 0.5),
        ("w2", vec![heads, hidden], 0.7),
        ("b2", vec![heads], 0.5),
    ];
    if biased {
        more.push(("bias", vec![heads, call.queries.end], 0.6));
    }
    call.inputs(more)
}

/// The formula, pair by pair.
fn naive(call: &Call, hidden: usize, x: &[&[f64]]) -> Vec<f64> {
    let (heads, d) = (call.geometry.heads, call.geometry.head_dim);
    let [w1, b1, w2, b2] = [x[3], x[4], x[5], x[6]];
    let mut output = vec![0.0; x[0].len()];
    for b in 0..call.batch {
        for i in 0..call.queries.len() {
            let seen: Vec<usize> = (0..call.keys.len()).filter(|j| call.sees(i, *j)).collect();
            let mut scores = vec![Vec::new(); heads];
            for j in &seen {
                let distance = call.queries.start + i - call.keys.start - j;
                let raw = |h: usize| {
                    let (q, k) = (call.query(b, h, i), call.key(b, h, *j));
                    dot(&x[0][q..q + d], &x[1][k..k + d]) * call.scale()
                };
                let raw: Vec<f64> = (0..heads).map(raw).collect();
                let biases = x.get(7).map(|bias| bias.chunks_exact(bias.len() / heads));
                let bias: Vec<f64> =
                    biases.map_or(Vec::new(), |rows| rows.map(|row| row[distance]).collect());
                let all: Vec<f64> = raw.iter().chain(&bias).copied().collect();
                let unit = |u: usize| {
                    let sum = b1[u] + dot(&w1[u * all.len()..][..all.len()], &all);
                    if sum > 0.0 { sum } else { SLOPE * sum }
                };
                let units: Vec<f64> = (0..hidden).map(unit).collect();
                for (h, scores) in scores.iter_mut().enumerate() {
                    let own = raw[h] + bias.get(h).copied().unwrap_or(0.0);
                    scores.push(own + b2[h] + dot(&w2[h * hidden..][..hidden], &units));
                }
            }
            for (h, scores) in scores.iter().enumerate() {
                let all: f64 = scores.iter().map(|score| score.exp()).sum();
                let at = call.query(b, h, i);
                for (score, j) in scores.iter().zip(&seen) {
                    let v = call.key(b, h, *j);
                    for c in 0..d {
                        output[at + c] += score.exp() / all * x[2][v + c];
                    }
                }
            }
        }
    }
    output
}

#[track_caller]
fn check(call: &Call, hidden: usize, biased: bool) {
    let inputs = inputs(call, hidden, biased);
    call.check(&inputs, |x| naive(call, hidden, x), form(biased));
}

#[test]
fn pairs_are_mapped() {
    check(&Call::new(4, 2, 6, 200), 7, true);
    check(&Call::new(3, 1, 5, 150), 16, false);
    check(&Call::new(1, 1, 4, 3), 1, true);
}

#[test]
fn later_queries_windows_and_documents() {
    let whole = || Call::new(2, 1, 4, 210);
    let window = Mask {
        window: Some(30),
        ..Mask::causal()
    };
    let documents = Some((0..210).map(|t| t / 90).collect());
    let documents = Mask {
        documents,
        ..Mask::causal()
    };
    check(
        &Call {
            batch: 2,
            queries: 110..210,
            ..whole()
        },
        5,
        true,
    );
    for mask in [window, documents] {
        check(
            &Call {
                mask,
                batch: 2,
                ..whole()
            },
            5,
            true,
        );
    }
}

#[test]
fn threads_and_bf16_change_nothing_but_rounding() {
    threads_and_bf16(|call| inputs(call, 6, true), |_| form(true), 0.1);
}
