//! Everything a page shows, computed from loaded records by a pure function: no clock, no file, no dice that is not
//! seeded. The same run folder always gives the same summary.
//!
//! Lengths are in tokens, losses in nats per scored token, probabilities in 0..=1. Every value is looked up by its
//! evaluated length. Non-finite numbers are kept as they are: a page shows them as words, never as a gap.

use crate::record::{
    Cost, DataRecord, EngineRecord, ModelRecord, Protocol, SchemeRecord, Stage, State,
};
use serde::Serialize;

/// A confidence interval. Both ends are in the unit of the value it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A value with its interval; no interval where none can be computed (a single unit, or a non-finite value).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// At the run's confidence.
    pub interval: Option<Interval>,
}

/// The whole page as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The run: who, when, with what.
    pub run: RunInfo,
    /// Studies in the order of the plan.
    pub studies: Vec<StudySummary>,
    /// What is wrong with the run, in sentences: unreadable files, failed, diverged or waiting cells, mixed data.
    pub problems: Vec<String>,
}

/// Provenance and settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunInfo {
    /// Name from the config.
    pub name: String,
    /// When the folder was made (RFC 3339).
    pub created: String,
    /// The command line that made it.
    pub command: String,
    /// Version of Farspan.
    pub version: String,
    /// Machine facts in words.
    pub machine: String,
    /// blake3 of the canonical resolved config.
    pub config_hash: String,
    /// Confidence of every interval (0.95).
    pub confidence: f64,
    /// Accuracy at or above which a passkey length counts as served.
    pub passkey_threshold: f64,
    /// The resolved config with the origin of every value, if the folder has it.
    pub resolved: Option<String>,
    /// Cells by state.
    pub counts: Counts,
}

/// How many cells are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All cells of the plan.
    pub planned: usize,
    /// With a readable result.
    pub done: usize,
    /// Diverged in training.
    pub diverged: usize,
    /// Ended with an error.
    pub failed: usize,
    /// Waiting, running or interrupted.
    pub unfinished: usize,
    /// With a file that cannot be read.
    pub unreadable: usize,
}

/// One study: curves that may be compared with each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudySummary {
    /// Name (`language`, `retrieval`).
    pub name: String,
    /// What the numbers support, in words; the top of the page.
    pub verdict: Vec<Sentence>,
    /// Over what the intervals run, in words (units only, or seeds and units).
    pub interval_basis: String,
    /// All seeds of the study's plan.
    pub seeds: Vec<u64>,
    /// Training lengths of its curves, smallest first; one entry in nearly every study.
    pub trained_lengths: Vec<usize>,
    /// The protocol that effective lengths and differences are taken from, if perplexity was measured.
    pub headline: Option<Protocol>,
    /// Every protocol that was measured, with how its windows were laid.
    pub protocols: Vec<ProtocolInfo>,
    /// How the passkey grid was made, if it was measured.
    pub passkey: Option<PasskeyInfo>,
    /// Curves with at least one result, in the order of the plan.
    pub curves: Vec<Curve>,
    /// Curves without any result: they get a mark and a reason, not a gap.
    pub absent: Vec<Absent>,
    /// Which curve the differences are against.
    pub reference: Option<Reference>,
    /// Paired differences to the reference, curve by curve, shortest length first.
    pub differences: Vec<Difference>,
    /// Every planned cell and where it stands.
    pub cells: Vec<CellState>,
    /// Data of the study; the first record's if they differ (then a problem says so).
    pub data: Option<DataRecord>,
    /// Devices, implementations and versions that ran it, without repeats.
    pub engines: Vec<EngineRecord>,
}

/// One sentence of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// The words, plain text.
    pub text: String,
    /// What kind of statement it is.
    pub kind: SentenceKind,
}

/// Kinds of sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceKind {
    /// States a result.
    Finding,
    /// Limits what the results may be taken for.
    Caveat,
}

/// How windows of a protocol were laid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProtocolInfo {
    /// The protocol.
    pub protocol: Protocol,
    /// (length, stride) in tokens, shortest first.
    pub strides: Vec<(usize, usize)>,
    /// Test segments.
    pub units: usize,
}

/// How the passkey grid was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PasskeyInfo {
    /// Lengths in tokens, shortest first.
    pub lengths: Vec<usize>,
    /// Depths, 0 (start) to 1 (end).
    pub depths: Vec<f64>,
    /// Trials per length, depth and seed; the smallest number where they differ.
    pub trials: usize,
}

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

/// The longest evaluated length that is still served, by a stated rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveLength {
    /// In tokens; 0 if no evaluated length is served.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// Shortest length that the data cannot exclude, in tokens.
    pub low: usize,
    /// Longest length that the data cannot exclude, in tokens.
    pub high: usize,
    /// Whether `length` is the longest evaluated one, so that the true one may be larger.
    pub at_end: bool,
    /// The longest evaluated length that the rule looked at.
    pub longest: usize,
    /// Whether the next longer length was refused by the scheme itself, not measured and found bad.
    pub refused_beyond: bool,
    /// The rule in words.
    pub rule: String,
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

/// A curve of the plan without any result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absent {
    /// As of a curve.
    pub label: String,
    /// As of a curve.
    pub index: usize,
    /// As of a curve.
    pub scheme_index: usize,
    /// State of its first cell that is not done.
    pub state: State,
    /// Why, in words.
    pub reason: String,
}

/// The curve that others are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Its label.
    pub label: String,
    /// Whether the config declared it; if not, it is the first trained curve of the study.
    pub declared: bool,
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Mean loss in nats per token: lower is better.
    Perplexity,
    /// Passkey accuracy: higher is better.
    Passkey,
}

/// A paired difference: this curve minus the reference, over the same test units and seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What was compared.
    pub measure: Measure,
    /// Protocol of perplexity.
    pub protocol: Option<Protocol>,
    /// Label of the curve.
    pub label: String,
    /// Tokens of context.
    pub length: usize,
    /// Mean difference (nats per token, or share of trials) with its t interval.
    pub difference: Estimate,
    /// Percentile interval of the paired bootstrap over units (and seeds).
    pub bootstrap: Option<Interval>,
    /// Two-sided p value of "no difference", unadjusted.
    pub p: Option<f64>,
    /// After Holm's correction over all comparisons of this measure in the study.
    pub p_holm: Option<f64>,
    /// What may be said.
    pub outcome: Outcome,
    /// Test units that both have.
    pub units: usize,
    /// Seeds that both have.
    pub seeds: usize,
}

/// What a comparison supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Better than the reference after correction.
    Better,
    /// Worse than the reference after correction.
    Worse,
    /// Not told apart from the reference.
    NoDifference,
    /// A value is not finite, or there are too few units to say.
    NotComparable,
}

/// One planned cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellState {
    /// Readable name.
    pub label: String,
    /// Identity.
    pub id: String,
    /// Config name of the scheme.
    pub scheme: String,
    /// Stage.
    pub stage: Stage,
    /// Seed.
    pub seed: u64,
    /// Where it stands.
    pub state: State,
    /// Steps done and in all, where known.
    pub progress: Option<(u64, u64)>,
    /// Why it diverged, failed or cannot be read.
    pub reason: Option<String>,
    /// Whether a file of it could not be read.
    pub unreadable: bool,
}

/// What may be chosen when a run is summarised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// A loss counts as kept while its increase is not significantly above this many nats per token.
    pub tolerance: f64,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            tolerance: 0.0,
            resamples: 10_000,
            seed: 0,
        }
    }
}

/// `scheme` with its stage, as legends show it.
#[must_use]
pub fn label(scheme: &str, stage: Stage) -> String {
    match stage {
        Stage::Trained | Stage::ZeroShot => scheme.to_string(),
        Stage::FineTuned => format!("{scheme} (fine-tuned)"),
    }
}
