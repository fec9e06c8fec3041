//! A training run and perplexity far past the trained length.

use super::{batch, decoder, plans, schemes, shape};
use farspan::config::TrainConfig;
use farspan::model::Shape;
use farspan::train::{Batches, Stage, Step, Trainer};
use farspan_attention::Device;
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len};

/// A model that trains in a second on a processor.
fn small() -> Shape {
    shape(1, [2, 1, 16], 16)
}

struct Pattern<'a>(&'a dyn AnyScheme);

impl Batches for Pattern<'_> {
    fn train(&self, step: u64, _config: &TrainConfig, len: usize) -> Batch {
        batch(self.0, &small().geometry, (2, len), step)
    }

    fn chance(&self, _number: u64) -> Box<dyn FnMut() -> f64 + '_> {
        Box::new(|| 0.5)
    }

    fn validation(&self) -> &[Batch] {
        &[]
    }
}

/// Learning rate. At 5e-3 a change of the rate by 1e-6 becomes one of the loss by 7e-2 (the transformer inside SeqPE) and
/// 1.1e-3 (TUPE's normed table) within these steps, on the processor alone; at 1e-3 by 8e-5 and 2e-7. Under RoPE it is
/// 5e-7 at 5e-3.
fn rate(id: &str) -> f64 {
    if ["seqpe", "tupe"].contains(&id) {
        1e-3
    } else {
        5e-3
    }
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
    let (_, len) = plans(id, scheme, &model, model.trained_length).expect("sizes for all");
    let decoder = decoder(&small(), scheme, len, device);
    let stages = vec![Stage::only(decoder.prepare(Len(len), len)?, &config)];
    let mut trainer = Trainer::new(decoder, stages, false, None)?;
    // The last step would validate.
    for _ in 1..config.steps {
        let ended = trainer.step(&Pattern(scheme))?;
        assert_eq!(ended, Step::Ok, "{id}");
    }
    let curve = trainer.progress.curve.iter();
    let losses = curve.map(|(_, loss)| *loss).collect();
    let far = 4 * model.trained_length;
    let (_, len) = plans(id, scheme, &model, far).expect("sizes for all");
    let ready = trainer.model.prepare(Len(len), len)?;
    let mut held = batch(scheme, &model, (1, len), 1000);
    if !scheme.card().task_ids {
        held.positions = None;
    }
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

/// Holds the schemes that `which` takes by number and id against the processor.
pub fn agree(device: &Device, which: &dyn Fn(usize, &str) -> bool) {
    let mut wrong = Vec::new();
    for (number, (id, scheme)) in schemes().into_iter().enumerate() {
        if !which(number, id) {
            continue;
        }
        match compare_runs(id, scheme.as_ref(), device) {
            Ok(found) => wrong.extend(found),
            Err(e) => wrong.push(format!("{id}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
