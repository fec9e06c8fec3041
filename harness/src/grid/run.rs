//! Carrying out a plan: a pool of cell processes, their signals, and the page at the end.

use super::progress::Board;
use super::{Options, Outcome, plan::plan};
use crate::cell::{self, Ended};
use crate::config::types::Run;
use crate::{Error, Result, machine};
use farspan_pe::Registry;
use farspan_reports::record::{PlannedCell, RunPlan, State};
use farspan_reports::store::RunDir;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(100);
const SIGINT: i32 = signal_hook::consts::SIGINT;
const SIGTERM: i32 = signal_hook::consts::SIGTERM;

/// Runs what is left to do of `run` in the folder `options.out`, cells in processes of their own, and writes the page.
pub fn run(run: &Run, options: &Options, registry: &Registry) -> Result<Outcome> {
    let (dir, plan) = open(run, options, registry)?;
    let _held = dir.hold()?;
    let signal = Signal::listen()?;
    let mut pool = Pool::new(&dir, &plan, options)?;
    pool.go(&signal)?;
    finish(&dir, &plan, signal.caught())
}

/// Runs all cells one after the other in this process: for tests and for library use.
pub fn run_here(run: &Run, options: &Options, registry: &Registry) -> Result<Outcome> {
    let (dir, plan) = open(run, options, registry)?;
    let _held = dir.hold()?;
    for cell in in_order(&plan) {
        if chosen(&plan, options).contains(&cell.id) {
            match cell::run(&dir, &cell.id, registry, &|| false) {
                Ok(_) => {}
                Err(e) if options.fail_fast => return Err(e),
                Err(e) => tracing::error!("{}: {e}", cell.label),
            }
        }
    }
    finish(&dir, &plan, None)
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

fn open(run: &Run, options: &Options, registry: &Registry) -> Result<(RunDir, RunPlan)> {
    let mut fresh = plan(run, registry)?;
    fresh.command.clone_from(&options.command);
    if !RunDir::exists(&options.out) {
        let dir = RunDir::create(
            &options.out,
            &fresh,
            &options.config_text,
            &options.resolved_text,
        )?;
        return Ok((dir, fresh));
    }
    let dir = RunDir::open(&options.out)?;
    let old = dir.plan()?;
    let ids = |plan: &RunPlan| {
        plan.cells
            .iter()
            .map(|c| c.id.clone())
            .collect::<BTreeSet<_>>()
    };
    if ids(&old) != ids(&fresh) {
        return Err(Error::Config(format!(
            "{} holds a run of another config ({}, {} cells, config {}); this one has {} cells, config {}. \
             Give another folder with --out, or remove that one",
            options.out.display(),
            old.name,
            old.cells.len(),
            old.config_hash,
            fresh.cells.len(),
            fresh.config_hash
        )));
    }
    if old.version != fresh.version {
        tracing::warn!(
            "resuming a run that version {} began with version {}",
            old.version,
            fresh.version
        );
    }
    Ok((dir, old))
}

/// Cells with every base before what extends it.
fn in_order(plan: &RunPlan) -> Vec<&PlannedCell> {
    let (bases, rest): (Vec<_>, Vec<_>) = plan.cells.iter().partition(|c| c.base.is_none());
    bases.into_iter().chain(rest).collect()
}

/// Identities of the cells that the options ask for, with their bases.
fn chosen(plan: &RunPlan, options: &Options) -> BTreeSet<String> {
    let filter = |cell: &&PlannedCell| {
        options
            .filter
            .as_ref()
            .is_none_or(|f| f.matches(&cell.label))
    };
    let mut wanted: Vec<&PlannedCell> = plan.cells.iter().filter(filter).collect();
    if let Some((index, count)) = options.shard {
        // Cells that share a base stay on one machine: shards deal out bases.
        let roots: Vec<&str> = plan
            .cells
            .iter()
            .filter(|c| c.base.is_none())
            .map(|c| c.id.as_str())
            .collect();
        let shard = |cell: &PlannedCell| {
            let root = cell.base.as_deref().unwrap_or(&cell.id);
            roots
                .iter()
                .position(|r| *r == root)
                .is_some_and(|i| i % count == index)
        };
        wanted.retain(|cell| shard(cell));
    }
    wanted.truncate(options.limit.unwrap_or(usize::MAX));
    wanted
        .iter()
        .flat_map(|cell| cell.base.iter().chain([&cell.id]))
        .cloned()
        .collect()
}

fn finish(dir: &RunDir, plan: &RunPlan, interrupted: Option<i32>) -> Result<Outcome> {
    let mut outcome = Outcome {
        interrupted,
        ..Outcome::default()
    };
    for cell in &plan.cells {
        let Some(status) = dir.status(&cell.id)? else {
            continue;
        };
        let reason = || {
            status
                .reason
                .clone()
                .unwrap_or_else(|| "no reason was recorded".into())
        };
        match status.state {
            State::Done => outcome.done += 1,
            State::Failed => outcome.failed.push((cell.label.clone(), reason())),
            State::Diverged => outcome.diverged.push((cell.label.clone(), reason())),
            State::Waiting | State::Running | State::Interrupted => {}
        }
    }
    if interrupted.is_none() && outcome.done > 0 {
        outcome.report = Some(crate::report::write(dir)?);
    }
    Ok(outcome)
}

/// SIGINT, SIGTERM: the first asks for an orderly end; the second ends at once.
struct Signal {
    caught: Arc<AtomicUsize>,
}

impl Signal {
    fn listen() -> Result<Signal> {
        let io = |e| Error::io("installing signal handlers", e);
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let again = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&again),
            )
            .map_err(io)?;
            signal_hook::flag::register(signal, again).map_err(io)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)
                .map_err(io)?;
        }
        Ok(Signal { caught })
    }

    fn caught(&self) -> Option<i32> {
        match self.caught.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

struct Pool<'a> {
    dir: &'a RunDir,
    options: &'a Options,
    waiting: Vec<&'a PlannedCell>,
    running: BTreeMap<String, (&'a PlannedCell, Child)>,
    /// Cells whose weights are there for others to take.
    finished: BTreeSet<String>,
    /// Cells that can serve no extension.
    lost: BTreeMap<String, String>,
    jobs: usize,
    board: Board,
}

impl<'a> Pool<'a> {
    fn new(dir: &'a RunDir, plan: &'a RunPlan, options: &'a Options) -> Result<Pool<'a>> {
        let chosen = chosen(plan, options);
        let mut pool = Pool {
            dir,
            options,
            waiting: Vec::new(),
            running: BTreeMap::new(),
            finished: BTreeSet::new(),
            lost: BTreeMap::new(),
            jobs: options
                .jobs
                .unwrap_or_else(|| machine::default_jobs(&options.device))
                .max(1),
            board: Board::new(plan, &chosen, options.quiet),
        };
        for cell in in_order(plan) {
            let state = dir.status(&cell.id)?.map(|s| s.state);
            match state {
                Some(State::Done) if dir.has_result(&cell.id) => {
                    pool.finished.insert(cell.id.clone());
                    pool.done_before(cell, &chosen, "done before");
                }
                Some(State::Diverged) => {
                    pool.lost
                        .insert(cell.id.clone(), format!("its base {} diverged", cell.label));
                    pool.done_before(cell, &chosen, "diverged before");
                }
                _ if chosen.contains(&cell.id) => pool.waiting.push(cell),
                _ => {}
            }
        }
        // Long cells first, so that no core waits at the end.
        pool.waiting.sort_by(|a, b| b.flops.total_cmp(&a.flops));
        Ok(pool)
    }

    fn done_before(&mut self, cell: &PlannedCell, chosen: &BTreeSet<String>, how: &str) {
        if chosen.contains(&cell.id) {
            self.board.done(cell, how);
        }
    }

    fn go(&mut self, signal: &Signal) -> Result<()> {
        while !(self.waiting.is_empty() && self.running.is_empty()) {
            if signal.caught().is_some() {
                return self.stop();
            }
            self.give_up_orphans()?;
            self.start_ready()?;
            std::thread::sleep(POLL);
            let failed = self.reap()?;
            self.board
                .update(self.dir, self.running.values().map(|(cell, _)| *cell))?;
            if failed && self.options.fail_fast {
                self.waiting.clear();
                return self.stop();
            }
        }
        self.board.finish();
        Ok(())
    }

    /// Extensions whose base will never have weights.
    fn give_up_orphans(&mut self) -> Result<()> {
        let lost = &self.lost;
        let reason = |cell: &PlannedCell| cell.base.as_ref().and_then(|b| lost.get(b)).cloned();
        let given_up: Vec<(&PlannedCell, String)> = self
            .waiting
            .iter()
            .filter_map(|cell| reason(cell).map(|r| (*cell, r)))
            .collect();
        for (cell, reason) in given_up {
            self.waiting.retain(|c| c.id != cell.id);
            self.dir.mark(&cell.id, State::Failed, &reason)?;
            self.board.done(cell, &reason);
        }
        Ok(())
    }

    fn start_ready(&mut self) -> Result<()> {
        while self.running.len() < self.jobs {
            let finished = &self.finished;
            let ready =
                |cell: &&PlannedCell| cell.base.as_ref().is_none_or(|b| finished.contains(b));
            let Some(i) = self.waiting.iter().position(ready) else {
                return Ok(());
            };
            let cell = self.waiting.remove(i);
            let child = self.spawn(cell)?;
            self.running.insert(cell.id.clone(), (cell, child));
        }
        Ok(())
    }

    fn spawn(&self, cell: &PlannedCell) -> Result<Child> {
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let threads = (machine::cores() / self.jobs).max(1).to_string();
        let log = self.dir.cell_log(&cell.id)?;
        Command::new(program)
            .args([
                "cell".as_ref(),
                self.dir.path().as_os_str(),
                cell.id.as_ref(),
            ])
            .env("RAYON_NUM_THREADS", threads)
            .env(machine::JOBS_VARIABLE, self.jobs.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| Error::io(format!("starting the process of cell {}", cell.label), e))
    }

    /// Collects processes that ended; whether one of them failed.
    fn reap(&mut self) -> Result<bool> {
        let mut failed = false;
        let mut ended = Vec::new();
        for (id, (cell, child)) in &mut self.running {
            let status = child
                .try_wait()
                .map_err(|e| Error::io(format!("waiting for cell {}", cell.label), e))?;
            ended.extend(status.map(|status| (id.clone(), *cell, status)));
        }
        for (id, cell, exit) in ended {
            self.running.remove(&id);
            let state = self.dir.status(&id)?.map(|s| (s.state, s.reason));
            match state {
                Some((State::Done, _)) => {
                    self.finished.insert(id);
                    self.board.done(cell, "done");
                }
                Some((State::Diverged, reason)) => {
                    self.lost
                        .insert(id, format!("its base {} diverged", cell.label));
                    self.board
                        .done(cell, &format!("diverged: {}", reason.unwrap_or_default()));
                }
                Some((State::Interrupted, _)) => self.board.done(cell, "interrupted"),
                Some((State::Failed, reason)) => {
                    failed = true;
                    self.lost
                        .insert(id, format!("its base {} failed", cell.label));
                    self.board
                        .done(cell, &format!("failed: {}", reason.unwrap_or_default()));
                }
                _ => {
                    failed = true;
                    let reason = format!(
                        "its process ended without a result ({exit}); {}",
                        last_words(self.dir, &id)
                    );
                    self.dir.mark(&id, State::Failed, &reason)?;
                    self.lost
                        .insert(id, format!("its base {} failed", cell.label));
                    self.board.done(cell, &format!("failed: {reason}"));
                }
            }
        }
        Ok(failed)
    }

    /// Closes every pipe and waits until the cells have saved their state.
    fn stop(&mut self) -> Result<()> {
        self.board.note("stopping: cells save their state");
        for (_, child) in self.running.values_mut() {
            drop(child.stdin.take());
        }
        while !self.running.is_empty() {
            std::thread::sleep(POLL);
            self.reap()?;
        }
        self.board.finish();
        Ok(())
    }
}

/// The end of a dead process's log: a panic message, or a hint.
fn last_words(dir: &RunDir, id: &str) -> String {
    let text = std::fs::read_to_string(dir.cell_dir(id).join("log.txt")).unwrap_or_default();
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("last line of its log: {line}"),
        None => {
            "its log is empty; a process that is killed from outside is often out of memory".into()
        }
    }
}
