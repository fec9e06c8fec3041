//! From a checked config to the frozen list of cells.

use super::forecast;
use crate::cell::{CellConfig, CheckpointConfig};
use crate::checkpoint::config::Reading;
use crate::checkpoint::files::Files;
use crate::checkpoint::weights;
use crate::config::types::{FinetuneConfig, Run, SchemeConfig, StudyConfig, TrainConfig};
use crate::measure::{Given, Other, Pass};
use crate::model::{Architecture, has_parameters};
use crate::origin;
use crate::scheme::{Positional, apart, inherits_doubt, layer_plans, never_trained, resolve};
use crate::source::Source;
use crate::{Error, Result, machine};
use farspan_pe::search::Search;
use farspan_pe::{Len, Registry};
use farspan_reports::record::{PlannedCell, RunPlan, SCHEMA_VERSION, Stage};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The cells of a run: for every study and seed each scheme trained from scratch, each extension read zero-shot, and
/// fine-tuned where asked for. Opens the data, so that too little text is an error before any training. `here` is the way
/// from the run folder to the current one, which relative paths start from.
pub fn plan(run: &Run, registry: &Registry, here: &Path) -> Result<RunPlan> {
    let mut cells = Vec::new();
    for (name, study) in &run.studies {
        let schemes: Vec<&SchemeConfig> = match &study.schemes {
            Some(wanted) => run
                .schemes
                .iter()
                .filter(|s| wanted.contains(&s.name))
                .collect(),
            None => run.schemes.iter().collect(),
        };
        let planner = Planner::new(run, name, study, &schemes, registry, here)?;
        cells.extend(planner.cells(&schemes, registry)?);
    }
    let canonical = serde_json::to_string(run).map_err(|e| Error::Bug(e.to_string()))?;
    Ok(RunPlan {
        schema_version: SCHEMA_VERSION,
        name: run.name.clone(),
        config_hash: blake3::hash(canonical.as_bytes()).to_hex()[..16].to_string(),
        command: String::new(),
        created: machine::now(),
        version: machine::version().to_string(),
        machine: String::new(),
        margin: run.margin,
        confidence: run.confidence,
        reference: run.reference.clone(),
        cells,
    })
}

/// Peak learning rate of a checkpoint's fine-tuning, as in position interpolation (Chen et al. 2023, arXiv 2306.15595,
/// section 3.1).
const CHECKPOINT_LR: f64 = 2e-5;
/// Peak learning rate of adapters, as usual for them (Hu et al. 2021, arXiv 2106.09685, table 11).
const ADAPTER_LR: f64 = 2e-4;

struct Planner<'a> {
    run: &'a Run,
    name: &'a str,
    study: &'a StudyConfig,
    here: &'a Path,
    architecture: Architecture,
    hashes: (String, String),
    /// Hashes of what measures read beside the data.
    beside: Vec<String>,
    /// Windows that are read to measure a cell.
    passes: Vec<Pass>,
    /// Other models that read to measure it.
    others: Vec<Other>,
    checkpoint: Option<CheckpointConfig>,
    /// Shapes of its weights.
    held: BTreeMap<String, Vec<usize>>,
}

impl<'a> Planner<'a> {
    fn new(
        run: &'a Run,
        name: &'a str,
        study: &'a StudyConfig,
        schemes: &[&SchemeConfig],
        registry: &Registry,
        here: &'a Path,
    ) -> Result<Planner<'a>> {
        let source = Source::open(&study.reads(), Path::new(""))?;
        let finetuned = schemes.iter().filter_map(|s| s.finetune.as_ref());
        let study_finetunes = finetuned.clone().next().is_some();
        let longest_training = finetuned
            .map(|f| f.window(study.train.length))
            .chain([study.train.length])
            .max()
            .unwrap_or(study.train.length);
        if let Source::Text(text) = &source
            && (study.train.steps > 0 || study_finetunes)
        {
            text.check_training(longest_training)?;
        }
        let architecture = study.model.resolve(source.vocab(), study.train.length)?;
        if let Source::Text(text) = &source {
            text.check_vocab(architecture.vocab)?;
            for scheme in schemes {
                if let Some(search) = search(scheme, &architecture, registry)? {
                    text.check_validation(search.length).map_err(|e| {
                        Error::Data(format!("scheme {}, its search: {e}", scheme.name))
                    })?;
                }
            }
        }
        let checkpoint = study.model.checkpoint.as_deref();
        let checkpoint =
            checkpoint.map(|name| pretrained(name, study.model.reading(), &architecture));
        let checkpoint = checkpoint.transpose()?;
        let given = Given {
            source: &source,
            registry,
            root: Path::new(""),
            checkpoint: checkpoint.as_ref().map(|c| c.dir.as_path()),
            vocab: architecture.vocab,
            seed: 0,
        };
        let (mut passes, mut others) = (Vec::new(), Vec::new());
        for (_, measure) in study.evaluate.asked() {
            passes.extend(measure.passes(&given)?);
            others.extend(measure.others(&given)?);
        }
        let beside = study.evaluate.reads(&given)?;
        let (checkpoint, held) = checkpoint.map(|c| (c.config, c.held)).unzip();
        Ok(Planner {
            checkpoint,
            held: held.unwrap_or_default(),
            run,
            name,
            study,
            here,
            architecture,
            hashes: source.hashes(),
            beside,
            passes,
            others,
        })
    }

    fn cells(&self, schemes: &[&SchemeConfig], registry: &Registry) -> Result<Vec<PlannedCell>> {
        let mut ids = BTreeMap::new();
        let mut cells = Vec::new();
        for &seed in self.run.seeds_of(self.study) {
            // Bases first: an extension names the identity of its base.
            for scheme in schemes.iter().filter(|s| s.base.is_none()) {
                let cell = self.cell(scheme, Stage::Trained, seed, None, registry)?;
                let id = cell.id.clone();
                cells.push((position(schemes, scheme), cell));
                // A checkpoint can be trained further under its own scheme.
                if scheme.finetune.is_some() {
                    let cell = self.cell(scheme, Stage::FineTuned, seed, Some(&id), registry)?;
                    cells.push((position(schemes, scheme), cell));
                }
                ids.insert((scheme.name.as_str(), seed), id);
            }
            for scheme in schemes.iter().filter(|s| s.base.is_some()) {
                let base = scheme
                    .base
                    .as_deref()
                    .and_then(|b| ids.get(&(b, seed)))
                    .ok_or_else(|| {
                        Error::Bug(format!(
                            "study {}: base of {} is not part of it",
                            self.name, scheme.name
                        ))
                    })?;
                cells.push((
                    position(schemes, scheme),
                    self.cell(scheme, Stage::ZeroShot, seed, Some(base), registry)?,
                ));
                if scheme.finetune.is_some() {
                    let cell = self.cell(scheme, Stage::FineTuned, seed, Some(base), registry)?;
                    cells.push((position(schemes, scheme), cell));
                }
            }
        }
        cells.sort_by_key(|(position, cell)| (*position, cell.stage, cell.seed));
        Ok(cells.into_iter().map(|(_, cell)| cell).collect())
    }

    fn cell(
        &self,
        scheme: &SchemeConfig,
        stage: Stage,
        seed: u64,
        base: Option<&String>,
        registry: &Registry,
    ) -> Result<PlannedCell> {
        let study = self.study;
        let train = match (stage, &scheme.finetune) {
            (Stage::Trained, _) => study.train.clone(),
            (Stage::FineTuned, Some(finetune)) => {
                let base = study.model.checkpoint.is_none().then_some(study.train.lr);
                finetune_train(finetune, &study.train, base)
            }
            _ => TrainConfig {
                steps: 0,
                ..study.train.clone()
            },
        };
        let lora = match (stage, &scheme.finetune) {
            (Stage::FineTuned, Some(finetune)) => finetune.lora.clone(),
            _ => None,
        };
        let architecture = &self.architecture;
        let mut notes = architecture.notes.clone();
        let settings = match &self.checkpoint {
            Some(_) => {
                let asked = chosen(scheme, registry);
                let found = resolve(registry, architecture, Some(&asked)).map_err(|e| {
                    let text = format!("scheme {}: {e}", scheme.name);
                    // What the checkpoint itself cannot do is no fault of the config.
                    match e {
                        Error::Data(_) => Error::Data(text),
                        _ => Error::Config(text),
                    }
                })?;
                let doubt = inherits_doubt(architecture, found.as_ref());
                notes.extend(doubt);
                let foreign = never_trained(architecture, found.as_ref());
                notes.extend(foreign.filter(|_| stage != Stage::FineTuned));
                found.settings()
            }
            None => scheme.settings.clone(),
        };
        let config = CellConfig {
            study: self.name.to_string(),
            reads: study.reads(),
            seed,
            scheme: SchemeConfig {
                finetune: None,
                settings: settings.clone(),
                ..scheme.clone()
            },
            stage,
            size: match &study.model.checkpoint {
                Some(name) => Some(name.clone()),
                None => study.model.size.clone(),
            },
            checkpoint: self.checkpoint.clone(),
            architecture: Architecture {
                notes,
                ..architecture.clone()
            },
            lora,
            checkpointing: stage == Stage::FineTuned
                && scheme.finetune.as_ref().is_some_and(|f| f.checkpointing),
            data_root: self.here.to_path_buf(),
            base_steps: if base.is_some() { study.train.steps } else { 0 },
            base_batches: match base {
                Some(_) => study.train.steps * study.train.accumulate,
                None => 0,
            },
            train,
            evaluate: study.evaluate.clone(),
            base: base.cloned(),
            device: self.run.device.clone(),
            data_hash: self.hashes.0.clone(),
            tokenizer_hash: self.hashes.1.clone(),
            beside: self.beside.clone(),
        };
        let parsed = registry
            .parse(&scheme.id, settings)
            .map_err(|e| Error::Config(format!("scheme {}: {e}", scheme.name)))?;
        let apart = apart(registry, architecture)?;
        let context_len = Len(config.train.length);
        let plans = layer_plans(parsed.as_ref(), &apart, &architecture.geometry, context_len)
            .map_err(|e| {
                Error::Config(format!("study {}, scheme {}: {e}", self.name, scheme.name))
            })?;
        if config.checkpoint.is_some() && stage != Stage::FineTuned {
            has_parameters(&scheme.id, &plans, |name| self.held.contains_key(name))?;
        }
        let own = crate::model::scheme_parameters(&plans);
        let parameters = architecture.parameters() + own as u64;
        Ok(PlannedCell {
            id: config.id()?,
            label: config.label(),
            study: config.study.clone(),
            scheme: scheme.name.clone(),
            stage,
            seed,
            base: base.cloned(),
            parameters,
            train_tokens: config.train.steps * config.train.step_tokens() as u64,
            measured_tokens: forecast::tokens(&self.passes)
                + self
                    .others
                    .iter()
                    .map(|o| forecast::tokens(&o.passes))
                    .sum::<u64>(),
            flops: self.flops(&config, parsed.recipe(&architecture.geometry)?.search),
            memory_bytes: forecast::memory(
                &config,
                parameters,
                parsed.as_ref(),
                (&self.passes, &self.others),
            ),
            disk_bytes: forecast::disk(&config, parameters),
            config: serde_json::to_value(&config).map_err(|e| Error::Bug(e.to_string()))?,
        })
    }

    /// Forecast of a cell's floating-point operations.
    fn flops(&self, config: &CellConfig, search: Option<Search>) -> f64 {
        let search = search.map_or(0.0, |search| config.search_flops(&search));
        let others = self.others.iter();
        let others: f64 = others
            .map(|o| forecast::flops(&o.architecture, &o.passes))
            .sum();
        let passes = forecast::flops(&self.architecture, &self.passes);
        config.training_flops() + search + passes + others
    }
}

/// What a scheme finds by search, if anything.
fn search(
    scheme: &SchemeConfig,
    architecture: &Architecture,
    registry: &Registry,
) -> Result<Option<Search>> {
    let wrong = |e| Error::Config(format!("scheme {}: {e}", scheme.name));
    let parsed = registry
        .parse(&scheme.id, scheme.settings.clone())
        .map_err(wrong)?;
    Ok(parsed.recipe(&architecture.geometry).map_err(wrong)?.search)
}

fn position(schemes: &[&SchemeConfig], scheme: &SchemeConfig) -> usize {
    schemes
        .iter()
        .position(|s| s.name == scheme.name)
        .unwrap_or(usize::MAX)
}

/// A scheme with the settings that differ from its defaults: what it leaves alone may belong to the weights.
fn chosen(scheme: &SchemeConfig, registry: &Registry) -> Positional {
    let mut settings = scheme.settings.as_object().cloned().unwrap_or_default();
    if let Ok(default) = registry.parse(&scheme.id, serde_json::json!({})) {
        let default = default.settings();
        settings.retain(|key, value| default.get(key) != Some(value));
    }
    Positional::new(&scheme.id, settings)
}

/// A checkpoint of a config.
struct Pretrained {
    config: CheckpointConfig,
    dir: PathBuf,
    /// Shapes of its weights.
    held: BTreeMap<String, Vec<usize>>,
}

/// A checkpoint of the config, if it holds what `architecture` says.
fn pretrained(name: &str, reading: Reading, architecture: &Architecture) -> Result<Pretrained> {
    let dir = origin::folder(name)?;
    let files = Files::open(&dir)?;
    let held = weights::held(&files, architecture)?;
    let (name, hash) = (name.to_string(), files.hash()?);
    let config = CheckpointConfig {
        name,
        hash,
        reading,
    };
    Ok(Pretrained { config, dir, held })
}

/// The training of a fine-tuning stage: the base's recipe at the new length, with as many tokens per step.
/// `base_lr` is the peak learning rate of the base, where it was trained here.
fn finetune_train(
    finetune: &FinetuneConfig,
    train: &TrainConfig,
    base_lr: Option<f64>,
) -> TrainConfig {
    let length = finetune.window(train.length);
    TrainConfig {
        length,
        batch: finetune
            .batch
            .unwrap_or((train.batch * train.length / length).max(1)),
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
        ..train.clone()
    }
}
