//! The trainings of a cell: those of its fine-tuning, and the model that teaches it.

use crate::cell::{CellConfig, CellStage, CellTeacher, CheckpointConfig};
use crate::checkpoint::config::{Reading, read};
use crate::checkpoint::files::Files;
use crate::config::types::{FinetuneConfig, MaskToken, SchemeConfig, TeacherConfig, TrainConfig};
use crate::measure::{Other, Pass};
use crate::model::{Architecture, learned_shapes};
use crate::origin;
use crate::scheme::{Positional, apart, layer_plans, resolve};
use crate::{Error, Result};
use farspan_attention::plan::Plan;
use farspan_pe::{Len, Registry};
use farspan_reports::record::Stage;
use serde_json::Value;
use std::sync::Arc;

/// Peak learning rate of a checkpoint's fine-tuning, as in position interpolation (Chen et al. 2023, arXiv 2306.15595,
/// section 3.1).
const CHECKPOINT_LR: f64 = 2e-5;
/// Peak learning rate of adapters, as usual for them (Hu et al. 2021, arXiv 2106.09685, table 11).
const ADAPTER_LR: f64 = 2e-4;

/// The training of a fine-tuning stage: the base's recipe at the new length, with as many tokens per step.
/// `base_lr` is the peak learning rate of the base, where it was trained here.
pub(super) fn train(
    finetune: &FinetuneConfig,
    train: &TrainConfig,
    base_lr: Option<f64>,
) -> TrainConfig {
    let length = finetune.window(train.length);
    TrainConfig {
        length,
        batch: finetune.rows(train),
        steps: finetune.steps,
        lr: finetune.lr.unwrap_or(match (base_lr, &finetune.lora) {
            (Some(lr), _) => lr / 4.0,
            (None, None) => CHECKPOINT_LR,
            (None, Some(_)) => ADAPTER_LR,
        }),
        accumulate: finetune.accumulate.unwrap_or(train.accumulate),
        warmup: finetune.warmup.unwrap_or(finetune.steps / 10),
        validate_every: 0,
        positions: finetune.positions.or(train.positions),
        lengths: finetune.lengths.clone(),
        mask_inputs: finetune.mask_inputs.or(train.mask_inputs),
        ..train.clone()
    }
}

/// The training that a cell is told by, and its stages, if it has several. Who teaches stands beside them.
pub(super) fn joined(
    mut trainings: Vec<TrainConfig>,
    scheme: &SchemeConfig,
    stage: &Stage,
    settings: &Value,
) -> (TrainConfig, Vec<CellStage>) {
    trainings.iter_mut().for_each(|train| train.teacher = None);
    let steps = trainings.iter().map(|train| train.steps).sum();
    let last = trainings[trainings.len() - 1].clone();
    let list = scheme.finetune.as_ref().map(|f| f.stages.as_slice());
    let list = list
        .filter(|_| *stage == Stage::FineTuned)
        .unwrap_or_default();
    let stages = trainings.into_iter().zip(list).map(|(train, own)| {
        let mut settings = settings.clone();
        if let Value::Object(all) = &mut settings {
            all.extend(own.settings.clone());
        }
        CellStage { train, settings }
    });
    (TrainConfig { steps, ..last }, stages.collect())
}

/// Whether the vocabulary of `vocab` entries has the tokens that stand for masked inputs.
pub(super) fn check_masks(
    trainings: &[TrainConfig],
    vocab: usize,
) -> std::result::Result<(), String> {
    let ids = trainings.iter().filter_map(|t| t.mask_inputs);
    let mut ids = ids.filter_map(|mask| match mask.token {
        MaskToken::Id(id) => Some(id),
        MaskToken::Entry(_) => None,
    });
    match ids.find(|&id| id as usize >= vocab) {
        Some(id) => Err(format!(
            "mask_inputs.token: expected an id below the {vocab} of the vocabulary, found {id}"
        )),
        None => Ok(()),
    }
}

/// Whether the scheme can be planned for each stage of `config`, and learns there what it learns at the end, under `plans`.
pub(super) fn check_stages(config: &CellConfig, registry: &Registry, plans: &[Plan]) -> Result<()> {
    let geometry = &config.architecture.geometry;
    let apart = apart(registry, &config.architecture)?;
    for (number, stage) in (1..).zip(&config.stages) {
        let wrong = |what: String| {
            Error::Config(format!(
                "{}, stage {number} of its fine-tuning: {what}",
                config.label()
            ))
        };
        let scheme = registry.parse(&config.scheme.id, stage.settings.clone());
        let scheme = scheme.map_err(|e| wrong(e.to_string()))?;
        let own = layer_plans(scheme.as_ref(), &apart, geometry, Len(stage.train.length));
        let own = own.map_err(|e| wrong(e.to_string()))?;
        let (here, at_the_end) = (learned_shapes(&own), learned_shapes(plans));
        if here != at_the_end {
            return Err(wrong(format!(
                "the scheme learns {here:?} there, but {at_the_end:?} in the last one: expected the same parameters in all"
            )));
        }
    }
    Ok(())
}

/// A teacher as a config asks for it.
pub(super) enum Asked<'a> {
    /// To be told as well as the text.
    Teacher(&'a TeacherConfig),
    /// Kept close to on short texts, with this weight.
    Short(f64),
}

/// A teacher and what it is.
pub(super) struct Found {
    pub(super) cell: CellTeacher,
    architecture: Architecture,
}

impl<'a> Asked<'a> {
    pub(super) fn of(teacher: Option<&'a TeacherConfig>, short: Option<f64>) -> Option<Asked<'a>> {
        let short = short.filter(|weight| *weight > 0.0);
        teacher.map(Asked::Teacher).or(short.map(Asked::Short))
    }

    /// That teacher of a student of `architecture`; `of_base` is the scheme of the weights that this one begins with.
    pub(super) fn teacher(
        &self,
        architecture: &Architecture,
        of_base: impl FnOnce() -> Option<Positional>,
        registry: &Registry,
    ) -> Result<Found> {
        let lacks = || Error::Bug("no scheme of the weights that it begins with".into());
        let (teacher, tokens, from) = match self {
            Asked::Teacher(teacher) => ((*teacher).clone(), None, teacher.from.as_ref()),
            Asked::Short(weight) => {
                let teacher = TeacherConfig {
                    from: None,
                    weight: *weight,
                    temperature: 1.0,
                };
                (teacher, Some(architecture.geometry.trained_length), None)
            }
        };
        let (checkpoint, scheme, theirs) = match from {
            None => (None, of_base().ok_or_else(lacks)?, architecture.clone()),
            Some(name) => {
                let dir = origin::folder(name)?;
                let theirs = read(&dir, &Reading::default())?.architecture;
                let scheme = Positional::of(resolve(registry, &theirs, None)?.as_ref());
                let checkpoint = CheckpointConfig {
                    name: name.clone(),
                    hash: Files::open(&dir)?.hash()?,
                    reading: Reading::default(),
                };
                (Some(checkpoint), scheme, theirs)
            }
        };
        if theirs.vocab != architecture.vocab {
            return Err(Error::Config(format!(
                "expected a vocabulary of {} entries, as the model in training has, found {}",
                architecture.vocab, theirs.vocab
            )));
        }
        let cell = CellTeacher {
            checkpoint,
            scheme,
            weight: teacher.weight,
            // What keeps short texts stands beside the text; else the two share the loss.
            text: if tokens.is_some() {
                1.0
            } else {
                1.0 - teacher.weight
            },
            temperature: teacher.temperature,
            tokens,
        };
        Ok(Found {
            cell,
            architecture: theirs,
        })
    }
}

impl Found {
    /// It as a model that reads the windows of a step of each of `trainings`; fails if it cannot.
    pub(super) fn reads(&self, trainings: &[TrainConfig], registry: &Registry) -> Result<Other> {
        let apart = apart(registry, &self.architecture)?;
        let settings = Value::Object(self.cell.scheme.settings.clone());
        let scheme = registry.parse(&self.cell.scheme.id, settings)?;
        let most = self.cell.tokens.unwrap_or(usize::MAX);
        let mut passes = Vec::new();
        for train in trainings {
            let length = train.length.min(most);
            let geometry = &self.architecture.geometry;
            layer_plans(scheme.as_ref(), &apart, geometry, Len(length))?;
            passes.push(Pass {
                length,
                windows: train.batch as f64,
            });
        }
        Ok(Other {
            architecture: self.architecture.clone(),
            scheme: Arc::from(scheme),
            passes,
        })
    }
}
