//! Where a cell's weights come from: a search, training, or the weights of its base.

use super::making::{Making, context_len, trainings};
use super::{CellConfig, Ended, Finished, Running, Weights};
use crate::checkpoint::{Loaded, Owner, not_finite};
use crate::measure::windows_batch;
use crate::model::{Decoder, Pass};
use crate::search::{Found, Searching};
use crate::source::{CellBatches, Source};
use crate::train::{Progress, Step, Trainer};
use crate::{Error, Result, checkpoint};
use farspan_pe::recipe::Recipe;
use farspan_pe::search::Search;
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::record::{Phase, State};
use farspan_reports::store::RunDir;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);

/// The data of a cell.
pub(super) fn source(config: &CellConfig, registry: &Registry) -> Result<Source> {
    let source = Source::open(&config.reads, &config.data_root)?;
    let (data, tokenizer) = source.hashes();
    if (&data, &tokenizer) != (&config.data_hash, &config.tokenizer_hash) {
        return Err(Error::Data(format!(
            "the data of study {} changed since this run was planned: expected hash {}, found {data}; \
             restore it or start a new run folder",
            config.study, config.data_hash
        )));
    }
    let checkpoint = config.checkpoint_dir()?;
    let given = config.given(&source, registry, checkpoint.as_deref());
    if config.evaluate.reads(&given)? != config.beside {
        return Err(Error::Data(format!(
            "what study {} reads to measure (prompts, filler, an evaluator) changed since this run was planned; restore \
             it or start a new run folder",
            config.study
        )));
    }
    Ok(source)
}

/// The weights of a cell's base, for an extension.
pub(super) fn base(dir: &RunDir, config: &CellConfig) -> Result<Option<Loaded<Finished>>> {
    if config.checkpoint.is_some() {
        return Ok(None);
    }
    let load = |base: &String| {
        let path = dir.cell_dir(base).join("checkpoint.safetensors");
        checkpoint::load(&path, &owner(base, None))
    };
    config.base.as_ref().map(load).transpose()
}

/// What a cell's own weights and trials belong to.
pub(super) fn owner(id: &str, base: Option<&Loaded<Finished>>) -> Owner {
    Owner {
        cell: id.to_string(),
        base: base.map(|base| base.weights.clone()),
    }
}

impl Running<'_> {
    /// The scheme with what its search finds on the base's weights; `None` if a stop was asked for.
    pub(super) fn search(
        &mut self,
        search: &Search,
        making: &Making<'_>,
        scheme: Arc<dyn AnyScheme>,
        base: Option<&Loaded<Finished>>,
        source: &Source,
    ) -> Result<Option<Found>> {
        let config = self.config;
        let Some(model) = making.start(&scheme)? else {
            let name = &config.scheme.name;
            return Err(Error::Config(format!(
                "scheme {name}: a search needs the weights of a trained base"
            )));
        };
        let (log, owner) = (self.file("search.jsonl"), owner(self.id, base));
        let searching = Searching {
            dir: self.dir,
            registry: self.registry,
            id: &config.scheme.id,
            model: &model,
            source,
            seed: config.seed,
            log: &log,
            owner: &owner,
        };
        self.steps = search.trials() as u64;
        let found = searching.run(search, &mut |trials| {
            self.pace.at(trials as f64 / search.trials() as f64);
            let stopping = (self.stop)();
            if stopping {
                self.report(State::Interrupted, trials as u64, None)?;
            } else if self.is_due() {
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
        scheme: Arc<dyn AnyScheme>,
        making: &Making<'_>,
        recipe: &Recipe,
        base: Option<&Loaded<Finished>>,
        source: &Source,
    ) -> Result<Weights> {
        let config = self.config;
        let (path, owner) = (self.file("checkpoint.safetensors"), owner(self.id, base));
        let decoder = |own| making.decoder(Arc::clone(&scheme), own);
        if path.exists() {
            let learned: Loaded<Finished> = checkpoint::load(&path, &owner)?;
            let model = Box::new(decoder(Some(&learned.values))?);
            self.earlier_cpu_seconds = learned.meta.progress.cpu_seconds;
            return Ok(Weights::There(model, learned.meta));
        }
        if config.train.steps == 0 {
            let model = Box::new(decoder(None)?);
            let implementation = match base {
                Some(base) => base.meta.implementation.clone(),
                None => {
                    let train = &config.train;
                    implementation(&model, context_len(train, recipe, train.length))?
                }
            };
            let finished = Finished {
                progress: Progress::default(),
                implementation,
            };
            let drawn = |base: &Loaded<Finished>| {
                let mut names = model.weights().keys();
                names.any(|name| !base.values.contains_key(name))
            };
            // What the scheme learns is measured as it was drawn, so it belongs to the cell's weights.
            if base.is_some_and(drawn) {
                checkpoint::save(self.dir, &path, &owner, &model.values()?, &finished)?;
            }
            return Ok(Weights::There(model, finished));
        }
        let state_path = self.file("state.safetensors");
        let state = match state_path.exists() {
            true => Some(checkpoint::load::<Progress>(&state_path, &owner)?),
            false => None,
        };
        let earlier = state.as_ref().map(|state| state.meta.cpu_seconds);
        self.earlier_cpu_seconds = earlier.unwrap_or(0.0);
        let model = decoder(state.as_ref().map(|state| &state.values))?;
        let trainings = trainings(config);
        let stages = making.stages(&model, &scheme, &trainings)?;
        let only_scheme = recipe.only_scheme && (base.is_some() || config.checkpoint.is_some());
        let resumed = state
            .as_ref()
            .map(|state| (state.meta.clone(), &state.values));
        let trainer = Trainer::new(model, stages, only_scheme, resumed)?;
        let mut trainer = trainer.taught(making.teacher()?);
        let ids = trainer.model.reads_ids()?;
        let batches = CellBatches::new(source, config, recipe, ids)?;
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
        trainer.progress.cpu_seconds = self.cpu_seconds();
        let finished = Finished {
            progress: trainer.progress.clone(),
            implementation: trainer.implementation.to_string(),
        };
        checkpoint::save(self.dir, &path, &owner, &values, &finished)?;
        // One that stays is removed when the cell is looked through.
        let _ = std::fs::remove_file(&state_path);
        Ok(Weights::There(Box::new(trainer.model), finished))
    }

    /// Trains to the end; how it ended before, if the loss diverged or a stop was asked for.
    fn train(
        &mut self,
        trainer: &mut Trainer<'_>,
        batches: &CellBatches<'_>,
        (state, owner): (&Path, &Owner),
    ) -> Result<Option<Ended>> {
        let mut saved = Instant::now();
        let steps = self.steps.max(1) as f64;
        let share = |trainer: &Trainer<'_>| trainer.progress.step as f64 / steps;
        let mut points = trainer.progress.curve.len();
        self.pace.begin(Phase::Training, share(trainer));
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
                self.keep(trainer, state, owner)?;
                self.report(State::Diverged, step, Some(reason))?;
                return Ok(Some(Ended::Diverged));
            }
            let stopping = (self.stop)() && !trainer.finished();
            if stopping || saved.elapsed() >= CHECKPOINT_EVERY {
                self.keep(trainer, state, owner)?;
                saved = Instant::now();
            }
            if stopping {
                self.report(State::Interrupted, trainer.progress.step, None)?;
                return Ok(Some(Ended::Interrupted));
            }
            let progress = &trainer.progress;
            self.pace.at(share(trainer));
            self.loss = progress.recent_loss();
            if progress.curve.len() > points {
                points = progress.curve.len();
                self.tell_point(progress)?;
            }
            if self.is_due() {
                self.report(State::Running, trainer.progress.step, None)?;
            }
        }
        Ok(None)
    }
}

impl Running<'_> {
    /// Saves the state of a training. Weights that are no numbers are not worth going on from, and would be refused.
    fn keep(&self, trainer: &mut Trainer<'_>, path: &Path, owner: &Owner) -> Result<()> {
        let values = trainer.state()?;
        trainer.progress.cpu_seconds = self.cpu_seconds();
        match not_finite(&values) {
            None => checkpoint::save(self.dir, path, owner, &values, &trainer.progress),
            Some(_) => Ok(()),
        }
    }

    /// Writes the last point of the training curve down, for whoever watches.
    fn tell_point(&self, progress: &Progress) -> Result<()> {
        let Some((step, loss)) = progress.curve.last() else {
            return Ok(());
        };
        let speed = self.pace.activity(None).tokens_per_second;
        let point = serde_json::json!({"event": "step", "step": step, "loss": loss, "tokens_per_second": speed});
        Ok(self.dir.append_event(self.id, &point)?)
    }
}

/// Name of the implementation of attention that runs under the plans for `context_len`.
fn implementation(model: &Decoder, context_len: Len) -> Result<String> {
    let batch = windows_batch(&[&[0, 0, 0]], 2);
    let hidden = model.hidden(&batch, &model.prepare(context_len, 2)?, Pass::Evaluate)?;
    Ok(hidden.implementation.to_string())
}
