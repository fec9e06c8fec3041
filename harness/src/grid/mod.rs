//! The grid: which cells a run has, in which order they can go, and workers that make them in processes of their own.
//!
//! The plan is frozen into the run folder before anything starts. The folder is the queue: any number of workers on any
//! number of machines take cells from it by leases (`farspan_reports::store`), and `run` is one of them that also plans
//! and draws. A cell's process holds a pipe to its worker; when the worker stops or dies, the pipe closes and the cell
//! saves its state and leaves. So nothing runs on unseen, and whoever takes the cell next goes on where it stopped.

mod cause;
mod child;
mod differ;
mod forecast;
mod merge;
mod open;
mod plan;
mod pool;
mod pretrained;
mod process;
mod progress;
mod run;
mod signal;
mod slots;
mod speed;
mod tuned;

pub use child::child;
pub use merge::merge;
pub(crate) use open::open as prepare;
pub use plan::plan;
pub(crate) use progress::words;
use run::in_order;
pub use run::{run, run_here, work};
pub(crate) use signal::exit_code;
pub(crate) use speed::{Kind, Rates, Speed};

use crate::cli::work::Work;
use std::path::PathBuf;

/// What a run needs beside its config; nothing in here changes a result.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run folder.
    pub out: PathBuf,
    /// How its cells are made.
    pub work: Work,
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
    /// Whether the worker left what is unfinished to others, because it found nothing to take.
    pub left: bool,
    /// The signal that stopped the run, if one did.
    pub interrupted: Option<i32>,
    /// The page, if it was written.
    pub report: Option<PathBuf>,
}
