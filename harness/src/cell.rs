//! One cell: train (or take over) a model, measure it, leave a result. Runs in a process of its own.
//!
//! A cell may be stopped at any moment, by a signal or by force. What it has done up to its last checkpoint is kept,
//! and the next process goes on from there to the same bytes.

use crate::checkpoint::config::Positional;
use crate::checkpoint::decoder::Pretrained;
use crate::checkpoint::passkey::TextPasskey;
use crate::config::types::{EvaluateConfig, LoraConfig, SchemeConfig, Task, TrainConfig};
use crate::evaluate::{Subject, passkey, perplexity, windows_batch};
use crate::model::{Decoder, Model, Pass, Shape, Values};
use crate::search::{Found, Searching};
use crate::source::{CellBatches, Source};
use crate::train::{Progress, Step, Trainer};
use crate::{Error, Result, checkpoint, machine};
use farspan_attention::Device;
use farspan_attention::plan::{Place, Plan};
use farspan_datasets::DataConfig;
use farspan_datasets::tasks::passkey::PasskeyConfig;
use farspan_pe::recipe::{LengthStage, Recipe};
use farspan_pe::search::Search;
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::record::{
    CellRecord, Cost, EngineRecord, ModelRecord, RunPlan, SCHEMA_VERSION, SchemeRecord, Stage,
    State, Status, TrainRecord,
};
use farspan_reports::store::{Held, RunDir};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between checkpoints, and between looks at the status file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);
/// Time that a cell of a killed runner is given to save its state and leave.
const HANDOVER: Duration = Duration::from_secs(30);
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// All that a cell depends on. Its hash, without [`data_root`](CellConfig::data_root), is the cell's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellConfig {
    /// Study.
    pub study: String,
    /// Task.
    pub task: Task,
    /// Seed of data order, initial weights and prompts.
    pub seed: u64,
    /// The scheme that reads the weights.
    pub scheme: SchemeConfig,
    /// What is done to reach the weights.
    pub stage: Stage,
    /// Preset name, for the record.
    pub size: Option<String>,
    /// Sizes of the decoder.
    pub shape: Shape,
    /// Pretrained weights in place of a decoder of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointConfig>,
    /// Adapters that learn in place of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// Activations are computed again in place of being held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpointing: bool,
    /// Text source (task `text`).
    pub data: Option<DataConfig>,
    /// Folder that relative paths of `data` start from.
    pub data_root: PathBuf,
    /// Task settings (task `passkey`).
    pub passkey: Option<PasskeyConfig>,
    /// Training of this stage (`steps` is 0 for zero-shot).
    pub train: TrainConfig,
    /// Steps of the base before this stage.
    pub base_steps: u64,
    /// Measurements.
    pub evaluate: EvaluateConfig,
    /// Identity of the cell whose weights are taken.
    pub base: Option<String>,
    /// Device.
    pub device: String,
    /// blake3 of the data.
    pub data_hash: String,
    /// blake3 of the tokenizer.
    pub tokenizer_hash: String,
}

/// A pretrained checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// Its folder; no part of a cell's identity.
    pub dir: PathBuf,
    /// blake3 of its config and weights.
    pub hash: String,
}

impl CellConfig {
    /// Identity of the cell: what could change a number, and nothing else.
    pub fn id(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(|e| Error::Bug(e.to_string()))?;
        let object = value
            .as_object_mut()
            .ok_or_else(|| Error::Bug("a cell is no table".into()))?;
        object.remove("data_root");
        if let Some(checkpoint) = object.get_mut("checkpoint").and_then(|c| c.as_object_mut()) {
            checkpoint.remove("dir");
        }
        object.insert("schema_version".into(), SCHEMA_VERSION.into());
        let canonical =
            serde_json::to_string(&sorted(value)).map_err(|e| Error::Bug(e.to_string()))?;
        Ok(blake3::hash(canonical.as_bytes()).to_hex()[..16].to_string())
    }

    /// Readable name (`language/yarn-x4+finetuned/s0`).
    pub fn label(&self) -> String {
        let stage = match (self.stage, &self.scheme.base) {
            (Stage::FineTuned, _) => "+finetuned",
            _ => "",
        };
        format!("{}/{}{stage}/s{}", self.study, self.scheme.name, self.seed)
    }
}

/// Tables with their keys in order, so that equal values print alike.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(k, v)| (k, sorted(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `result.json` is there.
    Done,
    /// The loss was no number, or exploded.
    Diverged,
    /// Asked to stop; resumable.
    Interrupted,
}

/// Asked now and then whether to stop.
pub type StopFlag<'a> = &'a dyn Fn() -> bool;

/// Runs one cell of the run folder to its end, from wherever it got to before.
pub fn run(dir: &RunDir, id: &str, registry: &Registry, stop: StopFlag<'_>) -> Result<Ended> {
    let plan = dir.plan()?;
    let config = config(&plan, dir, id)?;
    let _held = hold(dir, id)?;
    if dir.has_result(id) {
        return Ok(Ended::Done);
    }
    let mut cell = Running {
        dir,
        id,
        config: &config,
        stop,
        steps: config.train.steps,
        registry,
        cost: Cost::default(),
        reported: None,
    };
    cell.report(State::Running, 0, None)?;
    match cell.go() {
        Ok(ended) => Ok(ended),
        Err(e) => {
            // The first error is the one to tell; a second one while saving it changes nothing.
            let _ = cell.report(State::Failed, 0, Some(e.to_string()));
            Err(e)
        }
    }
}

/// The model that a finished cell of a checkpoint was measured with.
pub(crate) fn pretrained(dir: &RunDir, id: &str, registry: &Registry) -> Result<Pretrained> {
    let plan = dir.plan()?;
    let config = config(&plan, dir, id)?;
    let Some(checkpoint) = &config.checkpoint else {
        return Err(Error::Data(format!(
            "cell {id} is not made from a checkpoint"
        )));
    };
    let device = Device::cpu();
    let scheme = registry.parse(&config.scheme.id, config.scheme.settings.clone())?;
    let asked = Positional::of(scheme.as_ref());
    let model = Pretrained::open(&checkpoint.dir, registry, Some(&asked), &device)?;
    if config.stage != Stage::FineTuned {
        return Ok(model);
    }
    let plans = scheme.layer_plans(&config.shape.geometry, Len(config.train.length))?;
    let path = dir.cell_dir(id).join("checkpoint.safetensors");
    let (values, _): (_, Finished) = checkpoint::load(&path)?;
    model.tune(&plans, config.lora.as_ref(), config.seed, Some(&values))
}

/// The config of a planned cell.
fn config(plan: &RunPlan, dir: &RunDir, id: &str) -> Result<CellConfig> {
    let planned = plan.cells.iter().find(|cell| cell.id == id);
    let planned = planned.ok_or_else(|| {
        Error::Data(format!(
            "{}: no cell {id} in its plan",
            dir.path().display()
        ))
    })?;
    serde_json::from_value(planned.config.clone())
        .map_err(|e| Error::Data(format!("plan.json, cell {}: {e}", planned.label)))
}

/// Takes the cell's lock. A runner that was killed leaves cells that are still saving their state: they get a while.
fn hold(dir: &RunDir, id: &str) -> Result<Held> {
    let started = Instant::now();
    loop {
        match dir.hold_cell(id) {
            Err(e) if e.is_held() && started.elapsed() < HANDOVER => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return Ok(other?),
        }
    }
}

/// What a checkpoint of a finished training says about itself.
#[derive(Debug, Serialize, Deserialize)]
struct Finished {
    progress: Progress,
    implementation: String,
}

struct Running<'a> {
    dir: &'a RunDir,
    id: &'a str,
    config: &'a CellConfig,
    stop: StopFlag<'a>,
    /// Of the work at hand: training, or a search before it.
    steps: u64,
    registry: &'a Registry,
    cost: Cost,
    reported: Option<Instant>,
}

impl Running<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.cell_dir(self.id).join(name)
    }

    fn report(&mut self, state: State, step: u64, reason: Option<String>) -> Result<()> {
        self.reported = Some(Instant::now());
        let status = Status {
            schema_version: SCHEMA_VERSION,
            state,
            step,
            steps: self.steps,
            reason,
            updated: machine::now(),
            pid: Some(std::process::id()),
        };
        Ok(self.dir.write_status(self.id, &status)?)
    }

    fn go(&mut self) -> Result<Ended> {
        let (config, registry) = (self.config, self.registry);
        let device = Device::open(&config.device)?;
        let mut scheme = registry
            .parse(&config.scheme.id, config.scheme.settings.clone())
            .map_err(|e| Error::Config(format!("scheme {}: {e}", config.scheme.name)))?;
        let source = self.open_source()?;
        let mut recipe = scheme.recipe(&config.shape.geometry)?;
        let mut searched = None;
        if let Some(search) = recipe.search.take() {
            let Some(found) = self.search(&search, scheme.as_ref(), &source, &device)? else {
                return Ok(Ended::Interrupted);
            };
            (scheme, searched) = (found.scheme, Some(found.record));
        }
        let Some((model, finished)) = self.weights(scheme.as_ref(), &recipe, &source, &device)?
        else {
            let state = self.dir.status(self.id)?.map(|s| s.state);
            return Ok(if state == Some(State::Diverged) {
                Ended::Diverged
            } else {
                Ended::Interrupted
            });
        };
        let plans = scheme.layer_plans(&config.shape.geometry, Len(config.train.length))?;
        let subject = Subject {
            model: model.as_ref(),
            scheme: scheme.as_ref(),
            recipe: &recipe,
            seed: config.seed,
        };
        let Some(mut record) = self.measure(&subject, &plans, &source, &finished)? else {
            self.report(State::Interrupted, finished.progress.step, None)?;
            return Ok(Ended::Interrupted);
        };
        record.search = searched;
        let seconds = finished.progress.seconds;
        let tokens = config.train.steps * config.train.step_tokens() as u64;
        self.cost.train_seconds = seconds;
        self.cost.train_tokens_per_second = if seconds > 0.0 {
            tokens as f64 / seconds
        } else {
            0.0
        };
        self.cost.jobs = machine::jobs();
        self.cost.peak_memory_bytes = machine::peak_memory();
        self.cost.threads = machine::threads();
        self.dir.write_cost(self.id, &self.cost)?;
        self.dir.write_result(self.id, &record)?;
        self.report(State::Done, finished.progress.step, None)?;
        Ok(Ended::Done)
    }

    fn open_source(&self) -> Result<Source> {
        let config = self.config;
        let source = Source::open(
            config.task,
            config.data.as_ref(),
            config.passkey.as_ref(),
            &config.data_root,
        )?;
        let (data, tokenizer) = source.hashes();
        if (&data, &tokenizer) != (&config.data_hash, &config.tokenizer_hash) {
            return Err(Error::Data(format!(
                "the data of study {} changed since this run was planned: expected hash {}, found {data}; \
                 restore it or start a new run folder",
                config.study, config.data_hash
            )));
        }
        Ok(source)
    }

    /// The base's weights, for an extension.
    fn base(&self) -> Result<Option<(Values, Finished)>> {
        if self.config.checkpoint.is_some() {
            return Ok(None);
        }
        let path = |base: &String| self.dir.cell_dir(base).join("checkpoint.safetensors");
        let base = self.config.base.as_ref();
        base.map(|base| checkpoint::load(&path(base))).transpose()
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
            let asked = Positional::of(scheme);
            let model = Pretrained::open(&checkpoint.dir, self.registry, Some(&asked), device)?;
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
    fn search(
        &mut self,
        search: &Search,
        scheme: &dyn AnyScheme,
        source: &Source,
        device: &Device,
    ) -> Result<Option<Found>> {
        let config = self.config;
        let base = self.base()?;
        if base.is_none() && config.checkpoint.is_none() {
            let name = &config.scheme.name;
            return Err(Error::Config(format!(
                "scheme {name}: a search needs the weights of a trained base"
            )));
        }
        let plans = scheme.layer_plans(&config.shape.geometry, Len(config.train.length))?;
        let values = base.as_ref().map(|(values, _)| values);
        let model = self.decoder(scheme, &plans, values, source, device)?;
        let log = self.file("search.jsonl");
        let searching = Searching {
            registry: self.registry,
            scheme,
            id: &config.scheme.id,
            model: model.as_ref(),
            source,
            seed: config.seed,
            log: &log,
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

    /// The weights to be measured: trained here, resumed, or taken over. `None` if training did not come to its end.
    fn weights(
        &mut self,
        scheme: &dyn AnyScheme,
        recipe: &Recipe,
        source: &Source,
        device: &Device,
    ) -> Result<Option<(Box<dyn Model>, Finished)>> {
        let config = self.config;
        let path = self.file("checkpoint.safetensors");
        let geometry = &config.shape.geometry;
        let sampler = recipe.positions.or(config.train.positions);
        let plans_at = |length: usize| {
            let reach = sampler.map_or(length, |sampler| sampler.reach(length).max(length));
            scheme.layer_plans(geometry, Len(reach))
        };
        let plans = plans_at(config.train.length)?;
        let decoder = |values| self.decoder(scheme, &plans, values, source, device);
        if path.exists() {
            let (values, finished): (_, Finished) = checkpoint::load(&path)?;
            return Ok(Some((decoder(Some(&values))?, finished)));
        }
        let base = self.base()?;
        let base_values = base.as_ref().map(|(values, _)| values);
        if config.train.steps == 0 {
            let model = decoder(base_values)?;
            let implementation = match &base {
                Some((_, finished)) => finished.implementation.clone(),
                None => implementation(model.as_ref(), &plans)?,
            };
            let finished = Finished {
                progress: Progress::default(),
                implementation,
            };
            return Ok(Some((model, finished)));
        }
        let state_path = self.file("state.safetensors");
        let state = match state_path.exists() {
            true => Some(checkpoint::load::<Progress>(&state_path)?),
            false => None,
        };
        let start = state.as_ref().map(|(values, _)| values).or(base_values);
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
            .map(|(values, progress)| (progress.clone(), values));
        let mut trainer = Trainer::new(model, stages, &config.train, only_scheme, resumed)?;
        let batches = CellBatches::new(source, config, recipe);
        if !self.train(&mut trainer, &batches, &state_path)? {
            return Ok(None);
        }
        let finished = Finished {
            progress: trainer.progress.clone(),
            implementation: trainer.implementation.to_string(),
        };
        checkpoint::save(&path, &trainer.model.values()?, &finished)?;
        let _ = std::fs::remove_file(&state_path);
        Ok(Some((trainer.model, finished)))
    }

    /// Trains to the end; `false` if the loss diverged or a stop was asked for.
    fn train(
        &mut self,
        trainer: &mut Trainer<'_>,
        batches: &CellBatches<'_>,
        state: &Path,
    ) -> Result<bool> {
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
                checkpoint::save(state, &trainer.state()?, &trainer.progress)?;
                self.report(State::Diverged, step, Some(reason))?;
                return Ok(false);
            }
            let stopping = (self.stop)() && !trainer.finished();
            if stopping || saved.elapsed() >= CHECKPOINT_EVERY {
                checkpoint::save(state, &trainer.state()?, &trainer.progress)?;
                saved = Instant::now();
            }
            if stopping {
                self.report(State::Interrupted, trainer.progress.step, None)?;
                return Ok(false);
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
        Ok(true)
    }

    /// All measurements; `None` if a stop was asked for.
    fn measure(
        &mut self,
        subject: &Subject<'_>,
        plans: &[Plan],
        source: &Source,
        finished: &Finished,
    ) -> Result<Option<CellRecord>> {
        let config = self.config;
        let started = Instant::now();
        let Subject { model, scheme, .. } = *subject;
        let mut stopped = false;
        let stop = self.stop;
        let mut tick = |_tokens: usize| {
            stopped |= stop();
            if stopped {
                Err(Error::Bug("stopped".into()))
            } else {
                Ok(())
            }
        };
        let measured = measure_all(subject, config, source, &mut tick);
        if stopped {
            return Ok(None);
        }
        let (perplexity, passkey, samples) = measured?;
        self.dir.write_samples(self.id, &samples)?;
        self.cost.evaluate_seconds = started.elapsed().as_secs_f64();
        let (parameters, scheme_parameters) = model.parameters();
        let geometry = config.shape.geometry;
        let card = scheme.card();
        let doubt = if card.experimental {
            " (experimental)"
        } else {
            ""
        };
        let tokens = config.train.steps * config.train.step_tokens() as u64;
        let mut refused = perplexity.refused;
        refused.extend(passkey.refused);
        Ok(Some(CellRecord {
            schema_version: SCHEMA_VERSION,
            id: self.id.to_string(),
            study: config.study.clone(),
            scheme: SchemeRecord {
                name: config.scheme.name.clone(),
                id: config.scheme.id.clone(),
                title: format!("{}{doubt}", card.title),
                family: card.family.to_string(),
                idea: card.idea.to_string(),
                paper: card.paper.to_string(),
                settings: scheme.settings(),
                formula: scores(plans, " | ", &|plan| plan.score.to_string()),
                latex: scores(plans, r"\ \mid\ ", &|plan| plan.score.latex()),
                base: config.scheme.base.clone(),
                stage: config.stage,
            },
            seed: config.seed,
            trained_length: geometry.trained_length,
            model: ModelRecord {
                size: config.size.clone(),
                layers: geometry.layers,
                width: geometry.width,
                heads: geometry.heads,
                kv_heads: geometry.kv_heads,
                head_dim: geometry.head_dim,
                hidden: config.shape.hidden,
                vocab: config.shape.vocab,
                parameters,
                scheme_parameters,
            },
            train: TrainRecord {
                length: config.train.length,
                batch: config.train.batch,
                steps: config.train.steps,
                base_steps: config.base_steps,
                lr: config.train.lr,
                tokens,
                curve: finished.progress.curve.clone(),
                validation: finished.progress.validation.clone(),
            },
            data: source.record(),
            perplexity: perplexity.records,
            position: perplexity.position,
            passkey: passkey.records,
            refused,
            learned: learned(model)?,
            search: None,
            engine: EngineRecord {
                device: config.device.clone(),
                attention: finished.implementation.clone(),
                version: machine::version().to_string(),
            },
        }))
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

/// The scores of all layers, each once.
fn scores(plans: &[Plan], between: &str, text: &dyn Fn(&Plan) -> String) -> String {
    let mut texts: Vec<String> = plans.iter().map(text).collect();
    let mut seen = std::collections::BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts.join(between)
}

fn measure_all(
    subject: &Subject<'_>,
    config: &CellConfig,
    source: &Source,
    tick: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(
    perplexity::Measured,
    passkey::Measured,
    Vec<serde_json::Value>,
)> {
    let mut found = (
        perplexity::Measured::default(),
        passkey::Measured::default(),
        Vec::new(),
    );
    if let (Some(wanted), Source::Text(text)) = (&config.evaluate.perplexity, source) {
        let longest = wanted.lengths.iter().copied().max().unwrap_or(0);
        let segments = text.test_segments(longest + 1, wanted.segments)?;
        found.0 = perplexity::measure(subject, wanted, &segments, tick)?;
        found.2.extend(found.0.samples(&segments));
    }
    if let (Some(wanted), Source::Passkey(task)) = (&config.evaluate.passkey, source) {
        found.1 = passkey::measure(subject, wanted, task, config.seed, tick)?;
        found.2.append(&mut found.1.samples);
    }
    if let (Some(wanted), Some(checkpoint), Source::Text(_)) =
        (&config.evaluate.passkey, &config.checkpoint, source)
    {
        let task = TextPasskey::open(&checkpoint.dir)?;
        found.1 = passkey::measure(subject, wanted, &task, config.seed, tick)?;
        found.2.append(&mut found.1.samples);
    }
    Ok(found)
}

/// Name of the implementation of attention that runs under `plans`.
fn implementation(model: &dyn Model, plans: &[Plan]) -> Result<String> {
    let batch = windows_batch(&[&[0, 0, 0]], 2);
    let hidden = model.hidden(&batch, &model.ready(plans, 2)?, Pass::Evaluate)?;
    Ok(hidden.implementation.to_string())
}

/// The scheme's parameters after training.
fn learned(model: &dyn Model) -> Result<Vec<(String, Vec<f64>)>> {
    let scheme = model.weights().iter().filter(|(_, weight)| weight.scheme);
    scheme
        .map(|(name, weight)| {
            let flat = weight.var.tensor().to_flat::<f32>()?;
            Ok((name.clone(), flat.into_iter().map(f64::from).collect()))
        })
        .collect()
}
