//! The page of a run folder. Needs no model and no device.

use crate::{Error, Result};
use farspan_reports::page::{PageError, write_report};
use farspan_reports::store::RunDir;
use std::path::PathBuf;

/// Writes the page, figures and tables of a run folder into its `report/`; the path of the page.
pub fn write(dir: &RunDir) -> Result<PathBuf> {
    let written = write_report(&[dir.path()], &dir.path().join("report"));
    Ok(written.map_err(from_page)?.page)
}

/// Refusals of the system keep their exit code; anything else about a page is ours.
pub fn from_page(error: PageError) -> Error {
    match error {
        PageError::Store(e) => e.into(),
        other => Error::Bug(format!("drawing the report: {other}")),
    }
}
