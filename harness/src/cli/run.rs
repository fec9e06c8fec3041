//! `run`: everything that a config asks for.

use super::configs::ConfigArgs;
use super::work::{Work, as_json, end};
use super::{Ended, device, json, plan, print};
use crate::config::{Loaded, resolved_toml};
use crate::grid::{self, Options};
use clap::Args;
use farspan_pe::Registry;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan run harness/configs/quickstart.toml\n  \
    farspan run my.toml data.files='books/*.txt' seeds=[0,1,2] --out runs/books\n  \
    farspan run my.toml -k 'language and (yarn or rope)' --jobs 2\n\n\
    Stop it at any time (ctrl-C, kill); the same command continues where it stopped. SIGUSR1 and SIGUSR2, by which \
    schedulers take a machine back, end it with exit code 75. `farspan work` on its folder lends a hand, from any \
    machine.")]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    work: Work,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn quiet(&self) -> bool {
        self.work.quiet
    }

    pub(super) fn run(self, registry: &Registry, command: String) -> Ended {
        let loaded = self.config.load(registry)?;
        if self.dry_run {
            return plan::show(&loaded.run, &self.work.choice, registry, self.json);
        }
        let device = device(&loaded.run.device)?;
        tracing::info!("device {}", device.note());
        let quiet = self.work.quiet;
        let options = options(&loaded, self.out, self.work, command);
        let outcome = grid::run(&loaded.run, &options, registry)?;
        if self.json {
            json(&as_json(&outcome))?;
        } else if let Some(report) = &outcome.report {
            print(&format!("{}\n", report.display()))?;
        }
        Ok(end(&outcome, quiet))
    }
}

/// What a run of a config needs, in `out` or in the folder of its name.
pub(super) fn options(
    loaded: &Loaded,
    out: Option<PathBuf>,
    work: Work,
    command: String,
) -> Options {
    Options {
        out: out.unwrap_or_else(|| PathBuf::from("runs").join(&loaded.run.name)),
        work,
        command,
        config_text: loaded.text.clone(),
        resolved_text: resolved_toml(&loaded.run, &loaded.origins),
    }
}
