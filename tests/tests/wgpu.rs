//! Every scheme on a device of wgpu against the processor: loss and gradients, a training run, perplexity far past the
//! trained length, and attention under masks of documents.
//!
//! Without an adapter these tests fail; `FARSPAN_NO_GPU=1` tells `test.sh` to leave them out. By hand: `FARSPAN_SEED=7`
//! draws other sizes.

use farspan::model::Shape;
use farspan_acceptance::parity::{
    GRADIENTS, Sizes, adapter, batch, decoder, distance, flat, norm, plans, schemes, shape, sizes,
};
use farspan_acceptance::{run, text};
use farspan_attention::attend::{INPUT, Implementation, Mask, Params, attend};
use farspan_attention::gpu::attend::Kernels;
use farspan_attention::gpu::validate;
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor, Var, fused};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::{AnyScheme, Len};
use std::collections::BTreeSet;

#[path = "wgpu/training.rs"]
mod training;

/// Loss, implementation, and gradients by name.
type Found = (f64, &'static str, Vec<(String, Vec<f64>)>);

fn loss_and_gradients(
    shape: &Shape,
    scheme: &dyn AnyScheme,
    batch: &Batch,
    device: &Device,
) -> farspan::Result<Found> {
    let decoder = decoder(shape, scheme, batch.len, device);
    let ready = decoder.prepare(Len(batch.len), batch.len)?;
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
    let Some((layers, len)) = plans(id, scheme, &shape.geometry, len) else {
        let drawn = std::env::var_os("FARSPAN_SEED").is_some();
        assert!(drawn, "{id} refuses the sizes of this test");
        return Ok(Vec::new());
    };
    let batch = batch(scheme, &shape.geometry, (rows, len), seed);
    let (loss, ran, gradients) = loss_and_gradients(&shape, scheme, &batch, device)?;
    let (expected, usual, exact) = loss_and_gradients(&shape, scheme, &batch, &Device::cpu())?;
    let mut wrong = Vec::new();
    // What kernels know of hooks, they know on the processor alone.
    let mut hooks = layers.iter().flat_map(|plan| &plan.hooks);
    let formed = hooks.any(|hook| hook.has_form()) && (ran, usual) == ("composed", "fused");
    if ran != usual && !formed {
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
