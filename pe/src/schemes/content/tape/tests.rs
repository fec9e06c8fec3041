//! A layer between two others against loops in f64 that are written from the formula, and against finite differences of
//! these.

use super::{ATTENTION, CONTENT, DOWN, Tape, UP};
use crate::scheme::{Len, Scheme};
use farspan_attention::attend::{Attended, FEED_FORWARD, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{DType, Device, Tensor, Var};

const MODEL: Geometry = Geometry {
    layers: 3,
    width: 12,
    heads: 4,
    kv_heads: 2,
    head_dim: 6,
    trained_length: 20,
};
/// More than a tile.
const TOKENS: usize = 150;
const SIZE: usize = 5;
const STATE: [&str; 2] = ["@carried.tape.cos", "@carried.tape.sin"];

fn noise(seed: usize, len: usize) -> Vec<f64> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729) as f64).sin())
        .collect()
}

struct Input {
    name: &'static str,
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn inputs() -> Vec<Input> {
    let Geometry {
        width,
        heads,
        kv_heads,
        head_dim,
        ..
    } = MODEL;
    let (queries, keys) = (
        vec![1, heads, TOKENS, head_dim],
        vec![1, kv_heads, TOKENS, head_dim],
    );
    let all = [
        ("q", queries.clone(), 1.0),
        ("k", keys.clone(), 1.0),
        ("v", keys, 1.0),
        (STATE[0], queries.clone(), 1.0),
        (STATE[1], queries, 1.0),
        (FEED_FORWARD, vec![1, TOKENS, width], 1.0),
        (ATTENTION, vec![heads, heads], 0.5),
        (UP, vec![SIZE, heads], 0.5),
        (DOWN, vec![heads, SIZE], 0.5),
        (CONTENT, vec![SIZE, width], 0.5),
    ];
    let input = |(seed, (name, shape, size)): (usize, (_, Vec<usize>, f64))| {
        let values = noise(seed, shape.iter().product());
        let values = values.into_iter().map(|x| size * x).collect();
        Input {
            name,
            shape,
            values,
        }
    };
    all.into_iter().enumerate().map(input).collect()
}

fn plan(mix_heads: bool) -> Plan {
    let tape = Tape {
        position_size: SIZE,
        mix_heads,
        ..Tape::default()
    };
    tape.layer_plan(&MODEL, Len(TOKENS), 1).unwrap()
}

/// The output, then both halves of the state that is left.
fn formula(mask: &Mask, mix_heads: bool, x: &[&[f64]]) -> Vec<f64> {
    let (n, d, heads) = (TOKENS, MODEL.head_dim, MODEL.heads);
    let [q, k, v, cos, sin, y, attention, up, down, content] = x else {
        panic!("{} inputs", x.len());
    };
    let at = |h: usize, t: usize| (h * n + t) * d;
    let mut state = [cos.to_vec(), sin.to_vec()];
    for t in 0..n {
        let row = &y[t * MODEL.width..][..MODEL.width];
        for z in 0..SIZE {
            let own = &content[z * MODEL.width..];
            let u: f64 = row.iter().zip(own).map(|(y, x)| y * x).sum();
            let u = u / (1.0 + (-u).exp());
            for (half, before) in state.iter_mut().zip([cos, sin]) {
                for c in 0..d {
                    let inner = |g: usize| up[z * heads + g] * before[at(g, t) + c];
                    let inner: f64 = (0..heads).map(inner).sum();
                    for h in 0..heads {
                        half[at(h, t) + c] += down[h * SIZE + z] * u * inner;
                    }
                }
            }
        }
    }
    let turned = |x: &[f64], h: usize, t: usize| -> Vec<f64> {
        let (cos, sin) = (&state[0][at(h, t)..], &state[1][at(h, t)..]);
        let across = |c: usize| {
            if c < d / 2 {
                -x[c + d / 2]
            } else {
                x[c - d / 2]
            }
        };
        (0..d).map(|c| x[c] * cos[c] + across(c) * sin[c]).collect()
    };
    let mut seen = [0, 1, 2].map(|_| vec![0.0; heads * n * d]);
    for h in 0..heads {
        let kv = h / (heads / MODEL.kv_heads);
        for i in 0..n {
            let query = turned(&q[at(h, i)..], h, i);
            let shown: Vec<usize> = (0..n).filter(|j| mask.sees(i, *j)).collect();
            let weight = |j: &usize| {
                let key = turned(&k[at(kv, *j)..], h, *j);
                let raw: f64 = query.iter().zip(&key).map(|(x, y)| x * y).sum();
                (raw / (d as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = shown.iter().map(weight).collect();
            let total: f64 = weights.iter().sum();
            for (j, weight) in shown.iter().zip(&weights) {
                let values = [
                    &v[at(kv, *j)..],
                    &state[0][at(h, *j)..],
                    &state[1][at(h, *j)..],
                ];
                for (seen, values) in seen.iter_mut().zip(values) {
                    for c in 0..d {
                        seen[at(h, i) + c] += weight / total * values[c];
                    }
                }
            }
        }
    }
    let [output, cos, sin] = &seen;
    let mut found = output.clone();
    for (half, seen) in state.iter().zip([cos, sin]) {
        for (place, x) in half.iter().enumerate() {
            let (h, rest) = (place / (n * d), place % (n * d));
            let change = |g: usize| {
                let from = if mix_heads { g } else { h };
                attention[h * heads + g] * seen[from * n * d + rest]
            };
            found.push(x + (0..heads).map(change).sum::<f64>());
        }
    }
    found
}

struct Found {
    values: Vec<f64>,
    gradients: Vec<Vec<f64>>,
    by: &'static str,
}

/// What the hook gives, and gradients of ⟨`weights`, it⟩ by every input.
fn run(
    plan: &Plan,
    mask: &Mask,
    weights: &[f64],
    (which, dtype): (Implementation, DType),
) -> Found {
    let device = Device::cpu();
    let tensor = |values: &[f64], shape: &[usize]| {
        let tensor = Tensor::from_vec(values.to_vec(), shape, &device).unwrap();
        tensor.to_dtype(dtype).unwrap()
    };
    let vars: Vec<(&str, Var)> = inputs()
        .iter()
        .map(|input| {
            (
                input.name,
                Var::new(tensor(&input.values, &input.shape)).unwrap(),
            )
        })
        .collect();
    let named = vars[3..].iter();
    let params: Params = named
        .map(|(name, var)| (name.to_string(), var.tensor().clone()))
        .collect();
    let [q, k, v] = [0, 1, 2].map(|n| vars[n].1.tensor());
    let prepared = Prepared::new(plan, &MODEL, 0..TOKENS, 0..TOKENS, &device).unwrap();
    let Attended {
        output,
        implementation,
        carried,
    } = attend(q, k, v, &prepared, &params, mask, which).unwrap();
    let parts = [&output, &carried[STATE[0]], &carried[STATE[1]]];
    let all = Tensor::cat(&parts, 0).unwrap();
    let weights = tensor(weights, all.dims());
    let gradients = all.mul(&weights).unwrap().backward().unwrap();
    let flat = |x: &Tensor| -> Vec<f64> { x.to_dtype(DType::F64).unwrap().to_flat().unwrap() };
    Found {
        values: flat(&all),
        gradients: vars
            .iter()
            .map(|(_, var)| flat(&gradients.get(var).unwrap()))
            .collect(),
        by: implementation,
    }
}

fn weights() -> Vec<f64> {
    noise(99, 3 * MODEL.heads * TOKENS * MODEL.head_dim)
}

#[track_caller]
fn check(mask: &Mask, mix_heads: bool) {
    let (plan, weights, inputs) = (plan(mix_heads), weights(), inputs());
    let values: Vec<&[f64]> = inputs.iter().map(|input| &*input.values).collect();
    let expected = formula(mask, mix_heads, &values);
    let slope = |number: usize, direction: &[f64]| {
        let at = |by: f64| {
            let moved = values[number].iter().zip(direction);
            let moved: Vec<f64> = moved.map(|(x, u)| x + by * u).collect();
            let mut values = values.clone();
            values[number] = &moved;
            let found = formula(mask, mix_heads, &values);
            found.iter().zip(&weights).map(|(x, y)| x * y).sum::<f64>()
        };
        (at(1e-6) - at(-1e-6)) / 2e-6
    };
    let directions: Vec<(Vec<f64>, f64)> = (0..inputs.len())
        .map(|number| {
            let direction = noise(40, values[number].len());
            let slope = slope(number, &direction);
            (direction, slope)
        })
        .collect();
    for (which, dtype, by, tolerance) in [
        (Implementation::Naive, DType::F64, "naive", 1e-10),
        (Implementation::Composed, DType::F64, "composed", 1e-10),
        (Implementation::Auto, DType::F64, "composed", 1e-10),
        (Implementation::Auto, DType::F32, "fused", 1e-4),
    ] {
        let found = run(&plan, mask, &weights, (which, dtype));
        assert_eq!(found.by, by);
        for (i, (x, y)) in found.values.iter().zip(&expected).enumerate() {
            assert!((x - y).abs() < tolerance, "{by}, {i}: {x}, expected {y}");
        }
        let all = found.gradients.iter().zip(&directions).zip(&inputs);
        for ((gradient, (direction, expected)), input) in all {
            let along = gradient.iter().zip(direction).map(|(g, u)| g * u);
            let size = along.clone().map(|x| x * x).sum::<f64>().sqrt();
            let found: f64 = along.sum();
            assert!(
                (found - expected).abs() < 1e-3 * (size + 1e-2),
                "{by}, {}: {found}, expected {expected}",
                input.name
            );
        }
    }
}

#[test]
fn the_state_turns_and_is_updated_as_the_formula_says() {
    check(&Mask::causal(), false);
    check(&Mask::causal(), true);
}

#[test]
fn windows_and_documents_hide_from_the_state_too() {
    check(
        &Mask {
            window: Some(30),
            documents: Some((0..TOKENS as u32).map(|t| t / 60).collect()),
            ..Mask::causal()
        },
        false,
    );
}

#[test]
fn threads_change_nothing() {
    let (plan, weights) = (plan(false), weights());
    let found = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let how = (Implementation::Fused, DType::F32);
        pool.install(|| run(&plan, &Mask::causal(), &weights, how))
    };
    let (one, three) = (found(1), found(3));
    assert!(one.values == three.values && one.gradients == three.gradients);
}
