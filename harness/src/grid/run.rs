//! Carrying out a plan: cells in processes of their own or here, and the page at the end.

use super::open::open;
use super::pool::Pool;
use super::signal::Signal;
use super::{Options, Outcome};
use crate::cell::{self, Ended, Found};
use crate::config::types::Run;
use crate::{Error, Result, machine};
use farspan_pe::Registry;
use farspan_reports::record::{PlannedCell, RunPlan, State};
use farspan_reports::store::RunDir;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs what is left to do of `run` in the folder `options.out`, cells in processes of their own, and writes the page.
pub fn run(run: &Run, options: &Options, registry: &Registry) -> Result<Outcome> {
    let (dir, plan, _held) = open(run, options, registry)?;
    let signal = Signal::listen()?;
    check_room(&dir, &plan, options)?;
    let mut pool = Pool::new(&dir, &plan, options);
    pool.go(&signal)?;
    let mut outcome = Outcome {
        interrupted: signal.caught(),
        failed: std::mem::take(&mut pool.failed).into_iter().collect(),
        unfinished: std::mem::take(&mut pool.unfinished),
        ..Outcome::default()
    };
    finish(&dir, &plan, &mut outcome)?;
    Ok(outcome)
}

/// Runs all cells one after the other in this process: for tests and for library use.
pub fn run_here(run: &Run, options: &Options, registry: &Registry) -> Result<Outcome> {
    let (dir, plan, _held) = open(run, options, registry)?;
    let chosen = options.choice.of(&plan);
    for cell in in_order(&plan) {
        if !chosen.contains(&cell.id) {
            continue;
        }
        let ran = cell::inspect(&dir, cell, true).and_then(|inspected| {
            for words in &inspected.words {
                tracing::warn!("{}: {words}", cell.label);
            }
            match inspected.found {
                Found::ToMake => cell::run(&dir, &cell.id, registry, &|| false),
                Found::Done => Ok(Ended::Done),
                Found::Diverged => Ok(Ended::Diverged),
            }
        });
        match ran {
            Ok(_) => {}
            Err(e) if options.fail_fast => return Err(e),
            Err(e) => tracing::error!("{}: {e}", cell.label),
        }
    }
    let mut outcome = Outcome::default();
    finish(&dir, &plan, &mut outcome)?;
    Ok(outcome)
}

/// Body of a cell's own process. It stops, with its state saved, on a signal or when `stdin` closes.
pub fn child(dir: &std::path::Path, id: &str, registry: &Registry) -> Result<Ended> {
    let dir = RunDir::open(dir)?;
    let signal = Signal::listen()?;
    let orphaned = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&orphaned);
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(n) if n > 0) {}
        seen.store(true, Ordering::Relaxed);
    });
    cell::run(&dir, id, registry, &|| {
        signal.caught().is_some() || orphaned.load(Ordering::Relaxed)
    })
}

/// Cells with every base before what extends it.
pub(super) fn in_order(plan: &RunPlan) -> Vec<&PlannedCell> {
    let (bases, rest): (Vec<_>, Vec<_>) = plan.cells.iter().partition(|c| c.base.is_none());
    bases.into_iter().chain(rest).collect()
}

/// Counts how cells stand, and writes the page if there is something to show.
fn finish(dir: &RunDir, plan: &RunPlan, outcome: &mut Outcome) -> Result<()> {
    for planned in &plan.cells {
        let cell = dir.cell(planned);
        let label = &planned.label;
        let mut known = outcome.failed.iter().chain(&outcome.unfinished);
        if known.any(|(known, _)| known == label) {
            continue;
        }
        let state = cell.state();
        let said = cell.status.and_then(|status| status.reason);
        let reason = cell.unreadable.or(said);
        let reason = reason.unwrap_or_else(|| "no reason was recorded".into());
        match state {
            State::Done => outcome.done += 1,
            State::Failed => outcome.failed.push((label.clone(), reason)),
            State::Diverged => outcome.diverged.push((label.clone(), reason)),
            State::Waiting | State::Running | State::Interrupted => {}
        }
    }
    if outcome.interrupted.is_none() && outcome.done > 0 {
        outcome.report = Some(crate::report::write(dir)?);
    }
    Ok(())
}

/// Refuses to start what cannot be kept: the weights of every cell that is not done, and of as many as run at once the
/// state of their training, old and new.
fn check_room(dir: &RunDir, plan: &RunPlan, options: &Options) -> Result<()> {
    let Some(free) = machine::free_space(dir.path()) else {
        return Ok(());
    };
    let chosen = options.choice.of(plan);
    let left = |cell: &&PlannedCell| {
        let here = chosen.contains(&cell.id);
        let weights = dir.cell_dir(&cell.id).join("checkpoint.safetensors");
        here && !weights.exists() && dir.cell(cell).result.is_none()
    };
    let kept: Vec<u64> = plan
        .cells
        .iter()
        .filter(left)
        .map(|cell| cell.disk_bytes)
        .collect();
    let largest = kept.iter().copied().max().unwrap_or(0);
    // A state is weights and two moments.
    let needed = kept.iter().fold(0, |sum: u64, x| sum.saturating_add(*x));
    let needed = needed.saturating_add(largest.saturating_mul(3));
    if needed <= free {
        return Ok(());
    }
    let words = |bytes: u64| crate::cli::bytes(bytes as f64);
    Err(Error::io(
        format!("making room in {}", dir.path().display()),
        std::io::Error::new(
            std::io::ErrorKind::StorageFull,
            format!(
                "the weights and training state of {} cells take at least {}, and {} are free; free some, give a folder \
                 on another disk with --out, or run fewer cells (-k, --limit)",
                kept.len(),
                words(needed),
                words(free)
            ),
        ),
    ))
}
