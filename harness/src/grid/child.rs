//! Body of a cell's own process.

use super::process::holder;
use super::signal::Signal;
use crate::Result;
use crate::cell::{self, Ended};
use farspan_pe::Registry;
use farspan_reports::store::{RunDir, Tries};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Makes cell `id` under lease `number`, which its worker took. It stops, with its state saved, on a signal or when `stdin`
/// closes, and without another write once the lease is lost.
pub fn child(
    dir: &Path,
    id: &str,
    (number, lasts): (u64, Duration),
    registry: &Registry,
) -> Result<Ended> {
    let dir = RunDir::open(dir)?;
    let signal = Signal::listen()?;
    let orphaned = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&orphaned);
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(n) if n > 0) {}
        seen.store(true, Ordering::Relaxed);
    });
    let lease = dir.adopt_cell(id, number, holder(lasts))?;
    let stop = || signal.caught().is_some() || orphaned.load(Ordering::Relaxed) || lease.is_lost();
    let ended = cell::run(&dir.under(&lease), id, registry, &stop);
    let ended = match ended {
        Ok(ended) => ended,
        // The worker counts it.
        Err(e) => {
            lease.leave();
            return Err(e);
        }
    };
    let tries = match ended {
        Ended::Done => Tries::default(),
        Ended::Diverged | Ended::Interrupted => lease.tries(),
    };
    match (lease.release(tries), ended) {
        // The result is there; what is left of the lease runs out.
        (Err(e), Ended::Done) => {
            tracing::warn!("done, but its lease could not be released: {e}");
        }
        (released, _) => released?,
    }
    Ok(ended)
}
