//! A pool of cell processes.

use super::progress::Board;
use super::signal::Signal;
use super::{Options, cause, in_order};
use crate::cell::{self, Found};
use crate::cli::bytes;
use crate::{Error, Result, machine};
use farspan_reports::record::{PlannedCell, RunPlan, State};
use farspan_reports::store::RunDir;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(20);
/// Exit code of a cell whose folder another process holds.
const HELD: i32 = 75;

/// Why a cell has no weights for its extensions.
struct Lost {
    why: String,
    /// Whether running again is enough.
    later: bool,
}

struct Process<'a> {
    cell: &'a PlannedCell,
    child: Child,
    /// Length of its log when it started.
    log: u64,
    /// Processes that the system had ended for want of memory by then.
    kills: u64,
}

pub(super) struct Pool<'a> {
    dir: &'a RunDir,
    plan: &'a RunPlan,
    options: &'a Options,
    chosen: BTreeSet<String>,
    waiting: Vec<&'a PlannedCell>,
    /// Waiting cells whose folders have been looked through.
    looked: BTreeSet<String>,
    running: BTreeMap<String, Process<'a>>,
    /// Cells whose weights are there for others to take.
    finished: BTreeSet<String>,
    /// Cells that can serve no extension.
    lost: BTreeMap<String, Lost>,
    /// Cells that failed, by label, with reasons, whether or not their status could be written.
    pub(super) failed: BTreeMap<String, String>,
    /// Cells that running again may finish, with reasons.
    pub(super) unfinished: Vec<(String, String)>,
    jobs: usize,
    board: Board,
}

impl<'a> Pool<'a> {
    pub(super) fn new(dir: &'a RunDir, plan: &'a RunPlan, options: &'a Options) -> Pool<'a> {
        let chosen = options.choice.of(plan);
        let board = Board::new(plan, &chosen, options.quiet);
        let mut waiting: Vec<_> = in_order(plan)
            .into_iter()
            .filter(|cell| chosen.contains(&cell.id))
            .collect();
        // Long cells first, so that no core waits at the end.
        waiting.sort_by(|a, b| b.flops.total_cmp(&a.flops));
        Pool {
            dir,
            plan,
            options,
            chosen,
            waiting,
            looked: BTreeSet::new(),
            running: BTreeMap::new(),
            finished: BTreeSet::new(),
            lost: BTreeMap::new(),
            failed: BTreeMap::new(),
            unfinished: Vec::new(),
            jobs: options
                .jobs
                .unwrap_or_else(|| machine::default_jobs(&options.device))
                .max(1),
            board,
        }
    }

    pub(super) fn go(&mut self, signal: &Signal) -> Result<()> {
        let ended = self.work(signal);
        if ended.is_err() {
            // The first error is the one to tell.
            let _ = self.stop();
        }
        self.board.finish();
        ended
    }

    fn work(&mut self, signal: &Signal) -> Result<()> {
        while !(self.waiting.is_empty() && self.running.is_empty()) {
            if signal.caught().is_some() {
                return self.stop();
            }
            let before = self.failed.len();
            self.give_up_orphans();
            self.look_through();
            self.start_ready()?;
            if !self.running.is_empty() {
                std::thread::sleep(POLL);
            }
            self.reap()?;
            let running = self.running.values().map(|process| process.cell);
            self.board.update(self.dir, running);
            if self.failed.len() > before && self.options.fail_fast {
                self.waiting.clear();
                return self.stop();
            }
        }
        Ok(())
    }

    /// Extensions whose base will not have weights.
    fn give_up_orphans(&mut self) {
        let lost = &self.lost;
        let (given_up, waiting): (Vec<&PlannedCell>, _) =
            self.waiting.iter().copied().partition(|cell| {
                let base = cell.base.as_ref();
                base.is_some_and(|base| lost.contains_key(base))
            });
        self.waiting = waiting;
        for cell in given_up {
            let lost = cell.base.as_ref().and_then(|base| self.lost.get(base));
            match lost.map(|lost| (lost.why.clone(), lost.later)) {
                Some((why, true)) => self.put_off(cell, why),
                Some((why, false)) => self.fail(cell, &why, &why),
                None => {}
            }
        }
    }

    fn is_ready(&self, cell: &PlannedCell) -> bool {
        let base = cell.base.as_ref();
        base.is_none_or(|base| self.finished.contains(base))
    }

    /// Looks through the folders of cells that could start: what is done is done, what is damaged is made again.
    fn look_through(&mut self) {
        // What is done lets others be looked through.
        while let Some(at) = self
            .waiting
            .iter()
            .position(|cell| self.is_ready(cell) && !self.looked.contains(&cell.id))
        {
            let cell = self.waiting[at];
            self.looked.insert(cell.id.clone());
            let inspected = cell::inspect(self.dir, cell, self.is_wanted(cell));
            let found = match inspected {
                Ok(inspected) => {
                    for words in &inspected.words {
                        self.board.warn(&format!("{}: {words}", cell.label));
                    }
                    inspected.found
                }
                Err(e) => {
                    self.waiting.remove(at);
                    match &e {
                        Error::Store(held) if held.is_held() => self.put_off(cell, e.to_string()),
                        _ => {
                            let why = e.to_string();
                            self.fail(cell, &why, &format!("failed: {why}"));
                        }
                    }
                    continue;
                }
            };
            match found {
                Found::ToMake => {}
                Found::Done => {
                    self.waiting.remove(at);
                    self.finished.insert(cell.id.clone());
                    self.board.done(cell, "done before");
                }
                Found::Diverged => {
                    self.waiting.remove(at);
                    self.lose(cell, "diverged", false);
                    self.board.done(cell, "diverged before");
                }
            }
        }
    }

    /// Whether an extension of this cell has something left to do.
    fn is_wanted(&self, base: &PlannedCell) -> bool {
        let mut extensions =
            self.plan.cells.iter().filter(|cell| {
                cell.base.as_ref() == Some(&base.id) && self.chosen.contains(&cell.id)
            });
        extensions.any(|cell| self.dir.cell(cell).result.is_none())
    }

    fn lose(&mut self, cell: &PlannedCell, how: &str, later: bool) {
        let why = format!("its base {} {how}", cell.label);
        self.lost.insert(cell.id.clone(), Lost { why, later });
    }

    fn fail(&mut self, cell: &PlannedCell, why: &str, told: &str) {
        if let Err(e) = self.dir.mark(&cell.id, State::Failed, why) {
            self.board.warn(&format!(
                "{}: its status could not be written: {e}",
                cell.label
            ));
        }
        self.failed.insert(cell.label.clone(), why.to_string());
        self.lose(cell, "failed", false);
        self.board.done(cell, told);
    }

    /// Leaves a cell for another run.
    fn put_off(&mut self, cell: &PlannedCell, why: String) {
        self.lose(cell, "is not finished", true);
        self.board.done(cell, &format!("not finished: {why}"));
        self.unfinished.push((cell.label.clone(), why));
    }

    fn start_ready(&mut self) -> Result<()> {
        while self.running.len() < self.jobs {
            let Some(at) = self.waiting.iter().position(|cell| self.is_ready(cell)) else {
                return Ok(());
            };
            let cell = self.waiting.remove(at);
            let process = self.spawn(cell)?;
            self.running.insert(cell.id.clone(), process);
        }
        Ok(())
    }

    fn spawn(&self, cell: &'a PlannedCell) -> Result<Process<'a>> {
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let threads = (machine::cores() / self.jobs).max(1).to_string();
        let log = self.dir.cell_log(&cell.id)?;
        let written = log.metadata().map_or(0, |meta| meta.len());
        let kills = machine::kills_for_memory();
        let child = Command::new(program)
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
            .map_err(|e| Error::io(format!("starting the process of cell {}", cell.label), e))?;
        Ok(Process {
            cell,
            child,
            log: written,
            kills,
        })
    }

    /// Collects processes that ended.
    fn reap(&mut self) -> Result<()> {
        let mut ended = Vec::new();
        for (id, process) in &mut self.running {
            let cell = process.cell;
            let status = process
                .child
                .try_wait()
                .map_err(|e| Error::io(format!("waiting for cell {}", cell.label), e))?;
            ended.extend(status.map(|status| (id.clone(), status)));
        }
        for (id, exit) in ended {
            if let Some(process) = self.running.remove(&id) {
                self.ended(&process, exit);
            }
        }
        Ok(())
    }

    /// How a process ended: its result tells that it is done, its own status what else.
    fn ended(&mut self, process: &Process<'_>, exit: ExitStatus) {
        let cell = process.cell;
        let loaded = self.dir.cell(cell);
        if loaded.result.is_some() {
            self.finished.insert(cell.id.clone());
            self.board.done(cell, "done");
            return;
        }
        // An older status is of another process.
        let own = |pid: Option<u32>| pid == Some(process.child.id());
        let status = loaded.status.filter(|status| own(status.pid));
        let (state, reason) = status.map_or((State::Waiting, None), |s| (s.state, s.reason));
        match (state, reason.unwrap_or_default()) {
            (State::Diverged, reason) => {
                self.lose(cell, "diverged", false);
                self.board.done(cell, &format!("diverged: {reason}"));
            }
            (State::Interrupted, _) => {
                self.lose(cell, "was interrupted", true);
                self.board.done(cell, "interrupted");
                let why = "its process was interrupted".into();
                self.unfinished.push((cell.label.clone(), why));
            }
            (State::Failed, reason) => self.fail(cell, &reason, &format!("failed: {reason}")),
            _ => {
                let log = self.dir.cell_dir(&cell.id).join("log.txt");
                let said = cause::said(&log, process.log);
                if exit.code() == Some(HELD) {
                    let why = said.trim().trim_start_matches("error: ").to_string();
                    return self.put_off(cell, why);
                }
                let killed = machine::kills_for_memory() > process.kills;
                let forecast = bytes(cell.memory_bytes);
                let reason = cause::reason(exit, &said, killed, &forecast);
                self.fail(cell, &reason, &format!("failed: {reason}"));
            }
        }
    }

    /// Closes every pipe and waits until the cells have saved their state.
    fn stop(&mut self) -> Result<()> {
        self.board.note("stopping: cells save their state");
        for process in self.running.values_mut() {
            drop(process.child.stdin.take());
        }
        while !self.running.is_empty() {
            std::thread::sleep(POLL);
            self.reap()?;
        }
        Ok(())
    }
}
