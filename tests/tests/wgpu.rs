//! Every scheme on a device of wgpu against the processor: loss and gradients, a training run, perplexity far past the
//! trained length, and attention under masks of documents.
//!
//! Without an adapter these tests fail; `FARSPAN_NO_GPU=1` tells `test.sh` to leave them out. By hand: `FARSPAN_SEED=7`
//! draws other sizes.

#![expect(clippy::result_large_err, reason = "tests print an error once")]

use farspan::config::TrainConfig;
use farspan::model::{Decoder, Model, Ready, Shape};
use farspan::train::{Batches, Step, Trainer};
use farspan_acceptance::{run, text};
use farspan_attention::attend::{INPUT, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::wgpu::attend::Kernels;
use farspan_attention::wgpu::validate;
use farspan_attention::{Device, Tensor, Var, fused};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::{AnyScheme, Len, PlanError, Registry};
use serde_json::json;
use std::collections::BTreeSet;

/// What the tests run at.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    shape: Shape,
    /// Windows of a batch.
    rows: usize,
    /// Tokens of a window.
    len: usize,
    seed: u64,
}

/// Two query heads to a key/value head, odd lengths past the trained one; with `FARSPAN_SEED` other sizes, drawn from it.
fn sizes() -> Sizes {
    let Ok(seed) = std::env::var("FARSPAN_SEED") else {
        return Sizes {
            shape: shape(2, [4, 2, 16], 16),
            rows: 2,
            len: 37,
            seed: 1,
        };
    };
    let seed: u64 = seed.parse().expect("FARSPAN_SEED is a whole number");
    let mut stream = Stream::new(seed, "tests/wgpu/sizes");
    let mut one_of = |from: &[usize]| from[(stream.uniform() * from.len() as f64) as usize];
    let kv_heads = one_of(&[1, 2, 3]);
    let heads = kv_heads * one_of(&[1, 2, 3]);
    let head_dim = one_of(&[8, 16, 24]);
    Sizes {
        shape: shape(
            one_of(&[1, 2, 3]),
            [heads, kv_heads, head_dim],
            one_of(&[11, 16, 24]),
        ),
        rows: one_of(&[1, 2, 3]),
        len: one_of(&[13, 29, 37, 65, 71]),
        seed,
    }
}

fn shape(layers: usize, [heads, kv_heads, head_dim]: [usize; 3], trained_length: usize) -> Shape {
    Shape {
        geometry: Geometry {
            layers,
            width: heads * head_dim,
            heads,
            kv_heads,
            head_dim,
            trained_length,
        },
        hidden: 40,
        vocab: VOCAB,
    }
}

const VOCAB: usize = 23;

/// Largest distance between gradients, relative to their norm.
const GRADIENTS: f64 = 1e-4;

fn adapter() -> Device {
    Device::open("wgpu").unwrap_or_else(|e| {
        panic!(
            "{e}\nThese tests need an adapter of Vulkan, Metal or DirectX 12; a software one does: on Debian and Ubuntu \
             `apt-get install mesa-vulkan-drivers`. FARSPAN_NO_GPU=1 ./test.sh leaves them out."
        )
    })
}

/// Every scheme as it comes.
fn schemes() -> Vec<(&'static str, Box<dyn AnyScheme>)> {
    let registry = Registry::builtin();
    let parsed = registry.entries().iter().map(|entry| {
        let scheme = entry.parse(json!({}));
        (
            entry.id,
            scheme.unwrap_or_else(|e| panic!("{}: {e}", entry.id)),
        )
    });
    parsed.collect()
}

/// The plans of all layers for windows of `length` tokens, or of as many as the scheme serves. `None` if sizes were drawn
/// that the scheme refuses.
fn plans(
    id: &str,
    scheme: &dyn AnyScheme,
    model: &Geometry,
    length: usize,
) -> Option<(Vec<Plan>, usize)> {
    match scheme.layer_plans(model, Len(length)) {
        Ok(plans) => Some((plans, length)),
        Err(PlanError::NotServed { limit, .. }) => {
            let plans = scheme.layer_plans(model, Len(limit));
            Some((plans.unwrap_or_else(|e| panic!("{id}: {e}")), limit))
        }
        Err(PlanError::Model { .. }) => None,
        Err(e) => panic!("{id}: {e}"),
    }
}

/// Windows of a pattern that can be learned, at positions as the scheme draws them.
fn batch(
    scheme: &dyn AnyScheme,
    model: &Geometry,
    (rows, len): (usize, usize),
    seed: u64,
) -> Batch {
    let mut stream = Stream::new(seed, "tests/wgpu");
    let mut uniform = || stream.uniform();
    let recipe = scheme.recipe(model).expect("a recipe");
    let sampler = recipe.positions.filter(|x| x.check_length(len).is_ok());
    let mut batch = Batch {
        tokens: Vec::new(),
        targets: Vec::new(),
        weights: Vec::new(),
        positions: sampler.map(|_| Vec::new()),
        rows,
        len,
    };
    for _ in 0..rows {
        let start = (uniform() * VOCAB as f64) as usize;
        let token = |t: usize| ((start + 5 * t + t / 3) % VOCAB) as u32;
        batch.tokens.extend((0..len).map(token));
        batch.targets.extend((1..=len).map(token));
        // Some tokens are not scored.
        batch
            .weights
            .extend((0..len).map(|t| f32::from(t % 5 != 1)));
        if let (Some(all), Some(sampler)) = (&mut batch.positions, sampler) {
            let text = sampler.text(len).max(len);
            all.extend(sampler.draw(len, text, &mut uniform).positions);
        }
    }
    batch
}

fn decoder(shape: Shape, plans: &[Plan], device: &Device) -> Decoder {
    let mut decoder = Decoder::new(shape, plans, 3, None, device).expect("a decoder");
    // Places by segments close at a full stop.
    let text = |id: usize| if id.is_multiple_of(7) { "." } else { "a" };
    decoder.set_texts((0..VOCAB).map(|id| text(id).to_string()).collect());
    decoder
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let values = tensor.to_flat::<f32>().expect("f32 values");
    values.into_iter().map(f64::from).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// ‖x − y‖
fn distance(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    let difference: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
    norm(&difference)
}

/// Loss, implementation, and gradients by name.
type Found = (f64, &'static str, Vec<(String, Vec<f64>)>);

fn loss_and_gradients(
    shape: Shape,
    plans: &[Plan],
    batch: &Batch,
    device: &Device,
) -> farspan::Result<Found> {
    let decoder = decoder(shape, plans, device);
    let ready = decoder.ready(plans, batch.len)?;
    let (loss, implementation) = decoder.loss(batch, &ready)?;
    let gradients = loss.backward()?;
    let found = decoder.weights().iter().map(|(name, weight)| {
        let zeros = || vec![0.0; weight.var.tensor().elem_count()];
        let gradient = gradients.get(&weight.var).map_or_else(zeros, |x| flat(&x));
        (name.clone(), gradient)
    });
    Ok((
        f64::from(loss.to_scalar::<f32>()?),
        implementation,
        found.collect(),
    ))
}

/// What differs between the devices by more than it may.
fn compare(id: &str, scheme: &dyn AnyScheme, device: &Device) -> farspan::Result<Vec<String>> {
    let Sizes {
        shape,
        rows,
        len,
        seed,
    } = sizes();
    let Some((plans, len)) = plans(id, scheme, &shape.geometry, len) else {
        let drawn = std::env::var_os("FARSPAN_SEED").is_some();
        assert!(drawn, "{id} refuses the sizes of this test");
        return Ok(Vec::new());
    };
    let batch = batch(scheme, &shape.geometry, (rows, len), seed);
    let (loss, ran, gradients) = loss_and_gradients(shape, &plans, &batch, device)?;
    let (expected, usual, exact) = loss_and_gradients(shape, &plans, &batch, &Device::cpu())?;
    let mut wrong = Vec::new();
    if ran != usual {
        wrong.push(format!("{id}: ran {ran}, on the processor {usual}"));
    }
    if (loss - expected).abs() > 1e-4 * expected || !loss.is_finite() {
        wrong.push(format!("{id}: loss {loss}, expected {expected}"));
    }
    // A gradient that is zero in theory is rounding on both sides.
    let all = norm(&exact.iter().map(|(_, x)| norm(x)).collect::<Vec<_>>());
    for ((name, found), (_, exact)) in gradients.iter().zip(&exact) {
        let apart = distance(found, exact) / (norm(exact) + 1e-4 * all);
        if apart > GRADIENTS || apart.is_nan() {
            wrong.push(format!("{id}: gradient of {name}: {apart:.1e} apart"));
        }
    }
    Ok(wrong)
}

/// Masks of all kinds, for so many tokens.
fn masks(tokens: usize) -> Vec<Mask> {
    let documents = Some((0..tokens).map(|t| u32::from(3 * t > tokens)).collect());
    vec![
        Mask::causal(),
        Mask::default(),
        Mask {
            causal: true,
            window: Some(9),
            sinks: 2,
            documents,
        },
    ]
}

/// Needs no adapter.
#[test]
fn every_shader_that_the_registry_can_generate_is_valid() {
    let mut generated = BTreeSet::new();
    let here = Device::cpu();
    for (id, scheme) in schemes() {
        // Grouped heads, one head, large heads.
        for sizes in [[4, 2, 16], [1, 1, 8], [8, 8, 128]] {
            for length in [1, 16, 37, 129] {
                let model = shape(2, sizes, 16).geometry;
                let Some((plans, length)) = plans(id, scheme.as_ref(), &model, length) else {
                    continue;
                };
                for plan in plans {
                    if fused::supports(&plan, &here).is_err() {
                        continue;
                    }
                    for mask in masks(length) {
                        let prepared = Prepared::new(&plan, &model, 0..length, 0..length, &here);
                        let kernels = prepared.and_then(|x| Kernels::new(&x, &mask, 2));
                        let kernels = kernels.unwrap_or_else(|e| panic!("{id}: {e}"));
                        let texts = kernels.texts().into_iter();
                        generated.extend(texts.map(|(name, text)| (text.to_string(), id, name)));
                    }
                }
            }
        }
    }
    // Most schemes have kernels of their own, not those of another.
    assert!(generated.len() > 500, "{} shaders", generated.len());
    let mut last = String::new();
    for (text, id, name) in generated {
        if text != last {
            validate(&text).unwrap_or_else(|e| panic!("{id}, {name}: {e}\n{text}"));
            last = text;
        }
    }
}

/// The kernels' scores, through `explain`, against the formulas in f64.
#[test]
fn wgpu_scores_are_those_that_are_explained() {
    let mut wrong = Vec::new();
    for (id, _) in schemes() {
        let sizes = ["--heads=4", "--kv-heads=2", "--head-dim=16", "--length=37"];
        let mut arguments = vec![
            "explain",
            id,
            "--device=wgpu",
            "--json",
            "--trained-length=16",
        ];
        arguments.extend(sizes);
        let output = run(&arguments);
        let told: serde_json::Value = match serde_json::from_slice(&output.stdout) {
            Ok(told) => told,
            // Some schemes end at the trained length.
            Err(_) if text(&output.stderr).contains("cannot be served") => continue,
            Err(e) => panic!("{id}: {e}: {}", text(&output.stderr)),
        };
        let there = &told["on_device"];
        let fused = there["implementation"] == "fused";
        let kernels = there["kernels"].as_array().map_or(0, Vec::len);
        if fused != (kernels >= 4) {
            wrong.push(format!(
                "{id}: {kernels} kernels, {}",
                there["implementation"]
            ));
        }
        let content = !told["bias"].is_array() && told["bias"].is_null();
        match there["largest_difference"].as_f64() {
            Some(apart) if apart < 1e-5 => {}
            None if content || !fused => {}
            other => wrong.push(format!("{id}: scores are {other:?} apart")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wgpu_agrees_on_loss_and_gradients_of_every_scheme() {
    let device = adapter();
    let mut wrong = Vec::new();
    for (id, scheme) in schemes() {
        match compare(id, scheme.as_ref(), &device) {
            Ok(found) => wrong.extend(found),
            Err(e) => wrong.push(format!("{id}: {e}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "on {}, {:?}:\n{}",
        device.note(),
        sizes(),
        wrong.join("\n")
    );
}

/// A model that trains in a second on a processor.
fn small() -> Shape {
    shape(1, [2, 1, 16], 16)
}

struct Pattern<'a>(&'a dyn AnyScheme);

impl Batches for Pattern<'_> {
    fn train(&self, step: u64, len: usize) -> Batch {
        batch(self.0, &small().geometry, (2, len), step)
    }

    fn validation(&self) -> &[Batch] {
        &[]
    }
}

/// Learning rate. At 5e-3 the transformer inside SeqPE turns a change of the rate by 1e-6 into 7e-2 of the loss within 17
/// steps, on the processor alone; at 1e-3 into 1e-5.
fn rate(id: &str) -> f64 {
    if id == "seqpe" { 1e-3 } else { 5e-3 }
}

/// Loss of every step, then negative log-likelihoods at four times the trained length.
fn train(
    id: &str,
    scheme: &dyn AnyScheme,
    device: &Device,
) -> farspan::Result<(Vec<f64>, Vec<f64>)> {
    let config = TrainConfig {
        steps: 50,
        validate_every: u64::MAX,
        warmup: 5,
        lr: rate(id),
        ..TrainConfig::default()
    };
    let model = small().geometry;
    let (plans, len) = plans(id, scheme, &model, model.trained_length).expect("sizes for all");
    let decoder = decoder(small(), &plans, device);
    let ready: Ready = decoder.ready(&plans, len)?;
    let mut trainer = Trainer::new(
        Box::new(decoder),
        vec![(u64::MAX, ready)],
        &config,
        false,
        None,
    )?;
    // The last step would validate.
    for _ in 1..config.steps {
        let ended = trainer.step(&Pattern(scheme))?;
        assert_eq!(ended, Step::Ok, "{id}");
    }
    let curve = trainer.progress.curve.iter();
    let losses = curve.map(|(_, loss)| *loss).collect();
    let far = 4 * model.trained_length;
    let (plans, len) = self::plans(id, scheme, &model, far).expect("sizes for all");
    let ready = trainer.model.ready(&plans, len)?;
    let mut held = batch(scheme, &model, (1, len), 1000);
    held.positions = None;
    let scores = trainer.model.scores(&held, &ready)?;
    let nll = scores.iter().map(|score| f64::from(score.nll));
    Ok((losses, nll.collect()))
}

/// What differs between the devices by more than it may.
fn compare_runs(id: &str, scheme: &dyn AnyScheme, device: &Device) -> farspan::Result<Vec<String>> {
    let (losses, far) = train(id, scheme, device)?;
    let (exact, exact_far) = train(id, scheme, &Device::cpu())?;
    let mut wrong = Vec::new();
    if exact[48] >= 0.9 * exact[0] {
        wrong.push(format!("{id}: nothing was learned, {exact:?}"));
    }
    let apart = losses.iter().zip(&exact).map(|(x, y)| (x - y).abs() / y);
    let worst = apart.fold(0.0, f64::max);
    if losses.len() != exact.len() || worst > 1e-3 || losses.iter().any(|x| x.is_nan()) {
        wrong.push(format!("{id}: losses are {worst:.1e} apart"));
    }
    let perplexity = |nll: &[f64]| (nll.iter().sum::<f64>() / nll.len() as f64).exp();
    let (x, y) = (perplexity(&far), perplexity(&exact_far));
    let apart = (x - y).abs() / y;
    if apart > 1e-3 || apart.is_nan() {
        wrong.push(format!("{id}: perplexity {x}, expected {y}"));
    }
    Ok(wrong)
}

#[test]
fn wgpu_trains_and_extrapolates_like_the_processor() {
    let device = adapter();
    let mut wrong = Vec::new();
    for (id, scheme) in schemes() {
        match compare_runs(id, scheme.as_ref(), &device) {
            Ok(found) => wrong.extend(found),
            Err(e) => wrong.push(format!("{id}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tokens of two documents.
const TOKENS: usize = 45;

/// Output and gradients of attention over two documents, with a window and a sink.
fn over_documents(plan: &Plan, device: &Device) -> farspan_attention::Result<Vec<Vec<f64>>> {
    let Sizes {
        shape, rows, seed, ..
    } = sizes();
    let Geometry {
        width,
        heads,
        kv_heads,
        head_dim,
        ..
    } = shape.geometry;
    let var = |name: &str, shape: &[usize]| {
        let mut stream = Stream::new(seed + 4, name);
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| stream.normal() as f32)
            .collect();
        Var::new(Tensor::from_vec(values, shape, device)?)
    };
    let mut vars = vec![
        var("q", &[rows + 1, heads, TOKENS, head_dim])?,
        var("k", &[rows + 1, kv_heads, TOKENS, head_dim])?,
        var("v", &[rows + 1, kv_heads, TOKENS, head_dim])?,
        var("input", &[rows + 1, TOKENS, width])?,
    ];
    let mut params = Params::from([(INPUT.to_string(), vars[3].tensor().clone())]);
    for spec in plan.params.iter().filter(|spec| spec.learned) {
        let var = var(&spec.name, &spec.shape)?;
        let mut values: Vec<f32> = var.tensor().to_flat()?;
        for (i, x) in values.iter_mut().enumerate() {
            // Near the values that training starts from; the noise is normal.
            let start = match &spec.init {
                Init::Constant(start) => start + 0.05 * f64::from(*x),
                Init::Values(values) => values[i],
                Init::Uniform(low, high) => low + (high - low) * f64::from(x.tanh() * 0.5 + 0.5),
                Init::Normal(mean, std) => mean + std * f64::from(*x),
            };
            let (low, high) = spec.clamp.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            *x = start.clamp(low, high) as f32;
        }
        var.set(&Tensor::from_vec(values, spec.shape.as_slice(), device)?)?;
        params.insert(spec.name.clone(), var.tensor().clone());
        vars.push(var);
    }
    let mask = Mask {
        causal: true,
        window: Some(17),
        sinks: 2,
        documents: Some((0..TOKENS).map(|t| u32::from(t >= 19)).collect()),
    };
    let prepared = Prepared::new(plan, &shape.geometry, 0..TOKENS, 0..TOKENS, device)?;
    let [q, k, v] = [0, 1, 2].map(|i| vars[i].tensor());
    let out = attend(q, k, v, &prepared, &params, &mask, Implementation::Auto)?.output;
    let gradients = out.mul(&out.sin()?)?.backward()?;
    let mut found = vec![flat(&out)];
    for var in &vars {
        let gradient = gradients.get(var);
        found.push(gradient.map_or(Vec::new(), |x| flat(&x)));
    }
    Ok(found)
}

#[test]
fn wgpu_attends_within_documents() {
    let device = adapter();
    for (id, scheme) in schemes() {
        let Ok(plan) = scheme.plan(&sizes().shape.geometry, Len(TOKENS)) else {
            continue;
        };
        let run =
            |device: &Device| over_documents(&plan, device).unwrap_or_else(|e| panic!("{id}: {e}"));
        let (found, exact) = (run(&device), run(&Device::cpu()));
        // A gradient that is zero in theory (of a constant that all scores share) is rounding on both sides.
        let all = norm(&exact.iter().map(|x| norm(x)).collect::<Vec<_>>());
        for (i, (x, y)) in found.iter().zip(&exact).enumerate() {
            let apart = distance(x, y) / (norm(y) + 1e-2 * all);
            assert!(apart < GRADIENTS, "{id}: tensor {i} is {apart:.1e} apart");
        }
    }
}
