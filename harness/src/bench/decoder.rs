//! A whole decoder: training steps and evaluation.

use super::Pass;
use super::peer::Case;
use crate::Result;
use crate::config::types::TrainConfig;
use crate::model::{self, Architecture, Decoder, PreparedPlans, Shape};
use crate::train::{Batches, Stage, Step, Trainer};
use farspan_attention::Device;
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::{AnyScheme, Len};
use serde_json::{Map, json};
use std::sync::Arc;

/// Random tokens: the work does not depend on what they say.
#[derive(Debug)]
struct Noise {
    batch: Batch,
}

impl Noise {
    fn new(vocab: usize, rows: usize, len: usize) -> Noise {
        let draw = |name: &str| {
            let mut stream = Stream::new(0, &format!("bench/{name}"));
            let token = |_| (stream.uniform() * vocab as f64) as u32;
            (0..rows * len).map(token).collect()
        };
        Noise {
            batch: Batch {
                tokens: draw("tokens"),
                targets: draw("targets"),
                weights: vec![1.0; rows * len],
                positions: None,
                documents: None,
                rows,
                len,
            },
        }
    }
}

impl Batches for Noise {
    fn train(&self, _number: u64, _config: &TrainConfig, _len: usize) -> Batch {
        self.batch.clone()
    }

    fn chance(&self, _number: u64) -> Box<dyn FnMut() -> f64 + '_> {
        Box::new(|| 0.5)
    }

    fn validation(&self) -> &[Batch] {
        std::slice::from_ref(&self.batch)
    }
}

/// A decoder whose weights are drawn for windows of `len` tokens.
fn drawn(
    shape: &Shape,
    scheme: &Arc<dyn AnyScheme>,
    len: usize,
    device: &Device,
) -> Result<Decoder> {
    let architecture = Architecture::plain(shape);
    Decoder::drawn(architecture, Arc::clone(scheme), Len(len), 0, None, device)
}

/// A decoder in training on noise.
#[derive(Debug)]
pub struct Training<'a> {
    trainer: Trainer<'a>,
    noise: Noise,
    device: Device,
}

/// Settings of a step that never ends a run and never validates.
pub fn train_config() -> TrainConfig {
    TrainConfig {
        steps: u64::MAX,
        validate_every: u64::MAX,
        warmup: 1,
        lr: 1e-4,
        ..TrainConfig::default()
    }
}

impl<'a> Training<'a> {
    /// `rows` windows of `len` tokens per step.
    pub fn new(
        shape: &Shape,
        scheme: &Arc<dyn AnyScheme>,
        (rows, len): (usize, usize),
        config: &'a TrainConfig,
        device: &Device,
    ) -> Result<Training<'a>> {
        let model = drawn(shape, scheme, len, device)?;
        let ready = model.prepare(Len(len), len)?;
        Ok(Training {
            noise: Noise::new(shape.vocab, rows, len),
            trainer: Trainer::new(model, vec![Stage::only(ready, config)], false, None)?,
            device: device.clone(),
        })
    }

    /// One step; names the implementation of attention.
    pub fn run(&mut self) -> Result<&'static str> {
        match self.trainer.step(&self.noise)? {
            Step::Ok => {
                self.device.synchronize()?;
                Ok(self.trainer.implementation)
            }
            Step::Diverged { loss } => {
                let text = format!("training on noise diverged: loss {loss}");
                Err(crate::Error::Data(text))
            }
        }
    }

    /// Floating-point operations of a step: three times those of the forward pass.
    pub fn flops(&self) -> f64 {
        let (rows, len) = (self.noise.batch.rows, self.noise.batch.len);
        3.0 * rows as f64 * self.trainer.model.architecture.forward_flops(len)
    }
}

/// A decoder that scores windows.
#[derive(Debug)]
pub struct Evaluating {
    model: Decoder,
    ready: PreparedPlans,
    noise: Noise,
}

impl Evaluating {
    /// `rows` windows of `len` tokens at once.
    pub fn new(
        shape: &Shape,
        scheme: &Arc<dyn AnyScheme>,
        (rows, len): (usize, usize),
        device: &Device,
    ) -> Result<Evaluating> {
        let model = drawn(shape, scheme, len, device)?;
        Ok(Evaluating {
            ready: model.prepare(Len(len), len)?,
            noise: Noise::new(shape.vocab, rows, len),
            model,
        })
    }

    /// One pass; names the implementation of attention.
    pub fn run(&self) -> Result<&'static str> {
        let batch = &self.noise.batch;
        let hidden = self
            .model
            .hidden(batch, &self.ready, model::Pass::Evaluate)?;
        self.model.row_scores(&hidden.rows, &batch.targets)?;
        Ok(hidden.implementation)
    }

    /// Floating-point operations of a pass.
    pub fn flops(&self) -> f64 {
        let (rows, len) = (self.noise.batch.rows, self.noise.batch.len);
        rows as f64 * self.model.architecture.forward_flops(len)
    }
}

/// How a peer may do the same.
pub fn peer_cases(
    scheme: &str,
    shape: &Shape,
    (rows, len): (usize, usize),
    pass: Pass,
) -> Vec<Case> {
    let geometry = &shape.geometry;
    let same = geometry.kv_heads == geometry.heads
        && geometry.heads * geometry.head_dim == geometry.width
        && ["nope", "rope"].contains(&scheme);
    if !same || pass != Pass::Train {
        return Vec::new();
    }
    let case = json!({
        "kind": "train", "scheme": scheme, "width": geometry.width, "layers": geometry.layers,
        "heads": geometry.heads, "hidden": shape.hidden, "vocab": shape.vocab, "batch": rows, "length": len,
    });
    let case: Map<_, _> = case.as_object().cloned().unwrap_or_default();
    let of = |way| Case {
        way,
        case: case.clone(),
    };
    ["eager", "compiled"].map(of).to_vec()
}
