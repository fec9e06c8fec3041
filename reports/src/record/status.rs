//! Where a cell stands while it is made: its state, and what its process does (`status.json`).

use serde::{Deserialize, Serialize};

/// Where a cell stands. That it is done is decided by its result alone ([`LoadedCell::state`]); its status file tells of
/// what is not done.
///
/// [`LoadedCell::state`]: crate::store::LoadedCell::state
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not started, or waiting for its base.
    Waiting,
    /// Being trained or evaluated, or interrupted by force (see `pid`).
    Running,
    /// Stopped by a signal after a checkpoint; `run` resumes it.
    Interrupted,
    /// `result.json` is complete.
    Done,
    /// Training produced a non-finite or exploding loss.
    Diverged,
    /// An error; see the reason.
    Failed,
}

/// What a cell's process does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A scheme's settings are searched for.
    Searching,
    /// Weights are trained.
    Training,
    /// The model is asked.
    Measuring,
}

/// How far a cell's process is, and how fast it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// What it does.
    pub phase: Phase,
    /// Share of the cell's forecast work that is done, from 0 to 1.
    pub done: f64,
    /// Training loss: the mean since the last point of the curve, nats per scored token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Tokens per second in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Seconds until the cell is done, if it goes on as fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
}

/// `status.json` of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// See [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: u32,
    /// Where the cell stands.
    pub state: State,
    /// Steps done of the current stage.
    pub step: u64,
    /// Steps of the current stage in all.
    pub steps: u64,
    /// Why, for diverged and failed cells.
    pub reason: Option<String>,
    /// When this was written (RFC 3339).
    pub updated: String,
    /// How far its process is; absent where none runs, and in files from before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Activity>,
    /// Process that wrote this; its host and job stand in the cell's lease.
    pub pid: Option<u32>,
}
