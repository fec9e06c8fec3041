//! What is measured of a cell's model.

use super::{CellConfig, Finished, Running};
use crate::checkpoint::passkey::TextPasskey;
use crate::evaluate::{Subject, Tick, passkey, perplexity};
use crate::model::Decoder;
use crate::source::Source;
use crate::{Result, machine};
use farspan_attention::plan::Plan;
use farspan_reports::record::{
    CellRecord, EngineRecord, ModelRecord, SCHEMA_VERSION, SchemeRecord, TrainRecord,
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
        let stop = self.stop;
        let Some(measured) = measure_all(subject, config, source, &mut |_tokens| !stop())? else {
            return Ok(None);
        };
        let (perplexity, passkey, samples) = measured;
        self.dir.write_samples(self.id, &samples)?;
        self.cost.evaluate_seconds = started.elapsed().as_secs_f64();
        let (parameters, scheme_parameters) = model.parameters();
        let geometry = config.architecture.geometry;
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
                device: model.device().described(),
                attention: finished.implementation.clone(),
                fused_halves: model.fused_halves().to_string(),
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
    source: &Source,
    tick: Tick<'_>,
) -> Result<
    Option<(
        perplexity::Measured,
        passkey::Measured,
        Vec<serde_json::Value>,
    )>,
> {
    let mut found = (
        perplexity::Measured::default(),
        passkey::Measured::default(),
        Vec::new(),
    );
    if let (Some(wanted), Source::Text(text)) = (&config.evaluate.perplexity, source) {
        let segments = perplexity::segments(wanted, text)?;
        let bos = perplexity::bos(
            wanted,
            text,
            config.checkpoint.as_ref().map(|c| c.dir.as_path()),
        )?;
        let Some(measured) = perplexity::measure(subject, wanted, &segments, bos, tick)? else {
            return Ok(None);
        };
        found.2.extend(measured.samples(&segments));
        found.0 = measured;
    }
    if let Some(wanted) = &config.evaluate.passkey {
        let words;
        let task: &dyn passkey::Prompts = match (source, &config.checkpoint) {
            (Source::Passkey(task), _) => task,
            (Source::Text(_), Some(checkpoint)) => {
                words = TextPasskey::open(&checkpoint.dir, config.architecture.vocab)?;
                &words
            }
            (Source::Text(_), None) => return Ok(Some(found)),
        };
        let Some(measured) = passkey::measure(subject, wanted, task, config.seed, tick)? else {
            return Ok(None);
        };
        found.1 = measured;
        found.2.append(&mut found.1.samples);
    }
    Ok(Some(found))
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
