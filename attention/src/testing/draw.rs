//! Random expressions, plans and calls.

use super::{Case, noise};
use crate::attend::Mask;
use crate::expr::{Binary, Expr, Side, Unary, lookup, number, param, select_less, shared_lookup};
use crate::plan::{
    Geometry, Init, Mix, Pairing, ParamSpec, Plan, Positions, QkRotation, Rotation, TokenVector,
    Waves,
};
use proptest::prelude::*;
use std::sync::Arc;

/// Keeps jumps away from the whole numbers that formulas of positions land on, where the last bit of a power would
/// decide the side.
const OFF_GRID: f64 = 0.1234567;

/// An expression over positions, parameters and, if `raws` > 0, raw scores. Names those of [`specs`].
pub(crate) fn expr(raws: usize) -> impl Strategy<Value = Expr> {
    let literal = prop_oneof![
        Just(0.0),
        Just(1.0),
        Just(2.0),
        Just(0.5),
        Just(-1.5),
        Just(3.0)
    ];
    let leaf = prop_oneof![
        2 => literal.prop_map(number),
        3 => Just(Expr::Query - Expr::Key),
        1 => Just(Expr::Query),
        1 => Just(Expr::Key),
        1 => Just(Expr::Reach),
        2 => prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(param),
        if raws == 0 { 1 } else { 3 } => (0..raws.max(1)).prop_map(move |turn| {
            if raws == 0 { param("a") } else { Expr::Raw(turn) }
        }),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let unary = prop::sample::select(Unary::ALL.to_vec());
        let binary = prop::sample::select(Binary::ALL.to_vec());
        let four = (inner.clone(), inner.clone(), inner.clone(), inner.clone());
        prop_oneof![
            3 => (unary, inner.clone()).prop_map(|(op, x)| match op {
                Unary::Floor => (x + OFF_GRID).unary(op),
                // The cosine of a huge number is noise.
                Unary::Cos => bounded(x).unary(op),
                _ => x.unary(op),
            }),
            5 => (binary, inner.clone(), inner.clone()).prop_map(|(op, x, y)| x.binary(op, y)),
            1 => four.prop_map(|(a, b, x, y)| select_less(a, b + OFF_GRID, x, y)),
            1 => inner.clone().prop_map(|index| lookup("t", index + OFF_GRID)),
            1 => inner.clone().prop_map(|index| shared_lookup("s", index + OFF_GRID)),
            1 => inner.clone().prop_map(|index| lookup("t", shared_lookup("bucket", index + OFF_GRID))),
            1 => inner.prop_map(|x| Expr::Net { name: "f".into(), input: Arc::new(x) }),
        ]
    })
}

/// Any expression at all, for the text form: token vectors and odd numbers included.
pub(crate) fn any_expr() -> impl Strategy<Value = Expr> {
    let odd = prop_oneof![
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(1e300),
        Just(-1.2345e-200),
        any::<f64>().prop_filter("NaN equals nothing", |x| !x.is_nan()),
    ];
    (expr(3), odd, any::<bool>(), any::<bool>()).prop_map(|(e, x, at_query, front)| {
        let side = if at_query { Side::Query } else { Side::Key };
        let extra = number(x).binary(Binary::Div, -Expr::Token("gate.x_1".into(), side));
        if front {
            extra - (e - number(x))
        } else {
            -(e * extra)
        }
    })
}

/// Parameters that [`expr`] may name, for `heads` heads; those that `used` lacks are left out.
pub(crate) fn specs(heads: usize, used: &[String]) -> Vec<ParamSpec> {
    let spec = |name: &str, shape: &[usize], init: Init, learned: bool| ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init,
        learned,
        per_layer: false,
        clamp: None,
    };
    let learned = |name: &str, shape: &[usize]| spec(name, shape, Init::Constant(0.5), true);
    let slopes = (0..heads).map(|head| 0.5f64.powi(head as i32)).collect();
    let mut specs = vec![
        learned("a", &[heads]),
        learned("b", &[heads]),
        spec("c", &[heads], Init::Values(slopes), false),
        learned("t", &[heads, 4]),
        learned("s", &[3]),
        spec(
            "bucket",
            &[6],
            Init::Values(vec![0.0, 1.0, 1.0, 2.0, 2.0, 3.0]),
            false,
        ),
        learned("f.w1", &[3]),
        learned("f.b1", &[3]),
        learned("f.w2", &[heads, 3]),
        learned("f.b2", &[heads]),
    ];
    specs.retain(|spec| used.contains(&spec.name));
    specs
}

fn rotation(at: Expr, pairs: usize, heads: usize, kind: usize, amplitude: f64) -> Rotation {
    let scaled = |i: usize| at.clone() / (1.0 + i as f64 * 0.5);
    let position = match kind {
        0 | 1 => Positions::All(at.clone()),
        2 => Positions::PerHead((0..heads).map(scaled).collect()),
        _ => Positions::PerPair(
            (0..pairs)
                .map(|pair| (at.clone() + pair as f64).unary(Unary::Floor))
                .collect(),
        ),
    };
    let inv_freq = (0..pairs)
        .map(|pair| 10f64.powf(-(pair as f64) / pairs as f64))
        .collect();
    let small = |i: usize| 0.1 * ((7 * i + heads) % 11) as f64 - 0.4;
    let waves = match kind {
        1 => Waves::Growing {
            rates: (0..pairs).map(|pair| 0.02 * small(pair)).collect(),
            origin: 3.0,
        },
        2 => Waves::Mixed(Mix {
            cos: (0..heads * pairs * (pairs / 2)).map(small).collect(),
            sin: (0..heads * pairs * (pairs / 2))
                .map(|i| small(i + 5))
                .collect(),
            heads,
            mixed: pairs / 2,
            pairs,
            rest: (1.0, 0.5),
        }),
        _ => Waves::Plain,
    };
    Rotation {
        position,
        inv_freq,
        amplitude,
        waves,
    }
}

fn turn(geometry: Geometry) -> impl Strategy<Value = QkRotation> {
    let pairs = 0..=geometry.head_dim / 2;
    (pairs, any::<bool>(), 0..4usize, 0..4usize, any::<bool>()).prop_map(
        move |(pairs, half, q, k, loud)| {
            let amplitude = if loud { 1.25 } else { 1.0 };
            QkRotation {
                pairing: if half {
                    Pairing::HalfSplit
                } else {
                    Pairing::Interleaved
                },
                query: rotation(Expr::Query, pairs, geometry.heads, q, amplitude),
                key: rotation(Expr::Key, pairs, geometry.kv_heads, k, 1.0),
            }
        },
    )
}

fn mask(end: usize) -> impl Strategy<Value = Mask> {
    let window = prop_oneof![3 => Just(None), 1 => (0..5usize).prop_map(Some)];
    let documents = prop_oneof![
        3 => Just(None),
        1 => prop::collection::vec(0..2u32, end).prop_map(Some),
    ];
    (prop::bool::weighted(0.8), window, 0..2usize, documents).prop_map(
        |(causal, window, sinks, documents)| Mask {
            causal,
            window,
            sinks,
            documents,
        },
    )
}

/// Keeps softmax from becoming a choice of one, where rounding errors of a huge score would decide the gradient.
fn bounded(expr: Expr) -> Expr {
    expr.unary(Unary::Tanh) * 3.0
}

/// A token vector at one end.
fn at(side: Side) -> Expr {
    Expr::Token("g".into(), side)
}

fn score(raws: usize) -> impl Strategy<Value = Expr> {
    let bias = || expr(0).prop_map(bounded);
    prop_oneof![
        1 => Just(crate::expr::raw()),
        3 => bias().prop_map(|bias| crate::expr::raw() + bias),
        2 => bias().prop_map(|bias| crate::expr::raw() - bias),
        3 => expr(raws).prop_map(bounded),
        1 => bias().prop_map(|bias| crate::expr::raw() + bias + at(Side::Query) - at(Side::Key)),
        1 => expr(raws).prop_map(|expr| bounded(expr * at(Side::Key)) - at(Side::Query).unary(Unary::Abs)),
        1 => bias().prop_map(|bias| select_less(
            Expr::Query - Expr::Key,
            number(3.0),
            crate::expr::raw() + bias,
            number(f64::NEG_INFINITY),
        )),
    ]
}

/// Rising positions with gaps.
fn skips(seed: u64, count: usize) -> Vec<f64> {
    let steps = noise(seed ^ 0x5A, count).into_iter();
    let at = steps.scan(0.0, |at: &mut f64, x| {
        *at += if x > 0.3 { 3.5 } else { 1.0 };
        Some(*at)
    });
    at.collect()
}

/// A random call: random plan, shapes, positions and mask.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let sizes = (1..3usize, 1..3usize, 1..3usize, 1..6usize);
    let ranges = (0..6usize, 0..9usize, 0..4usize, 0..9usize);
    (sizes, ranges, any::<u64>()).prop_flat_map(
        |((batch, kv_heads, group, head_dim), ranges, seed)| {
            let heads = kv_heads * group;
            let geometry = Geometry {
                layers: 1,
                width: 8,
                heads,
                kv_heads,
                head_dim,
                trained_length: 8,
            };
            let queries = ranges.0..ranges.0 + ranges.1;
            let keys = ranges.2..ranges.2 + ranges.3;
            let rotations = prop::collection::vec(turn(geometry), 0..3);
            let scale = prop_oneof![3 => Just(None), 1 => expr(0).prop_map(Some)];
            let mask = mask(queries.end.max(keys.end));
            (rotations, scale, mask).prop_flat_map(move |(rotations, query_scale, mask)| {
                let (queries, keys) = (queries.clone(), keys.clone());
                score(rotations.len().max(1)).prop_map(move |score| {
                    let query_scale = query_scale
                        .clone()
                        .filter(|scale| !scale.any(&|part| part == &Expr::Key));
                    let mut used = score.param_names();
                    let gated = !score.token_names().is_empty();
                    let tokens = gated.then(|| TokenVector {
                        name: "g".into(),
                        weight: "g.w".into(),
                        value: crate::expr::raw(),
                        cumulative: true,
                    });
                    used.extend(query_scale.iter().flat_map(Expr::param_names));
                    let mut params = specs(heads, &used);
                    params.extend(gated.then(|| ParamSpec {
                        name: "g.w".into(),
                        shape: vec![heads, geometry.width],
                        init: Init::Normal(0.0, 0.02),
                        learned: true,
                        per_layer: true,
                        clamp: None,
                    }));
                    let rotations = rotations.clone();
                    let plan = Plan {
                        rotations,
                        score,
                        query_scale,
                        softmax_scale: 1.3,
                        tokens: tokens.into_iter().collect(),
                        params,
                        ..Plan::default()
                    };
                    Case {
                        plan,
                        geometry,
                        batch,
                        queries: queries.clone(),
                        keys: keys.clone(),
                        mask: mask.clone(),
                        positions: (seed % 4 == 0).then(|| skips(seed, queries.end.max(keys.end))),
                        seed: seed % 1_000_000,
                    }
                })
            })
        },
    )
}
