//! What a cell's model is made of: where its weights come from, who teaches it, and the stages that it is trained in.

use super::CellConfig;
use crate::checkpoint::of_files;
use crate::config::types::TrainConfig;
use crate::model::{Decoder, Values, is_of_scheme, learned_shapes, weights_of};
use crate::scheme::Apart;
use crate::teacher::Teacher;
use crate::train;
use crate::{Error, Result};
use farspan_attention::Device;
use farspan_pe::recipe::{LengthStage, Recipe};
use farspan_pe::{AnyScheme, Len, Needs, Registry};
use farspan_reports::record::Stage;
use serde_json::Value;
use std::sync::Arc;

/// What the model of a cell is made of.
pub(super) struct Making<'m> {
    pub(super) config: &'m CellConfig,
    /// Schemes of the layers that keep one of their own.
    pub(super) apart: Apart,
    /// Weights of the cell's base.
    pub(super) base: Option<&'m Values>,
    /// Text of each token.
    pub(super) texts: &'m dyn Fn() -> Result<Arc<[String]>>,
    pub(super) device: &'m Device,
    pub(super) registry: &'m Registry,
}

impl Making<'_> {
    /// The model under `scheme`, with `own`, what it has learned so far.
    pub(super) fn decoder(
        &self,
        scheme: Arc<dyn AnyScheme>,
        own: Option<&Values>,
    ) -> Result<Decoder> {
        let config = self.config;
        let context_len = context_len(
            &config.train,
            &scheme.recipe(&config.architecture.geometry)?,
            config.train.length,
        );
        let (device, seed) = (self.device, config.seed);
        let decoder = match self.start(&scheme)? {
            // What a checkpoint's scheme lacks is not made up where nothing is to be learned.
            Some(start) if config.checkpoint.is_some() && config.stage != Stage::FineTuned => start,
            Some(start) => start.tune(context_len, config.lora.as_ref(), seed, own)?,
            None => {
                let architecture = config.architecture.clone();
                Decoder::drawn(architecture, scheme, context_len, seed, own, device)?
                    .with_apart(self.apart.clone())
            }
        };
        let decoder = decoder.recomputing(config.checkpointing);
        self.told(decoder)
    }

    /// `decoder` with what its tokens say, if its scheme reads that.
    fn told(&self, decoder: Decoder) -> Result<Decoder> {
        Ok(match decoder.reads_texts()? {
            true => decoder.with_texts((self.texts)()?),
            false => decoder,
        })
    }

    /// The model whose next tokens the cell learns to tell, if there is one.
    pub(super) fn teacher(&self) -> Result<Option<Teacher>> {
        let Some(asked) = &self.config.teacher else {
            return Ok(None);
        };
        let model = match &asked.checkpoint {
            Some(checkpoint) => {
                let files = checkpoint.files(&self.config.data_root)?;
                of_files(&files, self.registry, Some(&asked.scheme), self.device)?
            }
            None => {
                let settings = Value::Object(asked.scheme.settings.clone());
                let scheme = self.registry.parse(&asked.scheme.id, settings)?;
                let scheme = Arc::from(scheme);
                let lacks = || Error::Bug("a teacher without weights".into());
                self.start(&scheme)?.ok_or_else(lacks)?
            }
        };
        Ok(Some(Teacher::new(self.told(model)?, asked.clone())))
    }

    /// The stages of training, their windows made ready under `scheme`, or under its settings in that stage.
    pub(super) fn stages<'t>(
        &self,
        model: &Decoder,
        scheme: &Arc<dyn AnyScheme>,
        trainings: &'t [Training],
    ) -> Result<Vec<train::Stage<'t>>> {
        let geometry = &self.config.architecture.geometry;
        let mut stages = Vec::new();
        let (mut start, mut first_batch) = (0, 0);
        for Training { train, settings } in trainings {
            let own: Arc<dyn AnyScheme> = match settings {
                Some(settings) => Arc::from(self.registry.parse(scheme.id(), settings.clone())?),
                None => Arc::clone(scheme),
            };
            let recipe = own.recipe(geometry)?;
            let last = start + train.steps;
            for (until, length) in lengths_of(&recipe, train) {
                let mut lengths: Vec<usize> = train.lengths.iter().map(|s| s.length).collect();
                // The longest first; of one length, that of this stretch of steps.
                lengths.sort_unstable_by(|a, b| b.cmp(a));
                if lengths.is_empty() {
                    lengths.push(length);
                }
                let ready = |length: usize| {
                    if let Some(sampler) = recipe.positions.or(train.positions) {
                        sampler.check_length(length)?;
                    }
                    let context_len = context_len(train, &recipe, length);
                    model.prepare_under(own.as_ref(), context_len, length)
                };
                stages.push(train::Stage {
                    until: until.map_or(last, |steps| start + steps),
                    windows: lengths.into_iter().map(ready).collect::<Result<_>>()?,
                    config: train,
                    start,
                    first_batch,
                });
            }
            start = last;
            first_batch += train.steps * train.accumulate;
        }
        Ok(stages)
    }

    /// The weights that this cell starts from, if there are any, as they are.
    pub(super) fn start(&self, scheme: &Arc<dyn AnyScheme>) -> Result<Option<Decoder>> {
        let architecture = self.config.architecture.clone();
        let weights = match (&self.config.checkpoint, self.base) {
            (Some(checkpoint), _) => {
                checkpoint.weights(&self.config.data_root, &architecture, self.device)?
            }
            (None, Some(base)) => {
                let plans = scheme.layer_plans(
                    &architecture.geometry,
                    Len(architecture.geometry.trained_length),
                )?;
                let mut weights = weights_of(base, self.device)?;
                if scheme.card().needs == Needs::Scratch {
                    // What another scheme learned for itself has no place here.
                    let own = learned_shapes(&plans);
                    weights.retain(|name, _| own.contains_key(name) || !is_of_scheme(name));
                }
                weights
            }
            (None, None) => return Ok(None),
        };
        let scheme = Arc::clone(scheme);
        let start = Decoder::new(architecture, scheme, weights, self.device);
        Ok(Some(start.with_apart(self.apart.clone())))
    }
}

/// The positions that are in use when `train` reads windows of `length` tokens.
pub(super) fn context_len(train: &TrainConfig, recipe: &Recipe, length: usize) -> Len {
    let sampler = recipe.positions.or(train.positions);
    Len(sampler.map_or(length, |sampler| sampler.context_len(length).max(length)))
}

/// A training with its own settings of the scheme, if it has them.
pub(super) struct Training {
    train: TrainConfig,
    settings: Option<Value>,
}

/// The trainings of a cell, one after the other.
pub(super) fn trainings(config: &CellConfig) -> Vec<Training> {
    if config.stages.is_empty() {
        return vec![Training {
            train: config.train.clone(),
            settings: None,
        }];
    }
    // The last one is under the scheme that is measured, whose settings may have been found by a search.
    let last = config.stages.len() - 1;
    let stages = config.stages.iter().enumerate();
    stages
        .map(|(at, stage)| Training {
            train: stage.train.clone(),
            settings: (at < last).then(|| stage.settings.clone()),
        })
        .collect()
}

/// Steps of `train` before which each length of windows ends that the scheme trains in, none for the last of all; and that
/// length.
fn lengths_of(recipe: &Recipe, train: &TrainConfig) -> Vec<(Option<u64>, usize)> {
    let full = (None, train.length);
    let stage = |stage: &LengthStage| {
        let until = (stage.until * train.steps as f64).round() as u64;
        let length = (stage.length * train.length as f64).round() as usize;
        (
            (stage.until < 1.0).then_some(until),
            length.clamp(2, train.length),
        )
    };
    let mut stages: Vec<_> = recipe.stages.iter().map(stage).collect();
    // Measurements of the loss on the way are taken at the full length.
    if stages.last().is_none_or(|last| last.1 != full.1) {
        stages.push(full);
    }
    stages
}
