//! One cell: train (or take over) a model, measure it, leave a result. Runs in a process of its own.
//!
//! A cell may be stopped at any moment, by a signal or by force. What it has done up to its last checkpoint is kept,
//! and the next process goes on from there to the same bytes.

mod config;
mod finished;
mod inspect;
mod learn;
mod making;
mod measure;
mod pace;
mod told;

use crate::measure::Subject;
use crate::model::Decoder;
use crate::scheme::apart;
use crate::train::Progress;
use crate::{Error, Result, machine};
use farspan_attention::Device;
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::record::{Cost, PlannedCell, RunPlan, SCHEMA_VERSION, State, Status};
use farspan_reports::store::RunDir;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use config::{CellConfig, CellStage, CellTeacher, CheckpointConfig};
pub(crate) use finished::{Measured, measured};
pub use inspect::{Found, Inspected, inspect, is_done};
use pace::Pace;

/// Time between looks at the status file.
const STATUS_EVERY: Duration = Duration::from_millis(500);

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

/// Runs one cell of the run folder to its end, from wherever it got to before. `dir` is written under the cell's lease
/// ([`RunDir::under`]). A file in its folder that is not what was written is an error; [`inspect`] sets such files aside
/// before.
pub fn run(dir: &RunDir, id: &str, registry: &Registry, stop: StopFlag<'_>) -> Result<Ended> {
    let plan = dir.plan()?;
    let planned = planned(&plan, dir, id)?;
    let config = config_of(dir, planned)?;
    if dir.result_of(planned)?.is_some() {
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
        earlier_cpu_seconds: 0.0,
        pace: Pace::new(planned, &config, None),
        planned,
        loss: None,
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

fn planned<'p>(plan: &'p RunPlan, dir: &RunDir, id: &str) -> Result<&'p PlannedCell> {
    let planned = plan.cells.iter().find(|cell| cell.id == id);
    planned.ok_or_else(|| {
        Error::Data(format!(
            "{}: no cell {id} in its plan",
            dir.path().display()
        ))
    })
}

/// The config of a planned cell, whose identity it must make. Its paths start from the run folder, and are made to start
/// from the current one.
fn config_of(dir: &RunDir, planned: &PlannedCell) -> Result<CellConfig> {
    let wrong = |what: String| Error::Data(format!("plan.json, cell {}: {what}", planned.label));
    let mut config: CellConfig =
        serde_json::from_value(planned.config.clone()).map_err(|e| wrong(e.to_string()))?;
    config.data_root = machine::data_root(dir.path(), &config.data_root);
    let id = config.id()?;
    let same = (
        &config.study,
        &config.scheme.name,
        config.stage,
        config.seed,
    );
    let known = (&planned.study, &planned.scheme, planned.stage, planned.seed);
    if id != planned.id || same != known || config.base != planned.base {
        return Err(wrong(format!(
            "expected the config of {}, found that of {id}, {}: the plan was changed; \
             run the config on this folder again, which makes the plan anew",
            planned.id,
            config.label()
        )));
    }
    Ok(config)
}

/// What a checkpoint of a finished training says about itself.
#[derive(Debug, Serialize, Deserialize)]
struct Finished {
    progress: Progress,
    implementation: String,
}

/// The weights to be measured, or how the cell ended without them.
enum Weights {
    There(Box<Decoder>, Finished),
    NotYet(Ended),
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
    /// Processor time of the processes before this one, as far as they saved what they did.
    earlier_cpu_seconds: f64,
    planned: &'a PlannedCell,
    pace: Pace,
    /// Training loss since the last point of the curve.
    loss: Option<f64>,
    reported: Option<Instant>,
}

impl Running<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.cell_dir(self.id).join(name)
    }

    /// Processor time that the cell has taken so far.
    fn cpu_seconds(&self) -> f64 {
        self.earlier_cpu_seconds + machine::cpu_seconds()
    }

    /// Whether it is time to tell how far the cell is.
    fn is_due(&self) -> bool {
        self.reported.is_none_or(|t| t.elapsed() >= STATUS_EVERY)
    }

    fn report(&mut self, state: State, step: u64, reason: Option<String>) -> Result<()> {
        self.reported = Some(Instant::now());
        let running = state == State::Running;
        let status = Status {
            schema_version: SCHEMA_VERSION,
            state,
            step,
            steps: self.steps,
            reason,
            updated: machine::now(),
            now: running.then(|| self.pace.activity(self.loss)),
            pid: Some(std::process::id()),
        };
        Ok(self.dir.write_status(self.id, &status)?)
    }

    fn go(&mut self) -> Result<Ended> {
        let (config, registry) = (self.config, self.registry);
        let base = learn::base(self.dir, config)?;
        let base = base.as_ref();
        let device = Device::open(&machine::device(&config.device))?;
        let scheme = registry
            .parse(&config.scheme.id, config.scheme.settings.clone())
            .map_err(|e| Error::Config(format!("scheme {}: {e}", config.scheme.name)))?;
        let mut scheme: Arc<dyn AnyScheme> = Arc::from(scheme);
        let source = learn::source(config, registry)?;
        let making = making::Making {
            config,
            apart: apart(registry, &config.architecture)?,
            base: base.map(|base| &base.values),
            texts: &|| Ok(source.token_texts().into()),
            device: &device,
            registry,
        };
        let mut recipe = scheme.recipe(&config.architecture.geometry)?;
        let mut searched = None;
        if let Some(search) = recipe.search.take() {
            self.pace = Pace::new(self.planned, config, Some(&search));
            let Some(found) = self.search(&search, &making, scheme, base, &source)? else {
                return Ok(Ended::Interrupted);
            };
            (scheme, searched) = (found.scheme, Some(found.record));
        }
        let weights = self.weights(scheme, &making, &recipe, base, &source)?;
        let (model, finished) = match weights {
            Weights::There(model, finished) => (model, finished),
            Weights::NotYet(ended) => return Ok(ended),
        };
        let plans = model.planned(Len(config.train.length))?;
        let subject = Subject {
            model: &model,
            recipe: &recipe,
            seed: config.seed,
        };
        let Some(mut record) = self.measure(&subject, &plans, &source, &finished)? else {
            self.report(State::Interrupted, finished.progress.step, None)?;
            return Ok(Ended::Interrupted);
        };
        record.search = searched;
        record.train.base_weights = base.map(|base| base.weights.clone());
        let seconds = finished.progress.seconds;
        let tokens = config.training_tokens();
        self.cost.train_seconds = seconds;
        self.cost.train_tokens_per_second = if seconds > 0.0 {
            tokens as f64 / seconds
        } else {
            0.0
        };
        self.cost.cpu_seconds = self.cpu_seconds();
        self.cost.jobs = machine::jobs();
        self.cost.peak_memory_bytes = machine::peak_memory();
        self.cost.threads = machine::threads();
        self.cost.machine = machine::machine();
        self.cost.device = device.note().to_string();
        self.dir.write_cost(self.id, &self.cost)?;
        self.dir.write_result(self.id, &record)?;
        // The result decides that the cell is done; a status that cannot be written changes nothing.
        if let Err(e) = self.report(State::Done, finished.progress.step, None) {
            tracing::warn!("done, but its status could not be written: {e}");
        }
        Ok(Ended::Done)
    }
}
