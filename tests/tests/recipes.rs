//! Recipes of training, each held against numbers that come another way: documents against windows of their own, stages
//! against trainings one after the other, a teacher against a sum in f64, a scheme that starts as another against that one.

#[path = "recipes/documents.rs"]
mod documents;
#[path = "recipes/ids.rs"]
mod ids;
#[path = "recipes/retrofit.rs"]
mod retrofit;
#[path = "recipes/stages.rs"]
mod stages;
#[path = "recipes/teacher.rs"]
mod teacher;

use farspan::model::{Decoder, Pass, PreparedPlans};
use farspan_acceptance::parity::{VOCAB, decoder, shape};
use farspan_attention::Device;
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::{AnyScheme, Registry};
use serde_json::Value;
use std::sync::Arc;

const TRAINED: usize = 32;

fn scheme(id: &str, settings: Value) -> Arc<dyn AnyScheme> {
    Arc::from(Registry::builtin().parse(id, settings).expect("a scheme"))
}

fn drawn(scheme: &Arc<dyn AnyScheme>) -> Decoder {
    let shape = shape(2, [4, 2, 16], TRAINED);
    decoder(&shape, scheme.as_ref(), TRAINED, &Device::cpu())
}

fn random(seed: u64, rows: usize, len: usize) -> Batch {
    let mut stream = Stream::new(seed, "tests/recipes");
    let mut ids = || {
        (0..rows * len)
            .map(|_| stream.below(VOCAB as u64) as u32)
            .collect()
    };
    Batch {
        tokens: ids(),
        targets: ids(),
        weights: vec![1.0; rows * len],
        positions: None,
        documents: None,
        rows,
        len,
    }
}

fn logits(model: &Decoder, batch: &Batch, ready: &PreparedPlans) -> Vec<f32> {
    let hidden = model.hidden(batch, ready, Pass::Evaluate).expect("a pass");
    let logits = model.logits(&hidden.rows).expect("logits");
    logits.to_flat().expect("numbers")
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}
