//! The page of a run folder. Needs no model and no device.

use crate::{Error, Result};
use farspan_reports::page::{PageError, write_report};
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Writes the page, figures and tables of a run folder into its `report/`; the path of the page.
pub fn write(dir: &RunDir) -> Result<PathBuf> {
    write_to(&[dir.path()], &dir.path().join("report")).map_err(from_page)
}

/// Writes the report of run folders into the folder `out`; the path of the page.
pub fn write_to(runs: &[&Path], out: &Path) -> std::result::Result<PathBuf, PageError> {
    let written = write_report(runs, out)?;
    for note in &written.notes {
        tracing::warn!("{note}");
    }
    Ok(written.page)
}

/// Writes a report again as cells finish.
#[derive(Debug)]
pub struct Follower {
    runs: Vec<PathBuf>,
    out: PathBuf,
    /// Results that the last report has.
    seen: usize,
    /// When a report may be written again.
    next: Instant,
}

impl Follower {
    /// A report of `runs`, which need not be there yet, in the folder `out`.
    pub fn new(runs: Vec<PathBuf>, out: PathBuf) -> Follower {
        Follower {
            runs,
            out,
            seen: 0,
            next: Instant::now(),
        }
    }

    /// Writes the report if a cell was finished since it was written last, and tells where. Drawing takes a fifth of the
    /// time at most.
    pub fn look(&mut self) -> std::result::Result<Option<PathBuf>, PageError> {
        let here = self.runs.iter().all(|run| RunDir::exists(run));
        if !here || Instant::now() < self.next {
            return Ok(None);
        }
        let mut results = 0;
        for run in &self.runs {
            let dir = RunDir::open(run)?;
            let has = |id: &str| dir.cell_dir(id).join("result.json").exists();
            results += dir
                .plan()?
                .cells
                .iter()
                .filter(|cell| has(&cell.id))
                .count();
        }
        if results == self.seen {
            return Ok(None);
        }
        let started = Instant::now();
        let runs: Vec<&Path> = self.runs.iter().map(PathBuf::as_path).collect();
        let page = write_to(&runs, &self.out)?;
        self.seen = results;
        self.next = Instant::now() + 4 * started.elapsed();
        Ok(Some(page))
    }
}

/// Refusals of the system keep their exit code; anything else about a page is ours.
pub fn from_page(error: PageError) -> Error {
    match error {
        PageError::Store(e) => e.into(),
        other => Error::Bug(format!("drawing the report: {other}")),
    }
}
