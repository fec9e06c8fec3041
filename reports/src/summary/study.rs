//! What is shown of one study: curves that may be compared, and how they compare.

use super::{Curve, Estimate, Interval};
use crate::record::{DataRecord, EngineRecord, Protocol, Stage, State};
use serde::Serialize;

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
    /// Fine-tuned minus zero-shot of every scheme that has both, paired in the same way.
    pub fine_tuning: Vec<Difference>,
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
