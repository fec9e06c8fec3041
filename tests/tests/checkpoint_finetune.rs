//! Checkpoints that are trained further: what `finetune` saves, and gradients that are summed over batches.

use farspan::config::types::TrainConfig;
use farspan::model::Decoder;
use farspan::train::{Batches, Stage, Step, Trainer};
use farspan_acceptance::checkpoints::{LETTERS, Place, losses, open};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::Len;

#[test]
fn finetune_saves_a_checkpoint_that_loads_and_has_learned() {
    let place = Place::make();
    let (code, text) = place.run(&[
        "finetune",
        "--model",
        "model",
        "--scheme",
        "yarn,factor=4",
        "--length",
        "128",
        "--steps",
        "60",
        "--batch",
        "4",
        "--lr",
        "1e-2",
        "--lora",
        "4",
        "--lengths",
        "32,128",
        "--segments",
        "2",
        "--out",
        "longer",
        "text.txt",
    ]);
    assert_eq!(code, 0, "{text}");
    let longer = open(&place.path("longer"), None);
    assert_eq!(longer.scheme.id(), "yarn");
    assert!(place.path("longer/tokenizer.json").exists());
    let before = open(&place.path("model"), Some("yarn,factor=4"));
    let text = std::fs::read_to_string(place.path("text.txt")).expect("a text");
    let ids: Vec<u32> = text
        .chars()
        .take(129)
        .map(|c| LETTERS.find(c).expect("a letter") as u32)
        .collect();
    let loss = |model: &Decoder| losses(model, &ids).iter().sum::<f64>() / 128.0;
    assert!(
        loss(&longer) < 0.7 * loss(&before),
        "{} {}",
        loss(&longer),
        loss(&before)
    );
    let (code, text) = place.run(&[
        "finetune", "--model", "model", "--scheme", "rerope", "--length", "128", "--steps", "1",
        "--out", "no", "text.txt",
    ]);
    assert_ne!(code, 0);
    assert!(text.contains("no form in config.json"), "{text}");
    assert!(!place.path("no").exists() && !place.path("no.run").exists());
}

struct Same(Batch);

impl Batches for Same {
    fn train(&self, _number: u64, _config: &TrainConfig, _len: usize) -> Batch {
        self.0.clone()
    }
    fn chance(&self, _number: u64) -> Box<dyn FnMut() -> f64 + '_> {
        Box::new(|| 0.5)
    }

    fn validation(&self) -> &[Batch] {
        std::slice::from_ref(&self.0)
    }
}

#[test]
fn accumulated_gradients_of_equal_batches_are_those_of_one() {
    let place = Place::make();
    let mut stream = Stream::new(2, "batch");
    let mut ids = || (0..64).map(|_| stream.below(64) as u32).collect();
    let batch = Batch {
        tokens: ids(),
        targets: ids(),
        weights: vec![1.0; 64],
        positions: None,
        documents: None,
        rows: 2,
        len: 32,
    };
    let learned = |accumulate: u64| {
        let config = TrainConfig {
            steps: 3,
            warmup: 0,
            accumulate,
            // Adam forgets the size of gradients; neither its moments nor clipping may hide it.
            clip: 1e9,
            ..TrainConfig::default()
        };
        let model = open(&place.path("model"), None);
        let model = model.tune(Len(32), None, 0, None).expect("a model");
        let ready = model.prepare(Len(32), 32).expect("plans");
        let stages = vec![Stage::only(ready, &config)];
        let mut trainer = Trainer::new(model, stages, false, None).expect("a trainer");
        for _ in 0..3 {
            assert_eq!(
                trainer.step(&Same(batch.clone())).expect("a step"),
                Step::Ok
            );
        }
        trainer.state().expect("values")
    };
    let (one, three) = (learned(1), learned(3));
    for (name, (_, values)) in &one {
        let largest = values.iter().fold(0f32, |m, x| m.max(x.abs()));
        for (x, y) in values.iter().zip(&three[name].1) {
            if name.starts_with("adam.m.") {
                assert!((x - y).abs() <= 0.02 * largest, "{name}: {x}, {y}");
                continue;
            }
            // Thirds are rounded, and Adam divides by small numbers.
            assert!((x - y).abs() < 2e-4, "{name}: {x}, {y}");
        }
    }
}
