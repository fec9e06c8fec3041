//! The grid: which cells a run has, in which order they can go, and running them in processes of their own.
//!
//! The plan is frozen into the run folder before anything starts. A cell's process holds a pipe to the runner; when
//! the runner stops or dies, the pipe closes and the cell saves its state and leaves. So nothing runs on unseen, and
//! `run` on the same folder goes on where each cell stopped.

mod cause;
mod forecast;
mod open;
mod plan;
mod pool;
mod progress;
mod run;
mod signal;

pub use plan::plan;
use run::in_order;
pub use run::{child, run, run_here};
pub(crate) use signal::exit_code;

use crate::cli::filter::Choice;
use std::path::PathBuf;

/// How a run is carried out; nothing in here changes a result.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run folder.
    pub out: PathBuf,
    /// Cells that run at once. Default: one per core on the CPU, one on a GPU.
    pub jobs: Option<usize>,
    /// Which cells to run; their bases run too.
    pub choice: Choice,
    /// Device, if the command line names one.
    pub device: String,
    /// No progress on stderr.
    pub quiet: bool,
    /// Stop at the first failed cell.
    pub fail_fast: bool,
    /// The command line, for provenance.
    pub command: String,
    /// The config as written.
    pub config_text: String,
    /// The config as resolved, with origins.
    pub resolved_text: String,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Cells with a result.
    pub done: usize,
    /// Cells that failed, with reasons.
    pub failed: Vec<(String, String)>,
    /// Cells that diverged, with reasons.
    pub diverged: Vec<(String, String)>,
    /// Cells that were left as they are, with reasons: running again may finish them.
    pub unfinished: Vec<(String, String)>,
    /// The signal that stopped the run, if one did.
    pub interrupted: Option<i32>,
    /// The page, if it was written.
    pub report: Option<PathBuf>,
}
