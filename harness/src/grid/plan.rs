//! From a checked config to the frozen list of cells.

use super::pretrained::pretrained;
use super::{forecast, tuned};
use crate::cell::{CellConfig, CellTeacher, CheckpointConfig};
use crate::config::types::{FinetuneConfig, Run, SchemeConfig, StudyConfig, TrainConfig};
use crate::measure::{Given, Other, Pass};
use crate::model::{Architecture, has_parameters};
use crate::scheme::{
    Positional, apart, inherits_doubt, layer_plans, left_behind, never_trained, resolve,
};
use crate::source::Source;
use crate::{Error, Result, machine};
use farspan_pe::search::Search;
use farspan_pe::{Len, Registry};
use farspan_reports::record::{PlannedCell, RunPlan, SCHEMA_VERSION, Stage};
use std::collections::BTreeMap;
use std::path::Path;

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
            .flat_map(FinetuneConfig::each)
            .map(|f| f.window(study.train.length))
            .chain([study.train.length])
            .max()
            .unwrap_or(study.train.length);
        if let Source::Text(text) = &source
            && (study.train.steps > 0 || study_finetunes)
        {
            text.check_training(longest_training)?;
        }
        let mask = study.train.mask_inputs;
        let vocab = source.vocab() + usize::from(mask.is_some_and(|m| m.adds_entry()));
        let architecture = study.model.resolve(vocab, study.train.length)?;
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
                let own = &architecture.positional.settings;
                let left = left_behind(own, &found.schema());
                let left = left.filter(|_| stage == Stage::FineTuned);
                notes.extend(left.map(|why| format!("scheme {}: {why}", scheme.name)));
                let foreign = never_trained(architecture, found.as_ref());
                notes.extend(foreign.filter(|_| stage != Stage::FineTuned));
                found.settings()
            }
            None => scheme.settings.clone(),
        };
        let trainings = match (stage, &scheme.finetune) {
            (Stage::Trained, _) => vec![study.train.clone()],
            (Stage::FineTuned, Some(finetune)) => {
                let base = study.model.checkpoint.is_none().then_some(study.train.lr);
                let stages = finetune.each();
                let stages = stages.iter();
                stages
                    .map(|s| tuned::train(s, &study.train, base))
                    .collect()
            }
            _ => vec![TrainConfig {
                steps: 0,
                ..study.train.clone()
            }],
        };
        tuned::check_masks(&trainings, self.architecture.vocab).map_err(|e| {
            Error::Config(format!("study {}, scheme {}: {e}", self.name, scheme.name))
        })?;
        let (teacher, teaching) = self.teacher(scheme, stage, &trainings, registry)?.unzip();
        let (train, stages) = tuned::joined(trainings, scheme, &stage, &settings);
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
            stages,
            teacher,
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
        tuned::check_stages(&config, registry, &plans)?;
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
            train_tokens: config.training_tokens(),
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
                teaching.as_ref(),
            ),
            disk_bytes: forecast::disk(&config, parameters),
            config: serde_json::to_value(&config).map_err(|e| Error::Bug(e.to_string()))?,
        })
    }

    /// The model whose next tokens a cell learns to tell, if its training asks for one, and what it reads.
    fn teacher(
        &self,
        scheme: &SchemeConfig,
        stage: Stage,
        trainings: &[TrainConfig],
        registry: &Registry,
    ) -> Result<Option<(CellTeacher, Other)>> {
        let of_base = || match (&self.checkpoint, &scheme.base) {
            (None, Some(base)) => {
                let mut schemes = self.run.schemes.iter();
                let base = schemes.find(|s| s.name == *base);
                base.map(|s| {
                    Positional::new(&s.id, s.settings.as_object().cloned().unwrap_or_default())
                })
            }
            _ => Some(self.architecture.positional.clone()),
        };
        let asked = match (stage, &scheme.finetune) {
            (Stage::Trained, _) => tuned::Asked::of(self.study.train.teacher.as_ref(), None),
            (Stage::FineTuned, Some(finetune)) => {
                tuned::Asked::of(finetune.teacher.as_ref(), finetune.keep_short)
            }
            _ => None,
        };
        let Some(asked) = asked else { return Ok(None) };
        let teacher = asked.teacher(&self.architecture, of_base, registry);
        let teacher = teacher.and_then(|t| Ok((t.reads(trainings, registry)?, t.cell)));
        let wrong = |e| Error::Config(format!("scheme {}, its teacher: {e}", scheme.name));
        let (reads, cell) = teacher.map_err(wrong)?;
        Ok(Some((cell, reads)))
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
