//! What two devices are compared at: sizes, plans, windows, and distances.

pub mod documents;
pub mod step;
pub mod training;

use farspan::model::{Architecture, Decoder, Shape};
use farspan_attention::attend::Mask;
use farspan_attention::gpu::attend::Kernels;
use farspan_attention::plan::{Geometry, Plan, PositionIds};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Precision, Tensor, fused};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::{AnyScheme, Len, PlanError, Registry};
use serde_json::json;
use std::sync::Arc;

/// What the tests run at.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub shape: Shape,
    /// Windows of a batch.
    pub rows: usize,
    /// Tokens of a window.
    pub len: usize,
    pub seed: u64,
}

/// Two query heads to a key/value head, odd lengths past the trained one; with `FARSPAN_SEED` other sizes, drawn from it.
pub fn sizes() -> Sizes {
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

pub fn shape(
    layers: usize,
    [heads, kv_heads, head_dim]: [usize; 3],
    trained_length: usize,
) -> Shape {
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

pub const VOCAB: usize = 23;

/// Largest distance between gradients, relative to their norm, where a device rounds so.
pub fn apart(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        // A number is wrong by up to 1 in 2048, or in 256.
        Precision::Tf32 => 2e-3,
        Precision::Bf16 => 2e-2,
    }
}

pub fn adapter() -> Device {
    Device::open("wgpu").unwrap_or_else(|e| {
        panic!(
            "{e}\nThese tests need an adapter of Vulkan, Metal or DirectX 12; a software one does: on Debian and Ubuntu \
             `apt-get install mesa-vulkan-drivers`. FARSPAN_NO_GPU=1 ./test.sh leaves them out."
        )
    })
}

/// Every scheme as it comes.
pub fn schemes() -> Vec<(&'static str, Box<dyn AnyScheme>)> {
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
pub fn plans(
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

/// Masks of all kinds, for so many tokens.
fn masks(tokens: usize) -> [Mask; 3] {
    let documents = Some((0..tokens).map(|t| u32::from(3 * t > tokens)).collect());
    [
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

/// Name and text of every kernel of attention that is generated for a scheme in windows of `length` tokens, or of as many as
/// it serves, under all kinds of masks, for a device that rounds so. Needs none.
pub fn kernels(
    id: &str,
    scheme: &dyn AnyScheme,
    model: &Geometry,
    length: usize,
    precision: Precision,
) -> Vec<(&'static str, String)> {
    let here = Device::cpu();
    let Some((plans, length)) = plans(id, scheme, model, length) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for plan in plans.iter().filter(|x| fused::supports(x, &here).is_ok()) {
        for mask in masks(length) {
            let prepared = Prepared::new(plan, model, 0..length, 0..length, &here);
            let kernels = prepared.and_then(|x| Kernels::new(&x, &mask, 2, precision));
            let kernels = kernels.unwrap_or_else(|e| panic!("{id}: {e}"));
            let texts = kernels.texts().into_iter();
            found.extend(texts.map(|(name, text)| (name, text.to_string())));
        }
    }
    found
}

/// Windows of a pattern that can be learned, at positions as the scheme draws them.
pub fn batch(
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
        documents: None,
        rows,
        len,
    };
    let plan = scheme.plan(model, Len(len)).ok();
    if let Some(PositionIds::Given { .. }) = plan.map(|plan| plan.position_ids) {
        // As digits of numbers of four.
        let ids = (0..rows * len).map(|t| (t % len % 5) as f64);
        batch.positions = Some(ids.collect());
    }
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

pub fn decoder(shape: &Shape, scheme: &dyn AnyScheme, len: usize, device: &Device) -> Decoder {
    let scheme = Registry::builtin().parse(scheme.id(), scheme.settings());
    let scheme = Arc::from(scheme.expect("a scheme"));
    let architecture = Architecture::plain(shape);
    let decoder = Decoder::drawn(architecture, scheme, Len(len), 3, None, device);
    // Places by segments close at a full stop.
    let text = |id: usize| if id.is_multiple_of(7) { "." } else { "a" };
    let texts = (0..VOCAB).map(|id| text(id).to_string()).collect();
    decoder.expect("a decoder").with_texts(texts)
}

pub fn flat(tensor: &Tensor) -> Vec<f64> {
    let values = tensor.to_flat::<f32>().expect("f32 values");
    values.into_iter().map(f64::from).collect()
}

pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// ‖x − y‖
pub fn distance(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    let difference: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
    norm(&difference)
}
