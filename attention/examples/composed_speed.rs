//! Times attention forward and forward + backward at small sizes, per plan and implementation.
//!
//! `cargo run --release -p farspan-attention --example composed_speed`

use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Init, Pairing, ParamSpec, Plan, Turn};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Result, Tensor, Var};
use std::time::Instant;

fn spec(name: &str, shape: &[usize], init: Init, learned: bool) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init,
        learned,
        per_layer: false,
        clamp: None,
    }
}

fn plans(heads: usize, head_dim: usize) -> Vec<(&'static str, Plan)> {
    let pairs = head_dim / 2;
    let inv_freq = (0..pairs)
        .map(|p| 1e4f64.powf(-(p as f64) / pairs as f64))
        .collect();
    let with = |score: &str, params| Plan {
        score: score.parse().unwrap_or_else(|e| panic!("{e}")),
        params,
        ..Plan::default()
    };
    let slopes = (0..heads).map(|h| 0.5f64.powi(h as i32 + 1)).collect();
    let buckets = (0..1024).map(|d| f64::from(d).sqrt().floor()).collect();
    vec![
        ("nope", Plan::default()),
        (
            "rope",
            Plan {
                turns: vec![Turn::rotary(inv_freq, 1.0, Pairing::HalfSplit)],
                ..Plan::default()
            },
        ),
        (
            "alibi",
            with(
                "raw - slope[h] * max(q - k, 0)",
                vec![spec("slope", &[heads], Init::Values(slopes), false)],
            ),
        ),
        (
            "t5",
            with(
                "raw + bias[h, bucket[q - k]]",
                vec![
                    spec("bias", &[heads, 32], Init::Constant(0.1), true),
                    spec("bucket", &[1024], Init::Values(buckets), false),
                ],
            ),
        ),
        (
            "kerple",
            with(
                "raw - p[h] * log1p(a[h] * max(q - k, 0))",
                vec![
                    spec("p", &[heads], Init::Constant(1.0), true),
                    spec("a", &[heads], Init::Constant(1.0), true),
                ],
            ),
        ),
    ]
}

#[expect(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<()> {
    let device = Device::cpu();
    for (batch, heads, len, head_dim) in [(32, 4, 64, 16), (16, 4, 128, 32), (1, 8, 1024, 64)] {
        for (name, plan) in plans(heads, head_dim) {
            let geometry = Geometry {
                layers: 1,
                width: 64,
                heads,
                kv_heads: heads,
                head_dim,
                trained_length: len,
            };
            let prepared = Prepared::new(&plan, &geometry, 0..len, 0..len, &device)?;
            let var = || {
                let count = batch * heads * len * head_dim;
                let values = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
                Var::new(Tensor::from_vec(
                    values,
                    (batch, heads, len, head_dim),
                    &device,
                )?)
            };
            let (q, k, v) = (var()?, var()?, var()?);
            let mut params = Params::new();
            for spec in plan.params.iter().filter(|spec| spec.learned) {
                let var = Var::new(Tensor::full(0.3f32, spec.shape.as_slice(), &device)?)?;
                params.insert(spec.name.clone(), var.tensor().clone());
            }
            let (mut forward, mut both) = (Vec::new(), Vec::new());
            for _ in 0..15 {
                let start = Instant::now();
                let mask = Mask::causal();
                let which = Implementation::Composed;
                let out = attend(
                    q.tensor(),
                    k.tensor(),
                    v.tensor(),
                    &prepared,
                    &params,
                    &mask,
                    which,
                )?;
                forward.push(start.elapsed().as_secs_f64() * 1e3);
                out.output.sum_all()?.backward()?;
                both.push(start.elapsed().as_secs_f64() * 1e3);
            }
            forward.sort_by(f64::total_cmp);
            both.sort_by(f64::total_cmp);
            println!(
                "{batch}x{heads}x{len}x{head_dim} {name:8} forward {:.2} ms, with backward {:.2} ms",
                forward[7], both[7]
            );
        }
    }
    Ok(())
}
