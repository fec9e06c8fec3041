//! Everything a page shows, computed from loaded records by a pure function: no clock, no file, no dice that is not
//! seeded. The same run folder always gives the same summary.
//!
//! Lengths are in tokens, losses in nats per scored token, probabilities in 0..=1. Every value is looked up by its
//! evaluated length. Non-finite numbers are kept as they are: a page shows them as words, never as a gap.

mod aggregate;
mod assemble;
mod compare;
mod costs;
mod curve;
mod depth;
mod difference;
mod effective;
mod group;
mod measure;
mod measured;
mod ranking;
mod results;
mod sample;
mod study;
#[cfg(test)]
mod tests;

pub use crate::stats::{Estimate, Interval};
pub use aggregate::{Aggregate, Rank, Score};
pub use compare::{Compared, Comparison, compare};
pub(crate) use costs::usual_machine;
pub use curve::*;
pub use depth::DepthEffect;
pub use measured::*;
pub use ranking::{Ranked, Ranking, rankings};
pub use results::{ResultCell, ResultRow, Results, ToBest};

pub(crate) use effective::{amount, most};
pub(crate) use sample::pairs;
pub use study::*;

use crate::record::Stage;
use crate::store::LoadedRun;
use serde::Serialize;

/// The whole page as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The run: who, when, with what.
    pub run: RunInfo,
    /// Studies in the order of the plan.
    pub studies: Vec<StudySummary>,
    /// What the tasks of all studies show together, if several studies have some.
    pub aggregate: Option<Aggregate>,
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
    /// Rise of the loss, in nats per token, below which a length counts as served.
    pub margin: f64,
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

/// What may be chosen when a run is summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            resamples: 10_000,
            seed: 0,
        }
    }
}

/// Summarises a run with the default [`Options`].
#[must_use]
pub fn summarise(run: &LoadedRun) -> Summary {
    summarise_with(run, &Options::default())
}

/// Summarises a run.
#[must_use]
pub fn summarise_with(run: &LoadedRun, options: &Options) -> Summary {
    assemble::run(run, options)
}

/// `scheme` with its stage, as legends show it.
#[must_use]
pub fn label(scheme: &str, stage: Stage) -> String {
    match stage {
        Stage::Trained | Stage::ZeroShot => scheme.to_string(),
        Stage::FineTuned => format!("{scheme} (fine-tuned)"),
    }
}
