//! Carrying out a plan: cells in processes of their own or here, and the page at the end.

use super::open::open;
use super::pool::Pool;
use super::process::holder;
use super::signal::Signal;
use super::{Options, Outcome};
use crate::cell::{self, Ended, Found};
use crate::cli::work::Work;
use crate::config::types::Run;
use crate::{Error, Result, machine};
use farspan_pe::Registry;
use farspan_reports::record::{PlannedCell, RunPlan, SCHEMA_VERSION, State};
use farspan_reports::store::{RunDir, Tries};
use std::path::Path;

/// Runs what is left to do of `run` in the folder `options.out`, cells in processes of their own, and writes the page once
/// all are made, here or by other workers.
pub fn run(run: &Run, options: &Options, registry: &Registry) -> Result<Outcome> {
    let (dir, plan) = open(run, options, registry)?;
    let signal = Signal::listen()?;
    let mut outcome = worked(&dir, &plan, &options.work, true, &signal)?;
    finish(&dir, &plan, &mut outcome)?;
    Ok(outcome)
}

/// Joins the run folder `path` as one more worker and makes cells until none is left. What failed too often before is left
/// alone, and no page is written: that is for `run`.
pub fn work(path: &Path, work: &Work) -> Result<Outcome> {
    let dir = RunDir::open(path)?;
    let plan = dir.plan()?;
    check_version(&dir, &plan)?;
    work.choice.check(&plan)?;
    let signal = Signal::listen()?;
    worked(&dir, &plan, work, false, &signal)
}

fn worked(
    dir: &RunDir,
    plan: &RunPlan,
    work: &Work,
    anew: bool,
    signal: &Signal,
) -> Result<Outcome> {
    check_room(dir, plan, work)?;
    let mut pool = Pool::new(dir, plan, work, anew)?;
    if anew {
        pool.forgive()?;
    }
    pool.go(signal)?;
    let unfinished = pool.unfinished();
    Ok(Outcome {
        done: pool.done(),
        failed: std::mem::take(&mut pool.failed).into_iter().collect(),
        diverged: std::mem::take(&mut pool.diverged).into_iter().collect(),
        unfinished,
        left: pool.left,
        interrupted: signal.caught(),
        report: None,
    })
}

/// Workers of one run are of one version: two may round differently.
pub(super) fn check_version(dir: &RunDir, plan: &RunPlan) -> Result<()> {
    let (path, ours) = (dir.path().display(), machine::version());
    if plan.schema_version < SCHEMA_VERSION {
        return Err(Error::Config(format!(
            "{path} was begun by version {}, whose files are of schema {}: it can be read (report, compare, export), not \
             gone on with",
            plan.version, plan.schema_version
        )));
    }
    if plan.version != ours {
        return Err(Error::Config(format!(
            "{path} is a run of version {}, and this is version {ours}: its workers are all of one version. Join it with \
             that one, or take it over with `farspan run` on its config once no worker is left",
            plan.version
        )));
    }
    Ok(())
}

/// Runs all cells one after the other in this process: for tests and for library use.
pub fn run_here(run: &Run, options: &Options, registry: &Registry) -> Result<Outcome> {
    let (dir, plan) = open(run, options, registry)?;
    let chosen = options.work.choice.of(&plan);
    for cell in in_order(&plan) {
        if !chosen.contains(&cell.id) {
            continue;
        }
        let ran = make_here(&dir, cell, options, registry);
        match ran {
            Ok(()) => {}
            Err(e) if options.work.fail_fast => return Err(e),
            Err(e) => tracing::error!("{}: {e}", cell.label),
        }
    }
    let mut outcome = Outcome::default();
    finish(&dir, &plan, &mut outcome)?;
    Ok(outcome)
}

fn make_here(
    dir: &RunDir,
    cell: &PlannedCell,
    options: &Options,
    registry: &Registry,
) -> Result<()> {
    let lease = dir.take_cell(&cell.id, holder(options.work.lease()))?;
    let lease = lease.ok_or_else(|| Error::Data("another worker makes it".into()))?;
    let own = dir.under(&lease);
    let made = cell::inspect(&own, cell, true).and_then(|inspected| {
        for words in &inspected.words {
            tracing::warn!("{}: {words}", cell.label);
        }
        match inspected.found {
            Found::ToMake => cell::run(&own, &cell.id, registry, &|| false),
            Found::Done => Ok(Ended::Done),
            Found::Diverged => Ok(Ended::Diverged),
        }
    });
    lease.release(Tries::default())?;
    made.map(|_| ())
}

/// Cells with every base before what extends it.
pub(super) fn in_order(plan: &RunPlan) -> Vec<&PlannedCell> {
    let (bases, rest): (Vec<_>, Vec<_>) = plan.cells.iter().partition(|c| c.base.is_none());
    bases.into_iter().chain(rest).collect()
}

/// Counts how all cells stand, and writes the page if there is something to show.
fn finish(dir: &RunDir, plan: &RunPlan, outcome: &mut Outcome) -> Result<()> {
    outcome.done = 0;
    outcome.diverged.clear();
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
fn check_room(dir: &RunDir, plan: &RunPlan, work: &Work) -> Result<()> {
    let Some(free) = machine::free_space(dir.path()) else {
        return Ok(());
    };
    let chosen = work.choice.of(plan);
    let left = |cell: &&PlannedCell| {
        let here = chosen.contains(&cell.id);
        let has = |name: &str| dir.cell_dir(&cell.id).join(name).exists();
        here && !has("checkpoint.safetensors") && !has("result.json")
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
