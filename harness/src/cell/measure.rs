//! What is measured of a cell's model.

use super::{CellConfig, Finished, Running, told};
use crate::measure::{Measured, Subject, Tick};
use crate::model::Decoder;
use crate::source::Source;
use crate::{Result, machine};
use farspan_attention::plan::Plan;
use farspan_pe::Registry;
use farspan_reports::record::{
    CellRecord, EngineRecord, ModelRecord, Phase, SCHEMA_VERSION, SchemeRecord, State, TrainRecord,
};
use std::time::Instant;

impl Running<'_> {
    /// All measurements; `None` if a stop was asked for.
    pub(super) fn measure(
        &mut self,
        subject: &Subject<'_>,
        plans: &[Plan],
        source: &Source,
        finished: &Finished,
    ) -> Result<Option<CellRecord>> {
        let config = self.config;
        let started = Instant::now();
        let model = subject.model;
        let scheme = &model.scheme;
        let (mut tokens, mut told) = (0.0, Ok(()));
        self.pace.begin(Phase::Measuring, 0.0);
        self.loss = finished.progress.curve.last().map(|point| point.1);
        self.report(State::Running, finished.progress.step, None)?;
        let registry = self.registry;
        let measured = measure_all(subject, config, (source, registry), &mut |read| {
            tokens += read as f64;
            self.pace.read(tokens);
            if self.is_due() {
                told = self.report(State::Running, finished.progress.step, None);
            }
            told.is_ok() && !(self.stop)()
        })?;
        told?;
        let Some(measured) = measured else {
            return Ok(None);
        };
        self.dir.write_samples(self.id, &measured.samples)?;
        self.cost.evaluate_seconds = started.elapsed().as_secs_f64();
        let (parameters, scheme_parameters) = model.parameters();
        let geometry = config.architecture.geometry;
        let card = scheme.card();
        let doubt = if card.experimental {
            " (experimental)"
        } else {
            ""
        };
        let tokens = config.training_tokens();
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
                hidden: config.architecture.hidden,
                vocab: config.architecture.vocab,
                parameters,
                scheme_parameters,
                notes: config.architecture.notes.clone(),
            },
            train: TrainRecord {
                length: config.train.length,
                batch: config.train.batch,
                steps: config.train.steps,
                base_steps: config.base_steps,
                base_weights: None,
                lr: config.train.lr,
                recipe: told::recipe(config, subject.recipe),
                tokens,
                curve: finished.progress.curve.clone(),
                validation: finished.progress.validation.clone(),
            },
            data: source.record(),
            measures: measured.records,
            refused: measured.refused,
            learned: learned(model)?,
            search: None,
            engine: EngineRecord {
                device: model.device().described(),
                attention: finished.implementation.clone(),
                fused_halves: model.fused_sublayers().to_string(),
                version: machine::version().to_string(),
            },
        }))
    }
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
    (source, registry): (&Source, &Registry),
    tick: Tick<'_>,
) -> Result<Option<Measured>> {
    let checkpoint = config.checkpoint_dir()?;
    let given = config.given(source, registry, checkpoint.as_deref());
    let mut all = Measured::default();
    for (_, measure) in config.evaluate.asked() {
        let Some(found) = measure.run(subject, &given, tick)? else {
            return Ok(None);
        };
        all.records.extend(found.records);
        all.refused.extend(found.refused);
        all.samples.extend(found.samples);
    }
    Ok(Some(all))
}

/// The scheme's parameters after training.
fn learned(model: &Decoder) -> Result<Vec<(String, Vec<f64>)>> {
    let scheme = model.weights().iter().filter(|(_, weight)| weight.scheme);
    scheme
        .map(|(name, weight)| {
            let flat = weight.var.tensor().to_flat::<f32>()?;
            Ok((name.clone(), flat.into_iter().map(f64::from).collect()))
        })
        .collect()
}
