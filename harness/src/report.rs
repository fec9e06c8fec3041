//! The page of a run folder. Needs no model and no device.

use crate::{Error, Result};
use farspan_reports::page::{PageError, write_report};
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};

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

/// Refusals of the system keep their exit code; anything else about a page is ours.
pub fn from_page(error: PageError) -> Error {
    match error {
        PageError::Store(e) => e.into(),
        other => Error::Bug(format!("drawing the report: {other}")),
    }
}
