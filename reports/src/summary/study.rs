//! What is shown of one study: curves that may be compared, and how they compare.

use super::{Aggregate, Curve, DepthEffect, Estimate, Key, MeasureInfo, Results};
use crate::record::{DataRecord, EngineRecord, Stage, State};
use crate::stats::Design;
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
    /// Everything that was measured, in the order of the records.
    pub measures: Vec<MeasureInfo>,
    /// Curves with at least one result, in the order of the plan.
    pub curves: Vec<Curve>,
    /// Curves without any result: they get a mark and a reason, not a gap.
    pub absent: Vec<Absent>,
    /// Which curve the differences are against.
    pub reference: Option<Reference>,
    /// Paired differences to the reference, curve by curve, shortest length first.
    pub differences: Vec<Difference>,
    /// The same to every curve, each held to the same test: a page lets its reader choose.
    #[serde(skip)]
    pub against: Vec<Against>,
    /// Fine-tuned minus zero-shot of every scheme that has both, paired in the same way.
    pub fine_tuning: Vec<Difference>,
    /// What its comparisons with the reference can show, the largest number of them by one measure; none without any.
    pub design: Option<Design>,
    /// The tables of the study, the one to be shown first in front: the average over its tasks, else its first measure.
    pub results: Vec<Results>,
    /// Every planned cell and where it stands.
    pub cells: Vec<CellState>,
    /// Data of the study; the first record's if they differ (then a problem says so).
    pub data: Option<DataRecord>,
    /// Devices, implementations and versions that ran it, without repeats.
    pub engines: Vec<EngineRecord>,
    /// What its tasks show together, if it has several.
    pub aggregate: Option<Aggregate>,
    /// What the place of what is asked for does, where it was varied.
    pub depth_effects: Vec<DepthEffect>,
}

impl StudySummary {
    /// The measures that curves are compared by, one for each thing that was measured by length.
    pub fn compared(&self) -> impl Iterator<Item = &MeasureInfo> {
        self.measures.iter().filter(|m| m.compares())
    }

    /// A measure by its key.
    #[must_use]
    pub fn info(&self, key: &Key) -> Option<&MeasureInfo> {
        self.measures.iter().find(|m| &m.key == key)
    }

    /// The trained length, if all curves share one.
    #[must_use]
    pub fn trained(&self) -> Option<usize> {
        match self.trained_lengths[..] {
            [only] => Some(only),
            _ => None,
        }
    }
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
    /// Says beforehand what the design cannot show.
    Design,
    /// One of at most three that sum the study up, each with its numbers, to be quoted.
    Quotable,
    /// States a result.
    Finding,
    /// Limits what the results may be taken for.
    Caveat,
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

/// Differences to one curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// Its label.
    pub reference: String,
    /// As of [`StudySummary::differences`].
    pub differences: Vec<Difference>,
}

/// This curve minus the reference: paired over the same test units and seeds, where both read the same units.
///
/// Interval, p value and outcome are one test, simultaneous over all comparisons by the measure: the interval leaves 0 out
/// where `p_adjusted` is at most 1 − confidence, and only there is one called better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Which measure.
    pub key: Key,
    /// What is compared, for tables (`loss (nats)`, `keys found (share)`).
    pub what: String,
    /// Label of the curve.
    pub label: String,
    /// Tokens of context.
    pub length: usize,
    /// Difference of the means; all intervals by the measure hold together with the run's confidence.
    pub difference: Estimate,
    /// Two-sided p value of "no difference", of this comparison alone.
    pub p: Option<f64>,
    /// The same of all comparisons at once: times their number, at most 1 (Bonferroni).
    pub p_adjusted: Option<f64>,
    /// How many comparisons are made at once.
    pub comparisons: usize,
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
    /// Significantly better than the reference, over several seeds.
    Better,
    /// Significantly worse than the reference, over several seeds.
    Worse,
    /// Significantly better with the one seed that there is: of these two trainings, not of the schemes.
    BetterOnce,
    /// Significantly worse with the one seed that there is: of these two trainings, not of the schemes.
    WorseOnce,
    /// No significant difference.
    NoDifference,
    /// A value is not finite, or there are too few units to say.
    NotComparable,
}

impl Outcome {
    /// Whether the interval leaves 0 out.
    #[must_use]
    pub fn significant(self) -> bool {
        !matches!(self, Outcome::NoDifference | Outcome::NotComparable)
    }

    /// As tables and tips say it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Better => "better",
            Outcome::Worse => "worse",
            Outcome::BetterOnce => "better (one seed)",
            Outcome::WorseOnce => "worse (one seed)",
            Outcome::NoDifference => "no significant difference",
            Outcome::NotComparable => "not comparable",
        }
    }
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
