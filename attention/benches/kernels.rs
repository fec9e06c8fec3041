//! Every kernel alone, forward and with gradients: `cargo bench -p farspan-attention [-- FILTER]`.
//!
//! For comparisons between schemes or programs use `farspan bench`, where candidates take turns.

#![expect(missing_docs, reason = "criterion's macros make a public function")]

use criterion::{Criterion, criterion_group, criterion_main};
use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::optim::{AdamW, AdamWConfig};
use farspan_attention::plan::{Geometry, Init, Pairing, ParamSpec, Plan, QkRotation};
use farspan_attention::prepared::Prepared;
use farspan_attention::residual::Residual;
use farspan_attention::{Device, Result, Tensor, Var, ops};
use std::time::Duration;

// As the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn var(shape: &[usize]) -> Result<Var> {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n)
        .map(|i| ((i * 7919 % 1009) as f32 / 504.5) - 1.0)
        .collect();
    Var::new(Tensor::from_vec(values, shape, &Device::cpu())?)
}

/// Times `f` on inputs without history, and with all gradients.
fn measure(
    c: &mut Criterion,
    name: &str,
    shapes: &[&[usize]],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    let vars = shapes
        .iter()
        .map(|shape| var(shape))
        .collect::<Result<Vec<_>>>()?;
    let plain: Vec<Tensor> = vars.iter().map(|var| var.tensor().detach()).collect();
    let recorded: Vec<Tensor> = vars.iter().map(|var| var.tensor().clone()).collect();
    // Errors of shapes show here, before anything is timed.
    f(&recorded)?.backward()?;
    c.bench_function(&format!("{name} forward"), |b| b.iter(|| f(&plain)));
    c.bench_function(&format!("{name} both"), |b| {
        b.iter(|| f(&recorded).and_then(|y| y.backward()))
    });
    Ok(())
}

fn operations(c: &mut Criterion) -> Result<()> {
    const EPS: f64 = 1e-5;
    let (rows, w, f, vocab) = (1024, 256, 688, 1024);
    let x: &[usize] = &[rows, w];
    measure(c, "rms_norm", &[x, &[w]], |t| {
        ops::rms_norm(&t[0], &t[1], EPS)
    })?;
    measure(c, "layer_norm", &[x, &[w], &[w]], |t| {
        ops::layer_norm(&t[0], &t[1], &t[2], EPS)
    })?;
    measure(c, "swiglu", &[&[rows, 2 * f]], |t| ops::swiglu(&t[0]))?;
    measure(c, "gelu", &[&[rows, f]], |t| {
        ops::gelu(&t[0], ops::Gelu::Exact)
    })?;
    measure(c, "gelu_tanh", &[&[rows, f]], |t| {
        ops::gelu(&t[0], ops::Gelu::Tanh)
    })?;
    measure(c, "linear", &[x, &[2 * f, w]], |t| {
        ops::linear(&t[0], &t[1])
    })?;
    measure(c, "linear_add", &[x, &[rows, f], &[w, f]], |t| {
        ops::linear_add(&t[0], &t[1], &t[2])
    })?;
    measure(c, "norm_linear", &[x, &[w], &[3 * w, w]], |t| {
        ops::norm_linear(&t[0], &t[1], &t[2], EPS)
    })?;
    let halves: [&[usize]; 4] = [x, &[w], &[2 * f, w], &[w, f]];
    measure(c, "feed_forward", &halves, |t| {
        let mut stream = Residual::new(t[0].clone());
        stream.feed_forward(&ops::FeedForward {
            norm: &t[1],
            gate_up: &t[2],
            down: &t[3],
            eps: EPS,
        })?;
        stream.rows()
    })?;
    let ids: Vec<u32> = (0..rows as u32).map(|i| i * 31 % vocab as u32).collect();
    measure(c, "embed", &[&[vocab, w]], |t| {
        ops::embed(&t[0], &ids, &[rows])
    })?;
    let weights = vec![1.0; rows];
    measure(c, "cross_entropy", &[x, &[vocab, w]], |t| {
        ops::cross_entropy(&t[0], &t[1], &ids, &weights)
    })
}

fn optimizer(c: &mut Criterion) -> Result<()> {
    let var = var(&[1024, 1024])?;
    let gradients = var.tensor().sqr()?.backward()?;
    let config = AdamWConfig {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.01,
        clip: 1.0,
    };
    let mut adamw = AdamW::new(config);
    adamw.add("weight", &var, 1.0, true, None)?;
    c.bench_function("adamw", |b| b.iter(|| adamw.step(&gradients, 1e-6)));
    Ok(())
}

fn plans(heads: usize, dim: usize) -> Result<Vec<(&'static str, Plan)>> {
    let inv_freq = (0..dim / 2)
        .map(|p| 1e4f64.powf(-2.0 * p as f64 / dim as f64))
        .collect();
    let learned = |name: &str| ParamSpec {
        name: name.into(),
        shape: vec![heads],
        init: Init::Constant(0.1),
        learned: true,
        per_layer: true,
        clamp: None,
    };
    let plan = |score: &str, params| -> Result<Plan> {
        Ok(Plan {
            score: score.parse()?,
            params,
            ..Plan::default()
        })
    };
    let rope = Plan {
        rotations: vec![QkRotation::rotary(inv_freq, 1.0, Pairing::HalfSplit)],
        ..Plan::default()
    };
    Ok(vec![
        ("nope", Plan::default()),
        ("rope", rope),
        ("fixed bias", plan("raw - 0.25 * max(q - k, 0)", vec![])?),
        (
            "learned bias",
            plan("raw - a[h] * log1p(max(q - k, 0))", vec![learned("a")])?,
        ),
        (
            "program",
            plan(
                "raw * (1 + a[h] * log1p(max(q - k, 0)))",
                vec![learned("a")],
            )?,
        ),
    ])
}

fn attention(c: &mut Criterion) -> Result<()> {
    let (n, heads, head_dim) = (512, 8, 64);
    let geometry = Geometry {
        layers: 1,
        width: heads * head_dim,
        heads,
        kv_heads: heads,
        head_dim,
        trained_length: n,
    };
    for (name, plan) in plans(heads, head_dim)? {
        let prepared = Prepared::new(&plan, &geometry, 0..n, 0..n, &Device::cpu())?;
        let qkv: &[usize] = &[1, heads, n, head_dim];
        let shapes: Vec<&[usize]> = [qkv; 3]
            .into_iter()
            .chain(plan.params.iter().map(|p| p.shape.as_slice()))
            .collect();
        measure(c, &format!("attention {name}"), &shapes, |t| {
            let names = plan.params.iter().map(|p| p.name.clone());
            let params: Params = names.zip(t[3..].iter().cloned()).collect();
            let mask = Mask::causal();
            Ok(attend(
                &t[0],
                &t[1],
                &t[2],
                &prepared,
                &params,
                &mask,
                Implementation::Fused,
            )?
            .output)
        })?;
    }
    Ok(())
}

fn all(c: &mut Criterion) {
    for section in [operations, optimizer, attention] {
        section(c).expect("shapes fit");
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = all
}
criterion_main!(kernels);
