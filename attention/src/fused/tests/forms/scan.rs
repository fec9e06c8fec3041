//! Sums along rows of scores.

use super::{Call, Input, dot, threads_and_bf16};
use crate::attend::{Mask, Params};
use crate::form::{Effect, Form, Gate, Scan, Share};

/// What a scan is, without its table.
#[derive(Clone, Copy)]
struct Kind {
    gate: Gate,
    own: bool,
    rows: Option<usize>,
    share: Share,
}

const COUNTS: Kind = Kind {
    gate: Gate::Sigmoid,
    own: true,
    rows: Some(40),
    share: Share::Softmax,
};
const STICKS: Kind = Kind {
    gate: Gate::Softplus,
    own: false,
    rows: None,
    share: Share::Sticks { rest: true },
};
const DECAY: Kind = Kind {
    gate: Gate::Softplus,
    own: false,
    rows: None,
    share: Share::Softmax,
};

fn form(kind: Kind, scale: f64) -> impl Fn(&Params) -> Form + Send + Sync + 'static {
    move |params| {
        let table = |_| Effect::Read {
            table: params["table"].clone(),
            scale,
        };
        Form::Scan(Scan {
            gate: kind.gate,
            own: kind.own,
            effect: kind.rows.map_or(Effect::Subtract, table),
            share: kind.share,
        })
    }
}

fn inputs(call: &Call, kind: Kind) -> Vec<Input> {
    let table = kind
        .rows
        .map(|rows| ("table", vec![call.geometry.head_dim, rows], 1.0));
    call.inputs(table.into_iter().collect())
}

/// The formulas, pair by pair.
fn naive(call: &Call, kind: Kind, x: &[&[f64]]) -> Vec<f64> {
    let d = call.geometry.head_dim;
    let mut output = vec![0.0; x[0].len()];
    for b in 0..call.batch {
        for h in 0..call.geometry.heads {
            for i in 0..call.queries.len() {
                let at = call.query(b, h, i);
                let q = &x[0][at..at + d];
                let is_own = |j: usize| call.queries.start + i == call.keys.start + j;
                let seen = (0..call.keys.len()).filter(|j| call.sees(i, *j));
                let (mut sum, mut scores) = (0.0, Vec::new());
                for j in seen.rev() {
                    let at = call.key(b, h, j);
                    let raw = dot(q, &x[1][at..at + d]) * call.scale();
                    let counts = kind.own || !is_own(j);
                    if counts {
                        sum += match kind.gate {
                            Gate::Sigmoid => 1.0 / (1.0 + (-raw).exp()),
                            Gate::Softplus => raw.exp().ln_1p(),
                        };
                    }
                    let score = match kind.rows {
                        None => raw - sum,
                        Some(rows) => {
                            let p = sum.min((rows - 1) as f64);
                            let (low, high) = (p.floor() as usize, p.ceil() as usize);
                            let column = |p: usize| {
                                let table = (0..d).map(|c| x[3][c * rows + p]);
                                table.zip(q).map(|(e, q)| e * q).sum::<f64>()
                            };
                            let term = column(low) + (column(high) - column(low)) * p.fract();
                            raw + call.scale() * term
                        }
                    };
                    if counts || kind.share == Share::Softmax {
                        scores.push((j, score));
                    }
                }
                let all: f64 = scores.iter().map(|(_, score)| score.exp()).sum();
                let norm = if kind.share == Share::Softmax {
                    all
                } else {
                    1.0
                };
                let mut weights: Vec<(usize, f64)> = scores
                    .iter()
                    .map(|(j, score)| (*j, score.exp() / norm))
                    .collect();
                if kind.share == (Share::Sticks { rest: true }) {
                    let own = call.queries.start + i - call.keys.start;
                    weights.push((own, (-sum).exp()));
                }
                for (j, weight) in weights {
                    let at_v = call.key(b, h, j);
                    for c in 0..d {
                        output[at + c] += weight * x[2][at_v + c];
                    }
                }
            }
        }
    }
    output
}

#[track_caller]
fn check(call: &Call, kind: Kind) {
    let inputs = inputs(call, kind);
    call.check(&inputs, |x| naive(call, kind, x), form(kind, call.scale()));
}

#[test]
fn counts_read_a_table() {
    check(&Call::new(2, 1, 6, 200), COUNTS);
    // More rows than counts, and a single one.
    for rows in [300, 1] {
        let kind = Kind {
            rows: Some(rows),
            ..COUNTS
        };
        check(&Call::new(1, 1, 4, 140), kind);
    }
}

#[test]
fn sticks_are_broken() {
    check(&Call::new(2, 1, 6, 300), STICKS);
    let share = Share::Sticks { rest: false };
    check(
        &Call::new(2, 2, 5, 150),
        Kind {
            own: true,
            share,
            ..STICKS
        },
    );
}

#[test]
fn decay_lowers_scores() {
    check(&Call::new(2, 2, 5, 200), DECAY);
}

#[test]
fn later_queries_windows_and_documents() {
    for kind in [COUNTS, STICKS, DECAY] {
        let tokens = 280;
        let whole = || Call::new(2, 1, 4, tokens);
        let late = Call {
            batch: 2,
            queries: 150..tokens,
            ..whole()
        };
        let window = Mask {
            window: Some(30),
            ..Mask::causal()
        };
        let documents = Some((0..tokens as u32).map(|t| t / 90).collect());
        let documents = Mask {
            documents,
            ..Mask::causal()
        };
        check(&late, kind);
        check(
            &Call {
                mask: window,
                ..whole()
            },
            kind,
        );
        check(
            &Call {
                mask: documents,
                ..whole()
            },
            kind,
        );
    }
}

#[test]
fn threads_and_bf16_change_nothing_but_rounding() {
    for kind in [COUNTS, STICKS, DECAY] {
        threads_and_bf16(
            |call| inputs(call, kind),
            |call| form(kind, call.scale()),
            0.06,
        );
    }
}
