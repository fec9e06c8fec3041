//! The page of a run folder. Needs no model and no device.

use crate::Result;
use farspan_reports::store::RunDir;
use std::path::PathBuf;

/// Writes the page, figures and tables of a run folder into its `report/`.
pub fn write(dir: &RunDir) -> Result<PathBuf> {
    let _ = dir;
    unreachable!("wired up when the page lands")
}
