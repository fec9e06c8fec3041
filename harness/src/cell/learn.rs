//! Where a cell's weights come from: a search, training, or the weights of its base.

use super::{Ended, Finished, Running, STATUS_EVERY, Weights};
use crate::checkpoint::{Loaded, Owner, not_finite};
use crate::config::types::TrainConfig;
use crate::evaluate::windows_batch;
use crate::model::{Decoder, Model, Pass, Values};
use crate::search::{Found, Searching};
use crate::source::{CellBatches, Source};
use crate::train::{Progress, Step, Trainer};
use crate::{Error, Result, checkpoint};
use farspan_attention::Device;
use farspan_attention::plan::{Place, Plan};
use farspan_pe::recipe::{LengthStage, Recipe};
use farspan_pe::search::Search;
use farspan_pe::{AnyScheme, Len};
use farspan_reports::record::{Stage, State};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);

impl Running<'_> {
    /// The base's weights, for an extension.
    pub(super) fn base(&self) -> Result<Option<Loaded<Finished>>> {
        if self.config.checkpoint.is_some() {
            return Ok(None);
        }
        let load = |base: &String| {
            let path = self.dir.cell_dir(base).join("checkpoint.safetensors");
            let owner = Owner {
                cell: base.clone(),
                base: None,
            };
            checkpoint::load(&path, &owner)
        };
        self.config.base.as_ref().map(load).transpose()
    }

    /// What this cell's own weights and trials belong to.
    fn owner(&self, base: Option<&Loaded<Finished>>) -> Owner {
        Owner {
            cell: self.id.to_string(),
            base: base.map(|base| base.weights.clone()),
        }
    }

    /// The model under `scheme`, with `values` in place of what is drawn, or of what the checkpoint holds.
    fn decoder(
        &self,
        scheme: &dyn AnyScheme,
        plans: &[Plan],
        values: Option<&Values>,
        source: &Source,
        device: &Device,
    ) -> Result<Box<dyn Model>> {
        let config = self.config;
        if let Some(checkpoint) = &config.checkpoint {
            let model = checkpoint.open(self.registry, scheme, device)?;
            return Ok(match config.stage {
                Stage::FineTuned => {
                    let model = model.tune(plans, config.lora.as_ref(), config.seed, values)?;
                    Box::new(model.recomputing(config.checkpointing))
                }
                _ => Box::new(model),
            });
        }
        let mut decoder = Decoder::new(config.shape, plans, config.seed, values, device)?;
        if plans[0].place != Place::Index {
            decoder.set_texts(source.token_texts());
        }
        Ok(Box::new(decoder))
    }

    /// The scheme with what its search finds on the base's weights; `None` if a stop was asked for.
    pub(super) fn search(
        &mut self,
        search: &Search,
        scheme: &dyn AnyScheme,
        base: Option<&Loaded<Finished>>,
        source: &Source,
        device: &Device,
    ) -> Result<Option<Found>> {
        let config = self.config;
        if base.is_none() && config.checkpoint.is_none() {
            let name = &config.scheme.name;
            return Err(Error::Config(format!(
                "scheme {name}: a search needs the weights of a trained base"
            )));
        }
        let plans = scheme.layer_plans(&config.shape.geometry, Len(config.train.length))?;
        let values = base.map(|base| &base.values);
        let model = self.decoder(scheme, &plans, values, source, device)?;
        let (log, owner) = (self.file("search.jsonl"), self.owner(base));
        let searching = Searching {
            registry: self.registry,
            scheme,
            id: &config.scheme.id,
            model: model.as_ref(),
            source,
            seed: config.seed,
            log: &log,
            owner: &owner,
        };
        self.steps = search.trials() as u64;
        let found = searching.run(search, &mut |trials| {
            let stopping = (self.stop)();
            if stopping {
                self.report(State::Interrupted, trials as u64, None)?;
            } else if self.reported.is_none_or(|t| t.elapsed() >= STATUS_EVERY) {
                self.report(State::Running, trials as u64, None)?;
            }
            Ok(stopping)
        })?;
        self.steps = config.train.steps;
        Ok(found)
    }

    /// The weights to be measured: trained here, resumed, or taken over.
    pub(super) fn weights(
        &mut self,
        scheme: &dyn AnyScheme,
        recipe: &Recipe,
        base: Option<&Loaded<Finished>>,
        source: &Source,
        device: &Device,
    ) -> Result<Weights> {
        let config = self.config;
        let (path, owner) = (self.file("checkpoint.safetensors"), self.owner(base));
        let geometry = &config.shape.geometry;
        let sampler = recipe.positions.or(config.train.positions);
        let plans_at = |length: usize| {
            let reach = sampler.map_or(length, |sampler| sampler.reach(length).max(length));
            scheme.layer_plans(geometry, Len(reach))
        };
        let plans = plans_at(config.train.length)?;
        let decoder = |values| self.decoder(scheme, &plans, values, source, device);
        if path.exists() {
            let learned: Loaded<Finished> = checkpoint::load(&path, &owner)?;
            return Ok(Weights::There(
                decoder(Some(&learned.values))?,
                learned.meta,
            ));
        }
        let base_values = base.map(|base| &base.values);
        if config.train.steps == 0 {
            let model = decoder(base_values)?;
            let implementation = match base {
                Some(base) => base.meta.implementation.clone(),
                None => implementation(model.as_ref(), &plans)?,
            };
            let finished = Finished {
                progress: Progress::default(),
                implementation,
            };
            return Ok(Weights::There(model, finished));
        }
        let state_path = self.file("state.safetensors");
        let state = match state_path.exists() {
            true => Some(checkpoint::load::<Progress>(&state_path, &owner)?),
            false => None,
        };
        let start = state.as_ref().map(|state| &state.values).or(base_values);
        let model = decoder(start)?;
        let mut stages = Vec::new();
        for (until, length) in stages_of(recipe, &config.train) {
            if let Some(sampler) = &sampler {
                sampler.check_length(length)?;
            }
            stages.push((until, model.ready(&plans_at(length)?, length)?));
        }
        let only_scheme =
            recipe.only_scheme && (base_values.is_some() || config.checkpoint.is_some());
        let resumed = state
            .as_ref()
            .map(|state| (state.meta.clone(), &state.values));
        let mut trainer = Trainer::new(model, stages, &config.train, only_scheme, resumed)?;
        let batches = CellBatches::new(source, config, recipe);
        if let Some(ended) = self.train(&mut trainer, &batches, (&state_path, &owner))? {
            return Ok(Weights::NotYet(ended));
        }
        let values = trainer.model.values()?;
        if let Some(what) = not_finite(&values) {
            let step = trainer.progress.step;
            let reason = format!("after step {step}: {what} (seed {})", config.seed);
            self.report(State::Diverged, step, Some(reason))?;
            return Ok(Weights::NotYet(Ended::Diverged));
        }
        let finished = Finished {
            progress: trainer.progress.clone(),
            implementation: trainer.implementation.to_string(),
        };
        checkpoint::save(&path, &owner, &values, &finished)?;
        // One that stays is removed when the cell is looked through.
        let _ = std::fs::remove_file(&state_path);
        Ok(Weights::There(trainer.model, finished))
    }

    /// Trains to the end; how it ended before, if the loss diverged or a stop was asked for.
    fn train(
        &mut self,
        trainer: &mut Trainer<'_>,
        batches: &CellBatches<'_>,
        (state, owner): (&Path, &Owner),
    ) -> Result<Option<Ended>> {
        let mut saved = Instant::now();
        while !trainer.finished() {
            if let Step::Diverged { loss } = trainer.step(batches)? {
                let first = trainer.progress.first_loss.unwrap_or(f64::NAN);
                let step = trainer.progress.step;
                let last = trainer.progress.curve.last().map_or(first, |point| point.1);
                let reason = format!(
                    "loss {loss} at step {} (first loss {first:.4}, last on the curve {last:.4}, seed {})",
                    step + 1,
                    self.config.seed
                );
                keep(trainer, state, owner)?;
                self.report(State::Diverged, step, Some(reason))?;
                return Ok(Some(Ended::Diverged));
            }
            let stopping = (self.stop)() && !trainer.finished();
            if stopping || saved.elapsed() >= CHECKPOINT_EVERY {
                keep(trainer, state, owner)?;
                saved = Instant::now();
            }
            if stopping {
                self.report(State::Interrupted, trainer.progress.step, None)?;
                return Ok(Some(Ended::Interrupted));
            }
            if self.reported.is_none_or(|t| t.elapsed() >= STATUS_EVERY) {
                let (step, loss) = trainer.progress.curve.last().copied().unwrap_or_default();
                self.report(State::Running, trainer.progress.step, None)?;
                self.dir.append_event(
                    self.id,
                    &serde_json::json!({"event": "step", "step": trainer.progress.step, "curve_step": step, "loss": loss}),
                )?;
            }
        }
        Ok(None)
    }
}

/// Saves the state of a training. Weights that are no numbers are not worth going on from, and would be refused.
fn keep(trainer: &Trainer<'_>, path: &Path, owner: &Owner) -> Result<()> {
    let values = trainer.state()?;
    match not_finite(&values) {
        None => checkpoint::save(path, owner, &values, &trainer.progress),
        Some(_) => Ok(()),
    }
}

/// Step before which each stage of training ends, and the length of its windows.
fn stages_of(recipe: &Recipe, train: &TrainConfig) -> Vec<(u64, usize)> {
    let full = (u64::MAX, train.length);
    let stage = |stage: &LengthStage| {
        let until = (stage.until * train.steps as f64).round() as u64;
        let length = (stage.length * train.length as f64).round() as usize;
        (
            if stage.until >= 1.0 { u64::MAX } else { until },
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

/// Name of the implementation of attention that runs under `plans`.
fn implementation(model: &dyn Model, plans: &[Plan]) -> Result<String> {
    let batch = windows_batch(&[&[0, 0, 0]], 2);
    let hidden = model.hidden(&batch, &model.ready(plans, 2)?, Pass::Evaluate)?;
    Ok(hidden.implementation.to_string())
}
