//! Times of the operations of a training step, and of whole steps, at the sizes of small experiments.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p farspan-attention --example speed [ROUNDS [SECTION [SCHEME]]]`
//!
//! Every line is the median of rounds in which all candidates take turns.

#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use farspan_attention::attend::{Implementation, Mask, Params, attend_packed};
use farspan_attention::optim::{AdamW, AdamWConfig};
use farspan_attention::plan::{Geometry, Init, Pairing, ParamSpec, Plan, Turn};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Result, Tensor, Var, ops};
use std::collections::BTreeMap;
use std::time::Instant;

// As the program itself: candle allocates every intermediate anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    tokens: usize,
    heads: usize,
    dim: usize,
    layers: usize,
    vocab: usize,
}

impl Size {
    fn width(self) -> usize {
        self.heads * self.dim
    }

    fn hidden(self) -> usize {
        (self.width() * 8 / 3).next_multiple_of(8)
    }

    fn geometry(self) -> Geometry {
        Geometry {
            layers: self.layers,
            width: self.width(),
            heads: self.heads,
            kv_heads: self.heads,
            head_dim: self.dim,
            trained_length: self.tokens,
        }
    }
}

fn random(seed: u64, shape: &[usize], size: f32) -> Result<Tensor> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size
    };
    let values = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::cpu())
}

/// Seconds that this thread has worked, where the system tells and it is the only one: other programs then spoil less.
/// Otherwise, seconds by the clock.
fn now(start: Instant) -> f64 {
    let alone = std::env::var("RAYON_NUM_THREADS").is_ok_and(|n| n == "1");
    let worked = alone
        .then(|| std::fs::read_to_string("/proc/thread-self/schedstat").ok())
        .flatten()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    worked.map_or(start.elapsed().as_secs_f64(), |nanoseconds| {
        nanoseconds * 1e-9
    })
}

type Candidate<'a> = (String, Box<dyn FnMut() -> Result<()> + 'a>);

/// Median time of a call in milliseconds, of candidates that take turns. A turn lasts at least a twentieth of a second.
fn race(rounds: usize, mut candidates: Vec<Candidate<'_>>) -> Result<Vec<(String, f64)>> {
    let mut times = vec![Vec::new(); candidates.len()];
    let start = Instant::now();
    let mut calls = Vec::new();
    for (_, run) in &mut candidates {
        run()?;
        let once = Instant::now();
        run()?;
        calls.push(1 + (0.05 / once.elapsed().as_secs_f64()) as usize);
    }
    for _ in 0..rounds {
        for (((_, run), times), calls) in candidates.iter_mut().zip(&mut times).zip(&calls) {
            let started = now(start);
            for _ in 0..*calls {
                run()?;
            }
            times.push((now(start) - started) * 1e3 / *calls as f64);
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok(candidates
        .into_iter()
        .map(|(name, _)| name)
        .zip(times.into_iter().map(median))
        .collect())
}

fn schemes(size: Size) -> Result<Vec<(&'static str, Plan)>> {
    let inv_freq = (0..size.dim / 2)
        .map(|p| 1e4f64.powf(-2.0 * p as f64 / size.dim as f64))
        .collect();
    let turns = vec![Turn::rotary(inv_freq, 1.0, Pairing::HalfSplit)];
    let learned = |name: &str, shape: &[usize]| ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init: Init::Constant(0.1),
        learned: true,
        per_layer: true,
        clamp: None,
    };
    let h = size.heads;
    let plan = |score: &str, params| -> Result<Plan> {
        Ok(Plan {
            score: score.parse()?,
            params,
            ..Plan::default()
        })
    };
    let fire = "raw + net f(log1p(c[0] * max(q - k, 0)) / log1p(c[0] * max(q, 32) + 0.01))";
    let net = vec![
        learned("c", &[1]),
        learned("f.w1", &[32]),
        learned("f.b1", &[32]),
        learned("f.w2", &[h, 32]),
        learned("f.b2", &[h]),
    ];
    let kerple = vec![learned("a", &[h]), learned("b", &[h])];
    Ok(vec![
        ("nope", Plan::default()),
        (
            "rope",
            Plan {
                turns,
                ..Plan::default()
            },
        ),
        ("alibi", plan("raw - 0.25 * max(q - k, 0)", vec![])?),
        (
            "t5",
            plan(
                "raw + t[h, log1p(max(q - k, 0)) * 4]",
                vec![learned("t", &[h, 32])],
            )?,
        ),
        (
            "kerple",
            plan("raw - a[h] * log1p(b[h] * max(q - k, 0))", kerple)?,
        ),
        ("fire", plan(fire, net)?),
    ])
}

struct Model {
    size: Size,
    vars: BTreeMap<String, Var>,
    plan: Plan,
    prepared: Prepared,
    optimizer: AdamW,
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl Model {
    fn new(size: Size, plan: Plan) -> Result<Model> {
        let (w, f) = (size.width(), size.hidden());
        let mut shapes = vec![
            ("embed".to_string(), vec![size.vocab, w]),
            ("norm".into(), vec![w]),
        ];
        for layer in 0..size.layers {
            let at = |name: &str| format!("{layer}.{name}");
            shapes.extend([
                (at("norm1"), vec![w]),
                (at("qkv"), vec![3 * w, w]),
                (at("out"), vec![w, w]),
                (at("norm2"), vec![w]),
                (at("up"), vec![2 * f, w]),
                (at("down"), vec![w, f]),
            ]);
            shapes.extend(
                plan.params
                    .iter()
                    .map(|spec| (at(&spec.name), spec.shape.clone())),
            );
        }
        let config = AdamWConfig {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.01,
            clip: 1.0,
        };
        let mut optimizer = AdamW::new(config);
        let mut vars = BTreeMap::new();
        for (seed, (name, shape)) in shapes.into_iter().enumerate() {
            let var = Var::new(random(seed as u64 + 1, &shape, 0.05)?.affine(1.0, 0.1)?)?;
            optimizer.add(&name, &var, 1.0, shape.len() > 1, None)?;
            vars.insert(name, var);
        }
        let n = size.tokens;
        let prepared = Prepared::new(&plan, &size.geometry(), 0..n, 0..n, &Device::cpu())?;
        let all = size.batch * n;
        let id = |i: usize, by: usize| ((i * by) % size.vocab) as u32;
        Ok(Model {
            size,
            vars,
            plan,
            prepared,
            optimizer,
            tokens: (0..all).map(|i| id(i, 7919)).collect(),
            targets: (0..all).map(|i| id(i, 104_729)).collect(),
        })
    }

    fn loss(&self, which: Implementation) -> Result<Tensor> {
        let Size {
            batch,
            tokens,
            layers,
            ..
        } = self.size;
        let at = |layer: usize, name: &str| self.vars[&format!("{layer}.{name}")].tensor();
        let embed = self.vars["embed"].tensor();
        let mut x = ops::embed(embed, &self.tokens, &[batch, tokens])?;
        for layer in 0..layers {
            let h = ops::rms_norm(&x, at(layer, "norm1"), 1e-5)?;
            let qkv = ops::linear(&h, at(layer, "qkv"))?;
            let named = |spec: &ParamSpec| (spec.name.clone(), at(layer, &spec.name).clone());
            let params: Params = self.plan.params.iter().map(named).collect();
            let out = attend_packed(&qkv, &self.prepared, &params, &Mask::causal(), which)?;
            x = x.add(&ops::linear(&out.output, at(layer, "out"))?)?;
            let h = ops::rms_norm(&x, at(layer, "norm2"), 1e-5)?;
            let h = ops::swiglu(&ops::linear(&h, at(layer, "up"))?)?;
            x = x.add(&ops::linear(&h, at(layer, "down"))?)?;
        }
        let x = ops::rms_norm(&x, self.vars["norm"].tensor(), 1e-5)?;
        let x = x.reshape((batch * tokens, self.size.width()))?;
        ops::cross_entropy(&x, embed, &self.targets, &vec![1.0; self.targets.len()])
    }

    fn step(&mut self, which: Implementation) -> Result<()> {
        let gradients = self.loss(which)?.backward()?;
        self.optimizer.step(&gradients, 1e-4)?;
        Ok(())
    }

    /// Floating-point operations of a step: three times the forward pass, causal attention at half the square.
    fn flops(&self) -> f64 {
        let s = self.size;
        let (w, n) = (s.width() as f64, s.tokens as f64);
        let layer = 4.0 * w * w + 3.0 * w * s.hidden() as f64 + w * n;
        6.0 * (s.batch * s.tokens) as f64 * (s.layers as f64 * layer + w * s.vocab as f64)
    }
}

fn attention(size: Size, rounds: usize, peak: f64) -> Result<()> {
    let n = size.tokens;
    let qkv = Var::new(random(1, &[size.batch, n, 3 * size.width()], 1.0)?)?;
    // Two products of n²/2 pairs and dim channels forward; five backward.
    let flops = 2.0 * (size.batch * size.heads * n * n * size.dim) as f64;
    let only = std::env::args().nth(3).unwrap_or_default();
    for (name, plan) in schemes(size)? {
        if !name.contains(&only) {
            continue;
        }
        let prepared = Prepared::new(&plan, &size.geometry(), 0..n, 0..n, &Device::cpu())?;
        let vars: Vec<(String, Var)> = plan
            .params
            .iter()
            .map(|spec| {
                Ok((
                    spec.name.clone(),
                    Var::new(random(9, &spec.shape, 0.1)?.affine(1.0, 0.2)?)?,
                ))
            })
            .collect::<Result<_>>()?;
        let params: Params = vars
            .iter()
            .map(|(name, var)| (name.clone(), var.tensor().clone()))
            .collect();
        let fixed: Params = params
            .iter()
            .map(|(name, t)| (name.clone(), t.detach()))
            .collect();
        let mask = Mask::causal();
        let (prepared, params, fixed, mask, qkv) = (&prepared, &params, &fixed, &mask, &qkv);
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        for which in [Implementation::Fused, Implementation::Composed] {
            if which == Implementation::Composed && n > 512 {
                continue;
            }
            candidates.push((
                format!("{which} forward"),
                Box::new(move || {
                    attend_packed(&qkv.tensor().detach(), prepared, fixed, mask, which).map(|_| ())
                }),
            ));
            candidates.push((
                format!("{which} both"),
                Box::new(move || {
                    let out = attend_packed(qkv.tensor(), prepared, params, mask, which)?;
                    out.output.backward().map(|_| ())
                }),
            ));
        }
        print!("  {name:8}");
        for (what, time) in race(rounds, candidates)? {
            let share = if what.ends_with("both") { 3.5 } else { 1.0 };
            let rate = flops * share / (time * 1e-3);
            print!(
                "  {what} {time:.3} ms {:.0} GF/s {:.0}%",
                rate * 1e-9,
                100.0 * rate / peak
            );
        }
        println!();
    }
    Ok(())
}

fn operations(size: Size, rounds: usize, peak: f64) -> Result<()> {
    let rows = size.batch * size.tokens;
    let (w, f) = (size.width(), size.hidden());
    let x = Var::new(random(1, &[rows, w], 1.0)?)?;
    let gate = Var::new(random(2, &[rows, 2 * f], 1.0)?)?;
    let up = Var::new(random(3, &[2 * f, w], 0.1)?)?;
    let norm = Var::new(random(4, &[w], 0.1)?)?;
    let head = Var::new(random(5, &[size.vocab, w], 0.1)?)?;
    let targets: Vec<u32> = (0..rows).map(|i| (i * 31 % size.vocab) as u32).collect();
    let ones = vec![1.0; rows];
    let product = 6.0 * (rows * w * 2 * f) as f64;
    let logits = 6.0 * (rows * w * size.vocab) as f64;
    let candidates: Vec<Candidate<'_>> = vec![
        (
            "linear".into(),
            Box::new(|| ops::linear(x.tensor(), up.tensor())?.backward().map(|_| ())),
        ),
        (
            "candle linear".into(),
            Box::new(|| x.tensor().matmul(&up.tensor().t()?)?.backward().map(|_| ())),
        ),
        (
            "rms_norm".into(),
            Box::new(|| {
                ops::rms_norm(x.tensor(), norm.tensor(), 1e-5)?
                    .backward()
                    .map(|_| ())
            }),
        ),
        (
            "swiglu".into(),
            Box::new(|| ops::swiglu(gate.tensor())?.backward().map(|_| ())),
        ),
        (
            "cross_entropy".into(),
            Box::new(|| {
                ops::cross_entropy(x.tensor(), head.tensor(), &targets, &ones)?
                    .backward()
                    .map(|_| ())
            }),
        ),
        (
            "candle add".into(),
            Box::new(|| x.tensor().add(x.tensor())?.backward().map(|_| ())),
        ),
    ];
    for (name, time) in race(rounds, candidates)? {
        print!("  {name:14} {time:.3} ms");
        let flops = match name.as_str() {
            "linear" | "candle linear" => product,
            "cross_entropy" => logits,
            _ => 0.0,
        };
        if flops > 0.0 {
            let rate = flops / (time * 1e-3);
            print!(" {:.0} GF/s {:.0}%", rate * 1e-9, 100.0 * rate / peak);
        }
        println!();
    }
    Ok(())
}

fn steps(size: Size, rounds: usize, peak: f64) -> Result<()> {
    for (name, plan) in schemes(size)? {
        if !["rope", "kerple"].contains(&name) {
            continue;
        }
        let mut fused = Model::new(size, plan.clone())?;
        let mut composed = Model::new(size, plan)?;
        let flops = fused.flops();
        let candidates: Vec<Candidate<'_>> = vec![
            (
                "fused".into(),
                Box::new(|| fused.step(Implementation::Fused)),
            ),
            (
                "composed".into(),
                Box::new(|| composed.step(Implementation::Composed)),
            ),
        ];
        for (which, time) in race(rounds, candidates)? {
            let rate = flops / (time * 1e-3);
            let share = 100.0 * rate / peak;
            println!(
                "  {name} {which} {time:.2} ms {:.0} GF/s {share:.0}%",
                rate * 1e-9
            );
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(9);
    let only = std::env::args().nth(2).unwrap_or_default();
    let peak = ops::measure_peak();
    println!("peak of one thread {:.1} GF/s", peak * 1e-9);
    let tiny = Size {
        batch: 32,
        tokens: 64,
        heads: 4,
        dim: 16,
        layers: 2,
        vocab: 64,
    };
    let small = Size {
        batch: 16,
        tokens: 128,
        heads: 4,
        dim: 32,
        layers: 4,
        vocab: 256,
    };
    let medium = Size {
        batch: 8,
        tokens: 512,
        heads: 8,
        dim: 32,
        layers: 6,
        vocab: 4096,
    };
    let long = |tokens| Size {
        batch: 1,
        tokens,
        heads: 8,
        dim: 64,
        layers: 1,
        vocab: 256,
    };
    type Section = fn(Size, usize, f64) -> Result<()>;
    let sections: [(&str, Size, Section); 11] = [
        ("tiny operations", tiny, operations),
        ("tiny attention", tiny, attention),
        ("tiny step", tiny, steps),
        ("small operations", small, operations),
        ("small attention", small, attention),
        ("small step", small, steps),
        ("medium operations", medium, operations),
        ("medium step", medium, steps),
        ("2k attention", long(2048), attention),
        ("4k attention", long(4096), attention),
        ("8k attention", long(8192), attention),
    ];
    for (name, size, section) in sections {
        if name.contains(&only) {
            let Size {
                batch,
                tokens,
                heads,
                dim,
                layers,
                vocab,
            } = size;
            println!(
                "{name}: {batch} × {tokens} tokens, {heads} heads of {dim}, {layers} layers, vocabulary {vocab}"
            );
            section(size, rounds, peak)?;
        }
    }
    Ok(())
}
