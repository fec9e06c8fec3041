//! `report` and `compare`: pages and differences from run folders alone. No tensor is touched here.

use super::table::{Table, number};
use super::{Ended, Failure, json, print, status, tell};
use crate::report::{Follower, write_to};
use clap::Args;
use farspan_reports::page::render;
use farspan_reports::store::{self, LoadedRun, write_atomic};
use farspan_reports::summary::{self, Comparison, Difference, summarise};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan report runs/quickstart                  # runs/quickstart/report/report.html, figures, tables\n  \
    farspan report runs/a runs/b -o both.html       # one page with a section per run\n  \
    farspan report runs/quickstart -o paper/        # page, figures and tables into another folder\n  \
    farspan report runs/quickstart --follow         # again as cells finish")]
pub(super) struct Report {
    /// Run folders
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// A file ending in .html for the page alone, or a folder [default: DIR/report]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Draw again as cells finish, until no cell is left
    #[arg(long)]
    follow: bool,
    /// Print where the page is as JSON
    #[arg(long)]
    json: bool,
}

/// Time between looks for finished cells.
const LOOK: Duration = Duration::from_secs(1);

impl Report {
    pub(super) fn run(&self) -> Ended {
        if self.follow {
            self.follow()?;
        }
        let page = match (&self.out, self.dirs.as_slice()) {
            (Some(out), _) if out.extension().is_some_and(|e| e == "html") => self.page(out)?,
            (Some(out), _) => self.folder(out)?,
            (None, [dir]) => self.folder(&dir.join("report"))?,
            (None, _) => {
                return Err(Failure::usage(
                    "several runs: say where the page goes with -o FILE.html",
                ));
            }
        };
        match self.json {
            true => json(&serde_json::json!({ "page": page })),
            false => print(&format!("{}\n", page.display())),
        }
    }

    /// Draws as cells finish, until no run has a cell left that could.
    fn follow(&self) -> Result<(), Failure> {
        let out = match (&self.out, self.dirs.as_slice()) {
            (Some(out), _) if out.extension().is_none_or(|e| e != "html") => out.clone(),
            (None, [dir]) => dir.join("report"),
            _ => {
                return Err(Failure::usage(
                    "--follow: expected a folder with -o, or one run",
                ));
            }
        };
        let mut follower = Follower::new(self.dirs.clone(), out);
        loop {
            if let Some(page) = follower.look()? {
                tell(&format!("drawn: {}", page.display()));
            }
            let mut left = false;
            for dir in &self.dirs {
                left |= status::is_running(dir)?;
            }
            if !left {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The page alone.
    fn page(&self, out: &Path) -> Result<PathBuf, Failure> {
        let summaries = self
            .dirs
            .iter()
            .map(|dir| Ok(summarise(&load(dir)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        write_atomic(out, render(&summaries)?.as_bytes())?;
        Ok(out.to_path_buf())
    }

    /// The page with figures and tables.
    fn folder(&self, out: &Path) -> Result<PathBuf, Failure> {
        let dirs: Vec<&Path> = self.dirs.iter().map(PathBuf::as_path).collect();
        Ok(write_to(&dirs, out)?)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: farspan compare runs/before runs/after\n\n\
    Differences are second minus first: a negative loss and a positive accuracy are better.")]
pub(super) struct Compare {
    /// Run folder
    first: PathBuf,
    /// Run folder over the same data
    second: PathBuf,
    /// Leave out curves that only one run has results for
    #[arg(long)]
    lenient: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(super) fn run(&self) -> Ended {
        let (first, second) = (load(&self.first)?, load(&self.second)?);
        let comparison = summary::compare(&first, &second, self.lenient)?;
        if self.json {
            json(&comparison)
        } else {
            print(&text(&comparison))
        }
    }
}

fn load(dir: &Path) -> Result<LoadedRun, Failure> {
    Ok(store::load(dir)?)
}

fn text(comparison: &Comparison) -> String {
    let (first, second) = &comparison.names;
    let mut out = format!(
        "{second} minus {first}; intervals and p values are one test, simultaneous over the rows of a measure and study ({} %)\n",
        number(100.0 * comparison.confidence)
    );
    for study in &comparison.studies {
        out.push_str(&format!("\n{}\n", study.study));
        let columns = [
            "scheme",
            "measure",
            ">length",
            ">difference",
            ">from",
            ">to",
            ">p",
            "verdict",
        ];
        let mut table = Table::new(&columns).indented(2);
        study.differences.iter().for_each(|d| table.row(row(d)));
        out.push_str(&table.text());
    }
    for line in &comparison.left_out {
        out.push_str(&format!("\nleft out: {line}"));
    }
    if !comparison.left_out.is_empty() {
        out.push('\n');
    }
    out
}

fn row(d: &Difference) -> Vec<String> {
    let interval = d.difference.interval;
    let end = |x: Option<f64>| x.map(|x| format!("{x:+.4}")).unwrap_or_default();
    vec![
        d.label.clone(),
        d.what.clone(),
        d.length.to_string(),
        format!("{:+.4}", d.difference.value),
        end(interval.map(|i| i.low)),
        end(interval.map(|i| i.high)),
        d.p_adjusted
            .map(|p| {
                if p < 1e-3 {
                    "<0.001".into()
                } else {
                    format!("{p:.3}")
                }
            })
            .unwrap_or_default(),
        d.outcome.words().into(),
    ]
}
