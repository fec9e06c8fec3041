//! `pack`: what a run measured, in few small files.

use super::{Ended, print, tell};
use clap::Args;
use farspan_pe::Registry;
use farspan_reports::store::{load, pack, write_pack};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: farspan pack runs/standard-1 -o results/standard-1\n\n\
    Schemes all of whose cells have come to an end are packed, one file each. Every sample is kept; weights, events and \
    log-probabilities are not. `report`, `compare` and `export` read the folder like the run."
)]
pub(super) struct Pack {
    /// Run folder
    dir: PathBuf,
    /// Folder for the files
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

impl Pack {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let mut run = load(&self.dir)?;
        // The run may be older than a family's name.
        for result in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
            if let Ok(entry) = registry.get(&result.scheme.id) {
                result.scheme.family = entry.card.family.to_string();
            }
        }
        let files = pack(&run)?;
        write_pack(&self.out, &files)?;
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        tell(&format!(
            "{} schemes, {:.2} MB",
            files.len() - 1,
            bytes as f64 / 1e6
        ));
        print(&format!("{}\n", self.out.display()))
    }
}
