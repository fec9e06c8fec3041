//! Training: batches by step number, one optimizer, one schedule, for every scheme alike.
//!
//! Everything a step depends on is the step's number and the state in [`Trainer`], so a run that was killed at any
//! moment goes on from its last checkpoint and arrives at the same weights, bit for bit.

use crate::checkpoint::MOMENTS;
use crate::config::types::TrainConfig;
use crate::model::{Aims, Backward, Decoder, PreparedPlans, Sums, Values};
use crate::teacher::Teacher;
use crate::{Error, Result};
use farspan_attention::Gradients;
use farspan_attention::optim::{AdamW, AdamWConfig, Moments};
use farspan_datasets::Batch;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Points of the training curve that a run leaves behind.
const CURVE_POINTS: u64 = 100;
/// A loss this many times the first one is called an explosion.
const EXPLOSION: f64 = 4.0;

/// Where training has got to; with the weights and the optimizer's moments, all there is to resume from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Loss of the first step, or of the first of its stage.
    pub first_loss: Option<f64>,
    /// Sum and number of losses since the last point of the curve.
    pub since_point: (f64, u64),
    /// (step, mean loss since the point before).
    pub curve: Vec<(u64, f64)>,
    /// (step, validation loss).
    pub validation: Vec<(u64, f64)>,
    /// Seconds spent in steps so far.
    #[serde(default)]
    pub seconds: f64,
    /// Seconds of processor time of the processes that got it there, each up to its last save.
    #[serde(default)]
    pub cpu_seconds: f64,
}

impl Progress {
    /// Mean loss since the last point of the curve, or that point's where no step was done since.
    pub fn recent_loss(&self) -> Option<f64> {
        match self.since_point {
            (_, 0) => self.curve.last().map(|point| point.1),
            (sum, n) => Some(sum / n as f64),
        }
    }
}

/// Where batches come from.
pub trait Batches {
    /// Batch number `number` of a training by `config`, in windows of `len` tokens or, where `config` mixes lengths, of one of
    /// them; a pure function of all three.
    fn train(&self, number: u64, config: &TrainConfig, len: usize) -> Batch;
    /// Fixed batches for the validation loss.
    fn validation(&self) -> &[Batch];
    /// Random numbers from 0 to 1 for what a scheme adds to the loss of a batch; the same for the same `number`.
    fn chance(&self, number: u64) -> Box<dyn FnMut() -> f64 + '_>;
}

/// Steps with windows of one length, or of a mixture of lengths.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The step before which it ends.
    pub until: u64,
    /// Plans made ready for each length of its windows; the first are the longest.
    pub windows: Vec<PreparedPlans>,
    /// What its steps go by; rates and the optimizer's moments begin anew at `start`.
    pub config: &'a TrainConfig,
    /// The step that `config` begins with. Stages of one training in lengths share theirs.
    pub start: u64,
    /// Number of the batch that it begins with.
    pub first_batch: u64,
}

impl<'a> Stage<'a> {
    /// All steps of `config`, in windows of one length.
    pub fn only(windows: PreparedPlans, config: &'a TrainConfig) -> Stage<'a> {
        Stage {
            until: u64::MAX,
            windows: vec![windows],
            config,
            start: 0,
            first_batch: 0,
        }
    }

    fn ready(&self, len: usize) -> Result<&PreparedPlans> {
        let fits = |ready: &&PreparedPlans| ready.len() == len;
        self.windows.iter().find(fits).ok_or_else(|| {
            Error::Bug(format!(
                "no plans were made ready for windows of {len} tokens"
            ))
        })
    }
}

/// What a step ended with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Training goes on.
    Ok,
    /// The loss is no number, or exploded.
    Diverged {
        /// The loss.
        loss: f64,
    },
}

/// A model in training.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// The model.
    pub model: Decoder,
    /// Where it has got to.
    pub progress: Progress,
    /// Attention implementation of the last step.
    pub implementation: &'static str,
    optimizer: AdamW,
    only_scheme: bool,
    stages: Vec<Stage<'a>>,
    teacher: Option<Teacher>,
}

/// What a program does before it trains.
static BEFORE: OnceLock<fn()> = OnceLock::new();

/// Has `hook` called before each training: the place to tell an allocator that the same large buffers come again at every
/// step. The first hook stays.
pub fn before_training(hook: fn()) {
    // A second program in one process has no say.
    let _ = BEFORE.set(hook);
}

/// An optimizer for what learns of `model`; `only_scheme` leaves all weights alone but the scheme's own parameters.
fn optimizer(model: &Decoder, config: &TrainConfig, only_scheme: bool) -> Result<AdamW> {
    let mut optimizer = AdamW::new(AdamWConfig {
        beta1: config.beta1,
        beta2: config.beta2,
        eps: 1e-8,
        weight_decay: config.weight_decay,
        clip: config.clip,
    });
    for (name, weight) in model.weights() {
        if only_scheme && !weight.scheme {
            continue;
        }
        let rate = if weight.scheme { config.scheme_lr } else { 1.0 };
        optimizer.add(name, &weight.var, rate, weight.decay, weight.clamp)?;
    }
    Ok(optimizer)
}

impl<'a> Trainer<'a> {
    /// Starts at step 0, or goes on from `state`. `stages` is not empty and ends with the full length; `only_scheme`
    /// leaves all weights alone but the scheme's own parameters.
    pub fn new(
        model: Decoder,
        stages: Vec<Stage<'a>>,
        only_scheme: bool,
        state: Option<(Progress, &Values)>,
    ) -> Result<Trainer<'a>> {
        if let Some(hook) = BEFORE.get() {
            hook();
        }
        let first = stages
            .first()
            .ok_or_else(|| Error::Bug("a training without stages".into()))?;
        let mut trainer = Trainer {
            optimizer: optimizer(&model, first.config, only_scheme)?,
            model,
            progress: Progress::default(),
            implementation: "none",
            only_scheme,
            stages,
            teacher: None,
        };
        if let Some((saved, values)) = state {
            let moments = |prefix: &str, name: &str| {
                let key = format!("{MOMENTS}{prefix}.{name}");
                let found = values.get(&key).map(|(_, data)| data.clone());
                found.ok_or_else(|| Error::Data(format!("training state lacks {key}")))
            };
            let optimizer = &mut trainer.optimizer;
            let names: Vec<String> = optimizer.names().map(String::from).collect();
            for name in &names {
                let state = Moments {
                    m: moments("m", name)?,
                    v: moments("v", name)?,
                };
                optimizer.set_moments(name, state)?;
            }
            let start = trainer.stages[stage_of(&trainer.stages, saved.step)].start;
            trainer.optimizer.set_step(saved.step - start);
            trainer.progress = saved;
        }
        Ok(trainer)
    }

    /// Lets a teacher take part in the loss.
    pub fn taught(mut self, teacher: Option<Teacher>) -> Trainer<'a> {
        self.teacher = teacher;
        self
    }

    /// Weights and moments by name, to be saved with [`Progress`].
    pub fn state(&self) -> Result<Values> {
        let mut values = self.model.values()?;
        for name in self.optimizer.names() {
            let moments = self.optimizer.moments(name)?;
            let shape = vec![moments.m.len()];
            values.insert(format!("{MOMENTS}m.{name}"), (shape.clone(), moments.m));
            values.insert(format!("{MOMENTS}v.{name}"), (shape, moments.v));
        }
        Ok(values)
    }

    /// Steps of all stages.
    fn steps(&self) -> u64 {
        self.stages
            .last()
            .map_or(0, |last| last.start + last.config.steps)
    }

    /// Whether all steps are done.
    pub fn finished(&self) -> bool {
        self.progress.step >= self.steps()
    }

    /// One optimizer step.
    pub fn step(&mut self, batches: &dyn Batches) -> Result<Step> {
        let started = std::time::Instant::now();
        let step = self.progress.step;
        let at = stage_of(&self.stages, step);
        let stage = &self.stages[at];
        let (config, start) = (stage.config, stage.start);
        if at > 0 && step == self.stages[at - 1].until {
            // A model that has mastered short windows may begin longer ones surely and wrongly.
            self.progress.first_loss = None;
        }
        if step == start && step > 0 {
            self.optimizer = optimizer(&self.model, config, self.only_scheme)?;
        }
        let (value, gradients) = self.gradients(batches)?;
        let first = *self.progress.first_loss.get_or_insert(value);
        let Some(gradients) = gradients.filter(|_| value <= EXPLOSION * first.max(1.0)) else {
            return Ok(Step::Diverged { loss: value });
        };
        self.optimizer
            .step(&gradients, learning_rate(config, step - start))?;
        self.progress.step += 1;
        self.record(value);
        let last = self.finished();
        if last || self.progress.step.is_multiple_of(config.validate_every) {
            let loss = self.validation_loss(batches)?;
            self.progress.validation.push((self.progress.step, loss));
        }
        self.progress.seconds += started.elapsed().as_secs_f64();
        Ok(Step::Ok)
    }

    /// Mean loss of the batches of the next optimizer step, and its gradients; these only if the loss is a number.
    fn gradients(&mut self, batches: &dyn Batches) -> Result<(f64, Option<Gradients>)> {
        let step = self.progress.step;
        let stage = &self.stages[stage_of(&self.stages, step)];
        let (config, parts) = (stage.config, stage.config.accumulate);
        let first = stage.first_batch + (step - stage.start) * parts;
        let added = self.model.added_loss()?;
        let alone = parts == 1 && added.is_none();
        let mut sums = Sums::default();
        let (mut losses, mut last, mut ran) = (0.0, None, "none");
        for number in first..first + parts {
            let batch = batches.train(number, config, stage.windows[0].len());
            let ready = stage.ready(batch.len)?;
            let aims = match &mut self.teacher {
                Some(teacher) => teacher.aims(&batch)?,
                None => Aims::default(),
            };
            let mut parts_of = vec![self.model.backward_to(&batch, ready, &aims)?];
            ran = parts_of[0].implementation;
            if let Some(added) = &added {
                let mut chance = batches.chance(number);
                parts_of.push(self.model.backward_added(added, &mut *chance)?);
            }
            for Backward {
                loss, gradients, ..
            } in parts_of
            {
                let Some(gradients) = gradients.filter(|_| loss.is_finite()) else {
                    return Ok((loss, None));
                };
                losses += loss;
                if alone {
                    last = Some(gradients);
                } else {
                    sums.add(self.model.weights(), &gradients, 1.0 / parts as f64)?;
                }
            }
        }
        self.implementation = ran;
        let gradients = match last {
            Some(gradients) => Some(gradients),
            None => sums.gradients(self.model.weights())?,
        };
        Ok((losses / parts as f64, gradients))
    }

    fn record(&mut self, loss: f64) {
        let steps = self.steps();
        let progress = &mut self.progress;
        progress.since_point.0 += loss;
        progress.since_point.1 += 1;
        let every = steps.div_ceil(CURVE_POINTS).max(1);
        if progress.step.is_multiple_of(every) || progress.step == steps {
            let (sum, n) = std::mem::take(&mut progress.since_point);
            progress.curve.push((progress.step, sum / n as f64));
        }
    }

    fn validation_loss(&self, batches: &dyn Batches) -> Result<f64> {
        let (mut sum, mut weight) = (0.0, 0.0);
        let last = &self.stages[self.stages.len() - 1];
        for batch in batches.validation() {
            let scores = self.model.scores(batch, last.ready(batch.len)?)?;
            for (score, &w) in scores.iter().zip(&batch.weights) {
                if w > 0.0 {
                    sum += f64::from(w) * f64::from(score.nll);
                    weight += f64::from(w);
                }
            }
        }
        Ok(sum / weight)
    }
}

/// The stage that step number `step` belongs to; the last one past all steps.
fn stage_of(stages: &[Stage<'_>], step: u64) -> usize {
    let at = stages.iter().position(|stage| step < stage.until);
    at.unwrap_or(stages.len() - 1)
}

/// Linear warm-up from 0, then a cosine from the peak down to `final_lr` of it. `step` counts from 0.
pub fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    if step < config.warmup {
        return config.lr * (step + 1) as f64 / config.warmup as f64;
    }
    let span = config.steps.saturating_sub(config.warmup).max(1) as f64;
    let done = ((step - config.warmup) as f64 / span).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
    config.lr * (config.final_lr + (1.0 - config.final_lr) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_warms_up_peaks_and_ends_at_its_floor() {
        let config = TrainConfig {
            steps: 1100,
            warmup: 100,
            lr: 1e-3,
            final_lr: 0.1,
            ..TrainConfig::default()
        };
        assert_eq!(learning_rate(&config, 0), 1e-5);
        assert_eq!(learning_rate(&config, 99), 1e-3);
        assert_eq!(learning_rate(&config, 100), 1e-3);
        assert!((learning_rate(&config, 600) - 1e-3 * 0.55).abs() < 1e-12);
        assert!((learning_rate(&config, 1100) - 1e-4).abs() < 1e-12);
    }
}
