//! What is shown of one curve: a scheme at one stage, over all seeds.

use super::{Key, Measured};
use crate::record::{Cost, ModelRecord, SchemeRecord, SearchRecord};
use serde::Serialize;

/// One scheme at one stage: one line of every figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// `yarn-x4`, `yarn-x4 (fine-tuned)`.
    pub label: String,
    /// Index of (scheme, stage) in the run's plan: the same curve has the same colour and marker in every figure.
    pub index: usize,
    /// Index of the scheme in the run's plan: stages of one scheme share it.
    pub scheme_index: usize,
    /// The scheme, its settings, paper and formula.
    pub scheme: SchemeRecord,
    /// Length its weights were first trained with.
    pub trained_length: usize,
    /// Length of the last training stage (differs after fine-tuning at another length).
    pub last_length: usize,
    /// The decoder.
    pub model: ModelRecord,
    /// Steps and tokens of its training.
    pub training_info: TrainingInfo,
    /// What else was done in training, in sentences.
    pub recipe: Vec<String>,
    /// Seeds with a result.
    pub seeds: Vec<u64>,
    /// What was measured of it, in the order of the study's measures.
    pub measured: Vec<Measured>,
    /// Loss while training.
    pub training: TrainingCurve,
    /// What it cost.
    pub cost: Option<CostSummary>,
    /// Lengths the scheme cannot serve.
    pub refused: Vec<RefusedLength>,
    /// Learned parameters of the scheme after training, of the first seed.
    pub learned: Vec<(String, Vec<f64>)>,
    /// How its settings were found by search, one for each seed; empty if they were not.
    pub searches: Vec<SearchRecord>,
}

impl Curve {
    /// What was measured under `key`, if it was.
    #[must_use]
    pub fn measured(&self, key: &Key) -> Option<&Measured> {
        self.measured.iter().find(|m| &m.key == key)
    }

    /// The lengths that the scheme refused to be measured at.
    pub fn refused(&self, key: &Key) -> impl Iterator<Item = &RefusedLength> {
        let thing = key.thing();
        self.refused
            .iter()
            .filter(move |r| (r.measure.as_str(), r.of.as_str()) == thing)
    }
}

/// Training in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrainingInfo {
    /// Steps of the last stage (0: read without training).
    pub steps: u64,
    /// Steps of the base before it.
    pub base_steps: u64,
    /// Tokens of the last stage.
    pub tokens: u64,
    /// Windows per step.
    pub batch: usize,
    /// Peak learning rate.
    pub lr: f64,
}

/// Loss while training.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainingCurve {
    /// (step, training loss in nats), mean over seeds, at steps that every seed has.
    pub train: Vec<(u64, f64)>,
    /// (step, validation loss in nats), mean over seeds, at steps that every seed has.
    pub validation: Vec<(u64, f64)>,
    /// Each seed by itself.
    pub seeds: Vec<SeedTraining>,
}

/// Loss while training of one seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeedTraining {
    /// The seed.
    pub seed: u64,
    /// (step, training loss in nats).
    pub train: Vec<(u64, f64)>,
    /// (step, validation loss in nats).
    pub validation: Vec<(u64, f64)>,
}

/// What a curve cost, mean over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostSummary {
    /// Training tokens per second, on a CPU of its threads' processor time; absent for cells without training.
    pub tokens_per_second: Option<f64>,
    /// The same over the reference's; absent without a reference that trained.
    pub relative_speed: Option<f64>,
    /// Largest peak memory of a cell's process, in bytes.
    pub peak_memory_bytes: u64,
    /// The same over the reference's.
    pub relative_memory: Option<f64>,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of evaluation.
    pub evaluate_seconds: f64,
    /// As written, one per seed.
    pub seeds: Vec<(u64, Cost)>,
}

/// A length that a scheme cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedLength {
    /// Id of the measure.
    pub measure: String,
    /// What of it.
    pub of: String,
    /// The length in tokens.
    pub length: usize,
    /// The scheme's own words.
    pub reason: String,
}
