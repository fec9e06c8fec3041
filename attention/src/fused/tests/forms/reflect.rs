//! Reflections between queries and keys.

use super::{Call, Input, dot, narrowed, threads_and_bf16};
use crate::attend::Params;
use crate::form::{Form, Reflections};

fn form(gain: bool) -> impl Fn(&Params) -> Form + Send + Sync + 'static {
    move |params| {
        Form::Reflections(Reflections {
            vectors: params["w"].clone(),
            strengths: params["beta"].clone(),
            gain: gain.then(|| params["gain"].clone()),
        })
    }
}

fn inputs(call: &Call, gain: bool) -> Vec<Input> {
    let (g, tokens) = (&call.geometry, call.keys.len());
    // Lengths about 1.
    let size = (2.0 / g.head_dim as f64).sqrt();
    let mut more = vec![
        ("w", vec![call.batch, g.kv_heads, tokens, g.head_dim], size),
        ("beta", vec![call.batch, g.kv_heads, tokens], 1.0),
    ];
    if gain {
        more.push(("gain", vec![call.batch, g.heads, tokens], 1.0));
    }
    let mut inputs = call.inputs(more);
    // Between 0 and 1: nothing grows from token to token.
    inputs[4].values.iter_mut().for_each(|x| *x = x.abs());
    inputs
}

/// The formula, pair by pair: a query meets the reflections from its own to that after the key.
fn naive(call: &Call, x: &[&[f64]]) -> Vec<f64> {
    let (g, d, n) = (&call.geometry, call.geometry.head_dim, call.keys.len());
    let mut output = vec![0.0; x[0].len()];
    for b in 0..call.batch {
        for h in 0..g.heads {
            for i in 0..n {
                let at = call.query(b, h, i);
                let mut q = x[0][at..at + d].to_vec();
                let (mut scores, mut values) = (Vec::new(), Vec::new());
                for j in (0..=i).rev() {
                    let key = call.key(b, h, j);
                    let gain = |t: usize| x.get(5).map_or(0.0, |c| c[(b * g.heads + h) * n + t]);
                    if call.sees(i, j) {
                        let raw = dot(&q, &x[1][key..key + d]) * call.scale();
                        scores.push(raw + gain(i) - gain(j));
                        values.push(key);
                    }
                    let w = &x[3][key..key + d];
                    let by = x[4][key / d] * dot(&q, w);
                    q.iter_mut().zip(w).for_each(|(q, w)| *q -= by * w);
                }
                let all: f64 = scores.iter().map(|score| score.exp()).sum();
                for (score, key) in scores.iter().zip(values) {
                    for c in 0..d {
                        output[at + c] += score.exp() / all * x[2][key + c];
                    }
                }
            }
        }
    }
    output
}

#[track_caller]
fn check(call: &Call, gain: bool) {
    call.check(&inputs(call, gain), |x| naive(call, x), form(gain));
}

#[test]
fn pairs_meet_the_reflections_between_them() {
    check(&Call::new(2, 1, 6, 300), false);
    check(&Call::new(2, 2, 5, 260), true);
    // One token, alone and behind a chunk.
    check(&Call::new(2, 2, 4, 1), false);
    check(&Call::new(2, 2, 4, 1), true);
    check(&Call::new(1, 1, 4, 129), false);
    // Less than a chunk, and exactly two.
    check(&Call::new(1, 1, 4, 3), true);
    check(&Call::new(1, 1, 16, 256), false);
}

#[test]
fn windows_and_documents() {
    for call in narrowed() {
        check(&call, true);
    }
}

#[test]
fn threads_and_bf16_change_nothing_but_rounding() {
    threads_and_bf16(|call| inputs(call, true), |_| form(true), 0.1);
}
