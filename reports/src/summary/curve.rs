//! What is shown of one curve: a scheme at one stage, over all seeds.

use super::Estimate;
use crate::record::{Cost, ModelRecord, Protocol, SchemeRecord, SearchRecord};
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
    /// Seeds with a result.
    pub seeds: Vec<u64>,
    /// One curve per protocol, in the order non-overlap, sliding, fixed-target.
    pub perplexity: Vec<PerplexityCurve>,
    /// How its loss changes from the trained length to every other one, under the study's headline protocol.
    pub changes: Vec<Change>,
    /// Loss by position in the window of the longest served length.
    pub position: Option<PositionCurve>,
    /// Passkey accuracy by length and depth: by length, then by depth.
    pub passkey_grid: Vec<PasskeyCell>,
    /// Passkey accuracy by length over all depths.
    pub passkey: Vec<PasskeyPoint>,
    /// The reach of retrieval by distance, one entry per length and threshold.
    pub k_max: Vec<KMax>,
    /// Effective length of perplexity.
    pub effective_perplexity: Option<EffectiveLength>,
    /// Effective length of passkey retrieval.
    pub effective_passkey: Option<EffectiveLength>,
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

/// Perplexity against length under one protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerplexityCurve {
    /// The protocol.
    pub protocol: Protocol,
    /// Shortest length first.
    pub points: Vec<PerplexityPoint>,
}

/// Perplexity at one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerplexityPoint {
    /// Tokens of context.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// Mean loss in nats per scored token, every seed with the same weight.
    pub nll: Estimate,
    /// exp of the mean loss.
    pub perplexity: Estimate,
    /// Bits per UTF-8 byte of the scored tokens; absent where no bytes were counted.
    pub bits_per_byte: Option<Estimate>,
    /// Tokens scored per seed.
    pub tokens: u64,
    /// Test segments.
    pub units: usize,
    /// Seeds behind the value.
    pub seeds: usize,
}

/// Change of the loss from the trained length to another one, paired over test units (and seeds).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Tokens of context.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// Loss here minus loss at the trained length, in nats per token.
    pub nll: Estimate,
    /// Whether it is significantly above 0: its interval lies above; unknown with a single unit and a single seed.
    pub rises: Option<bool>,
    /// Whether the rise is shown to stay below the run's margin.
    pub service: Service,
}

/// What an interval shows of a length, held against a bound: the most that a loss may rise, the least that an accuracy
/// must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The whole interval lies inside the bound.
    Served,
    /// The interval holds the bound, or there is none: too few units to say.
    NotShown,
    /// The whole interval lies outside, or the loss is not finite.
    NotServed,
}

/// Loss by position in the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PositionCurve {
    /// Window length.
    pub length: usize,
    /// First position first.
    pub buckets: Vec<PositionBucket>,
    /// Start of the first bucket past the trained length whose mean loss exceeds that of the second half of the
    /// trained length by more than 0.1 nats; none if no bucket does.
    pub first_failure: Option<usize>,
}

/// One bucket of positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PositionBucket {
    /// First position in it (0 is the first target).
    pub start: usize,
    /// First position after it.
    pub end: usize,
    /// Mean loss in nats.
    pub nll: Estimate,
}

/// Passkey retrieval at one length and depth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PasskeyCell {
    /// Tokens fed.
    pub length: usize,
    /// 0 start, 1 end.
    pub depth: f64,
    /// Tokens from the last key symbol to the end of the prompt.
    pub distance: usize,
    /// Share of trials with every symbol right.
    pub accuracy: Estimate,
    /// Trials with every symbol right.
    pub hits: usize,
    /// Trials over all seeds.
    pub trials: usize,
    /// Mean number of right symbols of the key.
    pub symbols: f64,
    /// Mean summed log-probability of the key, in nats.
    pub log_prob: f64,
}

/// Passkey retrieval at one length, all depths together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PasskeyPoint {
    /// Tokens fed.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// Share of trials with every symbol right.
    pub accuracy: Estimate,
    /// Trials with every symbol right.
    pub hits: usize,
    /// Trials over all seeds and depths.
    pub trials: usize,
    /// Mean summed log-probability of the key, in nats.
    pub log_prob: f64,
    /// Seeds behind the value.
    pub seeds: usize,
    /// Whether the accuracy is shown to reach the run's threshold.
    pub service: Service,
}

/// The largest distance k such that retrieval succeeds at it and at every shorter tested distance (Chen et al. 2023,
/// "Extending Context Window of Large Language Models via Positional Interpolation", section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KMax {
    /// Tokens fed.
    pub length: usize,
    /// Share of trials that must succeed.
    pub threshold: f64,
    /// In tokens; 0 if the shortest tested distance fails already.
    pub k: usize,
    /// The same, when the lower end of the interval must reach the threshold.
    pub conservative: usize,
    /// Whether `k` is the longest tested distance, so that the true one may be larger.
    pub at_end: bool,
}

/// The longest evaluated length that is shown to be served, by a stated rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveLength {
    /// In tokens; 0 if no evaluated length is shown to be served.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// The longest evaluated length that is not shown to be lost either: beyond `length` where intervals are too wide.
    pub high: usize,
    /// Shorter lengths that are not served, or not shown to be.
    pub gaps: Vec<(usize, Service)>,
    /// Whether `length` is the longest evaluated one, so that the true one may be larger.
    pub at_end: bool,
    /// The longest evaluated length that the rule looked at.
    pub longest: usize,
    /// Whether the next longer length was refused by the scheme itself, not measured and found bad.
    pub refused_beyond: bool,
    /// The rule in words.
    pub rule: String,
}

impl EffectiveLength {
    /// The length as tables and figures show it: `512`, `≥1024` where the longest evaluated one is served, and for none
    /// `none` or, where one is not excluded, `not shown`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.length {
            0 if self.high == 0 => "none".into(),
            0 => "not shown".into(),
            length if self.at_end && !self.refused_beyond => format!("≥{length}"),
            length => length.to_string(),
        }
    }

    /// Shorter lengths that are not served, in words: `not at 256`, `not at 256, not shown at 512`; empty if there are none.
    #[must_use]
    pub fn holes(&self) -> String {
        let of = |wanted: Service, words: &str| {
            let gaps = self.gaps.iter().filter(|(_, s)| *s == wanted);
            let lengths: Vec<String> = gaps.map(|(length, _)| length.to_string()).collect();
            match lengths.as_slice() {
                [] => None,
                [one] => Some(format!("{words} {one}")),
                [most @ .., last] => Some(format!("{words} {} and {last}", most.join(", "))),
            }
        };
        let parts = [
            of(Service::NotServed, "not at"),
            of(Service::NotShown, "not shown at"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
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
    /// Training tokens per second; absent for cells without training.
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
    /// Which measurement.
    pub measure: String,
    /// The length in tokens.
    pub length: usize,
    /// The scheme's own words.
    pub reason: String,
}
