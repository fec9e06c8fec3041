//! `run`: everything that a config asks for.

use super::configs::ConfigArgs;
use super::work::{Work, as_json, end};
use super::{Ended, device, json, plan, print};
use crate::config::{Loaded, resolved_toml};
use crate::grid::{self, Options};
use crate::report::{self, Follower};
use clap::Args;
use farspan_pe::Registry;
use farspan_reports::store::RunDir;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between looks for finished cells.
const LOOK: Duration = Duration::from_secs(1);

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
    /// Draw the page again as cells finish
    #[arg(long)]
    follow: bool,
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
        let out = options.out.clone();
        let over = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            let drawing = self
                .follow
                .then(|| scope.spawn(|| draw(out.clone(), &over)));
            let outcome = grid::run(&loaded.run, &options, registry);
            over.store(true, Ordering::Relaxed);
            drop(drawing.map(|drawing| drawing.join()));
            outcome
        })?;
        if self.follow && outcome.report.is_some() {
            // What was drawn meanwhile may have ended after the last page and know less.
            report::write(&RunDir::open(&out)?)?;
        }
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

/// Draws the page as cells finish, until all is over. A page that cannot be drawn is told once: the last one decides.
fn draw(out: PathBuf, over: &AtomicBool) {
    let mut follower = Follower::new(vec![out.clone()], out.join("report"));
    while !over.load(Ordering::Relaxed) {
        if let Err(e) = follower.look() {
            tracing::warn!("--follow: {e}");
            return;
        }
        std::thread::sleep(LOOK);
    }
}
