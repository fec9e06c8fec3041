//! Stages of a fine-tuning.

use super::{TRAINED, drawn, random, scheme};
use farspan::config::TrainConfig;
use farspan::model::{Architecture, Decoder, Values};
use farspan::train::{Batches, Progress, Stage, Step, Trainer};
use farspan_acceptance::parity::shape;
use farspan_attention::Device;
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::{AnyScheme, Len};
use serde_json::json;
use std::sync::Arc;

/// Batches that are a function of number and length.
struct Numbered;

impl Batches for Numbered {
    fn train(&self, number: u64, config: &TrainConfig, len: usize) -> Batch {
        random(100 + number, config.batch, len)
    }

    fn validation(&self) -> &[Batch] {
        &[]
    }

    fn chance(&self, number: u64) -> Box<dyn FnMut() -> f64 + '_> {
        let mut stream = Stream::new(number, "tests/chance");
        Box::new(move || stream.uniform())
    }
}

fn train_config(length: usize, steps: u64, lr: f64) -> TrainConfig {
    TrainConfig {
        length,
        batch: 2,
        steps,
        lr,
        warmup: 2,
        validate_every: u64::MAX,
        ..TrainConfig::default()
    }
}

/// A decoder with these weights.
fn begun(under: &Arc<dyn AnyScheme>, given: &Values) -> Decoder {
    let architecture = Architecture::plain(&shape(2, [4, 2, 16], TRAINED));
    let (under, device) = (Arc::clone(under), Device::cpu());
    let model = Decoder::drawn(architecture, under, Len(32), 3, Some(given), &device);
    model.expect("a model")
}

/// All steps of `config`, from a step and a batch on.
fn stage_under<'a>(
    under: &dyn AnyScheme,
    model: &Decoder,
    config: &'a TrainConfig,
    (start, first_batch): (u64, u64),
) -> Stage<'a> {
    let windows = model.prepare_under(under, Len(config.length), config.length);
    Stage {
        until: start + config.steps,
        windows: vec![windows.expect("plans")],
        config,
        start,
        first_batch,
    }
}

fn go(trainer: &mut Trainer<'_>, steps: u64) {
    for _ in 0..steps {
        // Nothing is validated: there are no batches for it, and no mean of none.
        assert_eq!(trainer.step(&Numbered).expect("a step"), Step::Ok);
    }
}

#[test]
fn stages_are_trainings_one_after_the_other_and_resume_to_the_byte() {
    let bases = [1e4, 5e4].map(|base| scheme("rope", json!({ "base": base })));
    let configs = [train_config(16, 3, 3e-3), train_config(32, 4, 1e-3)];
    let start = drawn(&bases[1]).values().expect("values");
    let model = |given: &Values| begun(&bases[1], given);
    let stage = |model: &Decoder, at: usize, begins: (u64, u64)| {
        stage_under(bases[at].as_ref(), model, &configs[at], begins)
    };
    // Each by itself, in a trainer of its own.
    let mut values = start.clone();
    for (at, first) in [(0, 0), (1, 3)] {
        let model = model(&values);
        let alone = vec![stage(&model, at, (0, first))];
        let mut trainer = Trainer::new(model, alone, false, None).expect("a trainer");
        go(&mut trainer, configs[at].steps);
        values = trainer.model.values().expect("values");
    }
    // Both in one, stopped after `stop` steps, of which 3 is where one ends.
    for stop in [0, 2, 3, 4, 7] {
        let both = |given: &Values, state: Option<(Progress, &Values)>| {
            let model = model(given);
            let both = vec![stage(&model, 0, (0, 0)), stage(&model, 1, (3, 3))];
            Trainer::new(model, both, false, state).expect("a trainer")
        };
        let mut trainer = both(&start, None);
        go(&mut trainer, stop);
        let (state, progress) = (trainer.state().expect("a state"), trainer.progress.clone());
        let mut trainer = both(&state, Some((progress, &state)));
        go(&mut trainer, 7 - stop);
        assert!(trainer.finished());
        let found = trainer.model.values().expect("values");
        assert!(found == values, "stopped at {stop}");
    }
}

#[test]
fn what_explodes_is_told_by_the_first_loss_of_its_stage() {
    let rope = scheme("rope", json!({}));
    let configs = [train_config(16, 3, 1e-6), train_config(32, 4, 1e-6)];
    // Embeddings that make it sure of what is wrong.
    let mut values = drawn(&rope).values().expect("values");
    for (name, (_, data)) in &mut values {
        if name.contains("embed") {
            data.iter_mut().for_each(|x| *x *= 50.0);
        }
    }
    let trainer = |state: Option<(Progress, &Values)>| {
        let model = begun(&rope, &values);
        let stage =
            |at: usize, from| stage_under(rope.as_ref(), &model, &configs[at], (from, from));
        let stages = vec![stage(0, 0), stage(1, 3)];
        Trainer::new(model, stages, false, state).expect("a trainer")
    };
    let state = trainer(None).state().expect("a state");
    for (step, explodes) in [(1, true), (3, false), (4, true)] {
        let progress = Progress {
            step,
            first_loss: Some(0.5),
            ..Progress::default()
        };
        let found = trainer(Some((progress, &state))).step(&Numbered);
        let diverged = matches!(found.expect("a step"), Step::Diverged { .. });
        assert_eq!(diverged, explodes, "step {step}");
    }
}
