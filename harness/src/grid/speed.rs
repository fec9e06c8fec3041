//! The time that cells take on this machine: small models of the same kind are trained and read for a moment, as many at
//! once as cells would run, and what a cell costs beside its arithmetic is added.

use crate::bench::decoder::{Evaluating, Training, train_config};
use crate::cell::CellConfig;
use crate::model::Shape;
use crate::source::Source;
use crate::{Error, Result, machine};
use farspan_attention::{Device, fused};
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::record::{PlannedCell, RunPlan};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time to measure for, all kinds of models together.
const MEASURE: Duration = Duration::from_millis(333);
/// Time after which no other kind is measured: of many schemes some are enough.
const ENOUGH: Duration = Duration::from_secs(2);
/// Floating-point operations of a training step that is timed, of all kinds together and of one at least.
const STEP: (f64, f64) = (2e9, 5e7);
/// Seconds that a cell's process takes to start, to look through its folder and to write what it found.
const PROCESS: f64 = 0.15;

/// What is alike in speed: the models of a study under all schemes that fused kernels serve, or under one that they do not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Kind {
    pub(crate) study: String,
    /// Name of the scheme that is composed of operations; `None` for all others.
    pub(crate) composed: Option<String>,
}

/// Floating-point operations per second of one cell of many that run at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Rates {
    pub(crate) training: f64,
    pub(crate) reading: f64,
    /// Not measured: the mean of the schemes that were.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) assumed: bool,
}

impl Rates {
    fn mean<'r>(all: impl Iterator<Item = &'r Rates> + Clone) -> Option<Rates> {
        let n = all.clone().count();
        let mean = |pick: fn(&Rates) -> f64| all.clone().map(pick).sum::<f64>() / n as f64;
        (n > 0).then(|| Rates {
            training: mean(|rates| rates.training),
            reading: mean(|rates| rates.reading),
            assumed: false,
        })
    }
}

/// How fast this machine is.
#[derive(Debug)]
pub(crate) struct Speed {
    pub(crate) rates: BTreeMap<Kind, Rates>,
    /// Kinds whose small model cannot be made, and why.
    pub(crate) untimed: Vec<String>,
    /// Seconds to open the data of each study.
    opening: BTreeMap<String, f64>,
    /// Cells that run at once.
    pub(crate) jobs: usize,
    cells: BTreeMap<String, Expected>,
}

/// What a cell consists of.
#[derive(Debug)]
struct Expected {
    kind: Kind,
    training: f64,
    reading: f64,
}

impl Speed {
    /// Measures the kinds of models that `cells` have, on the device of their run.
    pub(crate) fn measure(cells: &[&PlannedCell], registry: &Registry) -> Result<Speed> {
        let mut speed = Speed::of_none();
        let config = |cell: &PlannedCell| -> Result<CellConfig> {
            serde_json::from_value(cell.config.clone())
                .map_err(|e| Error::Bug(format!("the config of cell {}: {e}", cell.label)))
        };
        let Some(first) = cells.first() else {
            return Ok(speed);
        };
        let name = config(first)?.device;
        let device = Device::open(&name)?;
        // A worker shares its processors out, whether or not there is a cell for each share.
        let shares = machine::default_jobs(&name);
        let threads = (machine::cores() / shares).max(1);
        speed.jobs = shares.min(cells.len());
        let mut samples = BTreeMap::new();
        for cell in cells {
            let config = config(cell)?;
            let scheme: Arc<dyn AnyScheme> =
                Arc::from(registry.parse(&config.scheme.id, config.scheme.settings.clone())?);
            let kind = kind(&config, scheme.as_ref(), &device);
            let training = config.training_flops();
            if !speed.opening.contains_key(&config.study) {
                // The plan was made with it: what can be kept of it is kept by now.
                let started = Instant::now();
                Source::open(&config.reads, Path::new(""))?;
                let seconds = started.elapsed().as_secs_f64();
                speed.opening.insert(config.study.clone(), seconds);
            }
            speed.cells.insert(
                cell.id.clone(),
                Expected {
                    kind: kind.clone(),
                    training,
                    reading: (cell.flops - training).max(0.0),
                },
            );
            // A model in training tells how fast both go.
            let trains = config.train.steps > 0;
            let sample = samples
                .entry(kind)
                .or_insert_with(|| (scheme.clone(), config.clone()));
            if trains && sample.1.train.steps == 0 {
                *sample = (scheme, config);
            }
        }
        let (kinds, begun) = (samples.len(), Instant::now());
        for (kind, (scheme, config)) in samples {
            let composed = speed
                .rates
                .iter()
                .filter(|(kind, _)| kind.composed.is_some());
            let mean = Rates::mean(composed.map(|(_, rates)| rates));
            if let (true, true, Some(mean)) =
                (begun.elapsed() > ENOUGH, kind.composed.is_some(), mean)
            {
                let assumed = Rates {
                    assumed: true,
                    ..mean
                };
                speed.rates.insert(kind, assumed);
                continue;
            }
            let probe = Probe::new(&config, scheme, kinds);
            match probe.at_once((speed.jobs, threads), &device) {
                Ok(rates) => drop(speed.rates.insert(kind, rates)),
                Err(e) => speed.untimed.push(format!(
                    "{}{}: {e}",
                    kind.study,
                    kind.composed
                        .map_or(String::new(), |scheme| format!("/{scheme}"))
                )),
            }
        }
        Ok(speed)
    }

    fn of_none() -> Speed {
        Speed {
            rates: BTreeMap::new(),
            untimed: Vec::new(),
            opening: BTreeMap::new(),
            jobs: 1,
            cells: BTreeMap::new(),
        }
    }

    /// Seconds that a cell takes beside others, if its kind was timed.
    pub(crate) fn seconds(&self, cell: &PlannedCell) -> Option<f64> {
        let expected = self.cells.get(&cell.id)?;
        let rates = self.rates.get(&expected.kind)?;
        let opening = self.opening.get(&cell.study).copied().unwrap_or_default();
        let work = expected.training / rates.training + expected.reading / rates.reading;
        Some(PROCESS + opening + work)
    }

    /// Seconds until all of `cells` are done that were timed: no less than the longest chain of a base and what extends it.
    pub(crate) fn until_done(&self, cells: &[&PlannedCell], plan: &RunPlan) -> f64 {
        let all: f64 = cells.iter().filter_map(|cell| self.seconds(cell)).sum();
        let base = |cell: &PlannedCell| {
            let id = cell.base.as_ref()?;
            let base = plan.cells.iter().find(|planned| planned.id == *id)?;
            self.seconds(base)
        };
        let chain = |cell: &&PlannedCell| Some(self.seconds(cell)? + base(cell).unwrap_or(0.0));
        let longest = cells.iter().filter_map(chain).fold(0.0, f64::max);
        (all / self.jobs as f64).max(longest)
    }
}

fn kind(config: &CellConfig, scheme: &dyn AnyScheme, device: &Device) -> Kind {
    let plans = scheme.layer_plans(&config.architecture.geometry, Len(config.train.length));
    let fused = plans.is_ok_and(|plans| plans.iter().all(|p| fused::supports(p, device).is_ok()));
    Kind {
        study: config.study.clone(),
        composed: (!fused).then(|| config.scheme.name.clone()),
    }
}

/// A small model of a kind.
#[derive(Clone)]
struct Probe {
    shape: Shape,
    scheme: Arc<dyn AnyScheme>,
    rows: usize,
    length: usize,
    /// Time to measure for.
    time: Duration,
}

impl Probe {
    /// One of `kinds`.
    fn new(config: &CellConfig, scheme: Arc<dyn AnyScheme>, kinds: usize) -> Probe {
        let most = (STEP.0 / kinds as f64).max(STEP.1);
        let probe = Probe {
            shape: config.architecture.shape(),
            scheme,
            rows: config.train.batch,
            length: config.train.length,
            time: MEASURE / kinds as u32,
        };
        probe.at_most(most)
    }

    /// Made smaller until a step takes no more than `most` operations, what matters least first.
    fn at_most(mut self, most: f64) -> Probe {
        let flops = |probe: &Probe| {
            let plain = crate::model::Architecture::plain(&probe.shape);
            3.0 * probe.rows as f64 * plain.forward_flops(probe.length)
        };
        while flops(&self) > most {
            let g = &mut self.shape.geometry;
            if self.rows > 1 {
                self.rows /= 2;
            } else if g.layers > 1 {
                g.layers /= 2;
            } else if self.length > 128 {
                self.length /= 2;
            } else if self.shape.vocab > 1024 {
                self.shape.vocab /= 2;
            } else if g.heads > 1 && g.heads.is_multiple_of(2) {
                g.heads /= 2;
                g.kv_heads = (g.kv_heads / 2).max(1);
                g.width /= 2;
                self.shape.hidden /= 2;
            } else {
                break;
            }
        }
        self
    }

    /// The mean speed of `jobs` of them that run at once, as cells do.
    fn at_once(&self, (jobs, threads): (usize, usize), device: &Device) -> Result<Rates> {
        let runs: Vec<Result<Rates>> = std::thread::scope(|scope| {
            let start = |_| scope.spawn(|| self.on(threads, device));
            let started: Vec<_> = (0..jobs).map(start).collect();
            let ended = started.into_iter().map(|run| run.join());
            let lost = |_| Err(Error::Bug("a model that was timed panicked".into()));
            ended.map(|run| run.unwrap_or_else(lost)).collect()
        });
        let runs = runs.into_iter().collect::<Result<Vec<Rates>>>()?;
        let mean = Rates::mean(runs.iter());
        mean.ok_or_else(|| Error::Bug("no model was timed".into()))
    }

    fn on(&self, threads: usize, device: &Device) -> Result<Rates> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().map_err(|e| Error::Bug(e.to_string()))?;
        pool.install(|| {
            let (size, config) = ((self.rows, self.length), train_config());
            let mut training = Training::new(&self.shape, &self.scheme, size, &config, device)?;
            let flops = training.flops();
            let step = self.timed(2, &mut || training.run().map(drop))?;
            let reading = Evaluating::new(&self.shape, &self.scheme, size, device)?;
            let pass = self.timed(4, &mut || reading.run().map(drop))?;
            Ok(Rates {
                training: flops / step,
                reading: reading.flops() / pass,
                assumed: false,
            })
        })
    }

    /// Seconds of one call, the first left out; a part of the time is this measurement's.
    fn timed(&self, part: u32, call: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        call()?;
        let (started, mut calls) = (Instant::now(), 0);
        while calls == 0 || started.elapsed() < self.time / part {
            call()?;
            calls += 1;
        }
        Ok(started.elapsed().as_secs_f64() / f64::from(calls))
    }
}
