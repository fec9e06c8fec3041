//! `run`, and the hidden `cell` that it starts processes with.

use super::configs::ConfigArgs;
use super::filter::Choice;
use super::{CELLS_FAILED, Ended, LATER, device, json, plan, print, tell};
use crate::cell;
use crate::config::resolved_toml;
use crate::grid::{self, Options, Outcome};
use clap::Args;
use farspan_pe::Registry;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan run harness/configs/quickstart.toml\n  \
    farspan run my.toml data.files='books/*.txt' seeds=[0,1,2] --out runs/books\n  \
    farspan run my.toml -k 'language and (yarn or rope)' --jobs 2\n  \
    farspan run my.toml --shard 0/4     # the first of four parts\n\n\
    Stop it at any time (ctrl-C, kill); the same command continues where it stopped. SIGUSR2, by which \
    schedulers take a machine back, ends it with exit code 75, and so does a cell that another process holds.")]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Cells that run at once [default: one per core; one on a card]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    choice: Choice,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Stop at the first cell that fails
    #[arg(long)]
    fail_fast: bool,
    /// No progress on stderr
    #[arg(long, short)]
    quiet: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    pub(super) fn run(self, registry: &Registry, command: String) -> Ended {
        let loaded = self.config.load(registry)?;
        if self.dry_run {
            return plan::show(&loaded.run, &self.choice, registry, self.json);
        }
        let run = &loaded.run;
        let device = device(&run.device)?;
        tracing::info!("device {}", device.note());
        let options = Options {
            out: self
                .out
                .unwrap_or_else(|| PathBuf::from("runs").join(&run.name)),
            jobs: self.jobs.map(usize::from),
            choice: self.choice,
            device: run.device.clone(),
            quiet: self.quiet,
            fail_fast: self.fail_fast,
            command,
            config_text: loaded.text.clone(),
            resolved_text: resolved_toml(run, &loaded.origins),
        };
        let outcome = grid::run(run, &options, registry)?;
        if self.json {
            json(&as_json(&outcome))?;
        } else if let Some(report) = &outcome.report {
            print(&format!("{}\n", report.display()))?;
        }
        Ok(end(&outcome, self.quiet))
    }
}

/// Says how it ended; the exit code.
fn end(outcome: &Outcome, quiet: bool) -> u8 {
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

fn as_json(outcome: &Outcome) -> Value {
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
}

impl Cell {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        match grid::child(&self.dir, &self.id, registry)? {
            cell::Ended::Done | cell::Ended::Interrupted => Ok(0),
            cell::Ended::Diverged => Ok(CELLS_FAILED),
        }
    }
}
