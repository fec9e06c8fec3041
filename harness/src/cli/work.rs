//! `work`: one more worker on a run folder, and the hidden `cell` that workers start processes with.

use super::filter::Choice;
use super::{CELLS_FAILED, Ended, LATER, json, tell};
use crate::grid::{self, Outcome};
use crate::{cell, machine};
use clap::Args;
use farspan_pe::Registry;
use farspan_reports::store::LEASE;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How a worker goes about it; nothing in here changes a result.
#[derive(Clone, Debug, Args)]
pub struct Work {
    /// Cells that run at once [default: one per core; one on a card, or on each of --gpus]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Cards to deal cells to, by number: each cell sees one [default: all that are alike]
    #[arg(long, value_name = "I,…", value_delimiter = ',')]
    pub gpus: Vec<String>,
    /// Cells that run at once on each card
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub per_gpu: usize,
    /// Which cells; their bases are made too.
    #[command(flatten)]
    pub choice: Choice,
    /// Save and leave after this time (`90m`, `2h 30m`)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_time: Option<Duration>,
    /// Leave when there was nothing to take for this long, although others still work [default: stay]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub patience: Option<Duration>,
    /// Times that a cell which fails is tried, by all workers together
    #[arg(long, value_name = "N", default_value = "3")]
    pub tries: u32,
    /// Time after which a worker that gives no sign is taken for gone [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lease: Option<Duration>,
    /// Stop at the first cell that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

impl Default for Work {
    fn default() -> Work {
        Work {
            jobs: None,
            gpus: Vec::new(),
            per_gpu: 1,
            choice: Choice::default(),
            max_time: None,
            patience: None,
            tries: 3,
            lease: None,
            fail_fast: false,
            quiet: false,
        }
    }
}

impl Work {
    pub(crate) fn lease(&self) -> Duration {
        self.lease.unwrap_or(LEASE)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|n| (1..=usize::from(u16::MAX)).contains(n));
    number.ok_or_else(|| format!("expected a whole number from 1 to {}", u16::MAX))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time above 0 as in 90s, 45m or 2h 30m, found {text:?}");
    let time: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let time = Duration::try_from(time).ok().filter(|time| !time.is_zero());
    time.ok_or_else(wrong)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan work runs/books                     # as many as you like, on as many machines\n  \
    farspan work runs/books --gpus 0,1,2,3      # one cell at a time on each card\n  \
    farspan work runs/books -k retrieval --max-time 8h\n\n\
    The folder is made by `farspan run` or `farspan submit`. SIGINT, SIGTERM and SIGUSR1 let cells save their state and \
    end the worker with exit code 130, 143 and 75. docs/cluster.md tells more.")]
pub(super) struct Worker {
    /// Run folder
    dir: PathBuf,
    #[command(flatten)]
    work: Work,
    /// Folder that relative paths of the config start from, if it lies elsewhere now
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Inside of a Slurm job: put the job back into the queue if it is told to leave before all is done
    #[arg(long)]
    requeue: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Worker {
    pub(super) fn quiet(&self) -> bool {
        self.work.quiet
    }

    pub(super) fn run(mut self) -> Ended {
        if let Some(folder) = self.data.take() {
            machine::set_data_root(folder);
        }
        let outcome = grid::work(&self.dir, &self.work)?;
        if self.json {
            json(&as_json(&outcome))?;
        }
        if self.requeue
            && outcome
                .interrupted
                .is_some_and(|s| grid::exit_code(s) == LATER)
        {
            super::submit::requeue()?;
        }
        if outcome.left && outcome.failed.is_empty() && outcome.diverged.is_empty() {
            let (done, left) = (outcome.done, outcome.unfinished.len());
            tell(&format!("{done} cells done, {left} left to other workers"));
            return Ok(0);
        }
        Ok(end(&outcome, self.work.quiet))
    }
}

/// Says how a run or a worker ended; the exit code.
pub(super) fn end(outcome: &Outcome, quiet: bool) -> u8 {
    if let Some(signal) = outcome.interrupted {
        tell("interrupted; the same command continues from here");
        return grid::exit_code(signal);
    }
    let (failed, diverged) = (outcome.failed.len(), outcome.diverged.len());
    if failed + diverged > 0 {
        tell(&format!(
            "{} cells done, {failed} failed, {diverged} diverged; the report says which",
            outcome.done
        ));
        return CELLS_FAILED;
    }
    if let Some((label, why)) = outcome.unfinished.first() {
        let (done, left) = (outcome.done, outcome.unfinished.len());
        tell(&format!(
            "{done} cells done, {left} not finished ({label}: {why}); the same command continues from here"
        ));
        return LATER;
    }
    if !quiet {
        tell(&format!("{} cells done", outcome.done));
    }
    0
}

pub(super) fn as_json(outcome: &Outcome) -> Value {
    let cells = |cells: &[(String, String)]| {
        cells
            .iter()
            .map(|(label, reason)| json!({ "label": label, "reason": reason }))
            .collect::<Vec<_>>()
    };
    json!({
        "done": outcome.done,
        "failed": cells(&outcome.failed),
        "diverged": cells(&outcome.diverged),
        "unfinished": cells(&outcome.unfinished),
        "interrupted": outcome.interrupted,
        "report": outcome.report,
    })
}

#[derive(Debug, Args)]
pub(super) struct Cell {
    /// Run folder
    dir: PathBuf,
    /// Identity of the cell
    id: String,
    /// Number of the lease that the worker took
    lease: u64,
    /// Seconds that it lasts
    seconds: f64,
}

impl Cell {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let lasts = Duration::try_from_secs_f64(self.seconds).unwrap_or(LEASE);
        match grid::child(&self.dir, &self.id, (self.lease, lasts), registry)? {
            cell::Ended::Done | cell::Ended::Interrupted => Ok(0),
            cell::Ended::Diverged => Ok(CELLS_FAILED),
        }
    }
}
