//! A worker: takes cells of a run folder that nobody makes, lets each be made by a process of its own, and goes on until
//! none is left. What others make is seen by reading the folder again, and so is a base that extensions wait for.

mod ends;

use super::in_order;
use super::process::{Process, holder};
use super::progress::Board;
use super::signal::Signal;
use super::slots::{Slot, slots};
use crate::Result;
use crate::cell::{self, Found};
use crate::cli::work::Work;
use farspan_reports::record::{PlannedCell, RunPlan};
use farspan_reports::store::{Holder, Lease, LeaseState, RunDir, Tries};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

/// Time between looks at processes of one's own.
const POLL: Duration = Duration::from_millis(20);
/// Time between looks at the folder while there is nothing to take, at least and at most.
const SCANS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(10));
/// A scan is followed by a pause of this many times its length: looking takes less than a hundredth of a core.
const REST: u32 = 200;
/// Time between looks whether the leases of running cells are still ours.
const LOOK: Duration = Duration::from_secs(2);
/// How often a cell's process may be ended from outside: kills are no fault of a cell, but one that is killed for its
/// size again and again must not go on for ever.
const KILLS: u32 = 100;

pub(super) struct Pool<'a> {
    dir: &'a RunDir,
    plan: &'a RunPlan,
    work: &'a Work,
    slots: Vec<Slot>,
    /// Whether files of finished cells are looked through, or only their results.
    thorough: bool,
    chosen: BTreeSet<String>,
    /// Cells that have not come to an end, long ones first.
    waiting: Vec<&'a PlannedCell>,
    running: Vec<Process<'a>>,
    /// Cells with a result; whether their other files were looked through, too.
    finished: BTreeMap<String, bool>,
    /// Cells that can serve no extension, with reasons.
    lost: BTreeMap<String, String>,
    /// How often the folder of a cell could not be read or written here.
    troubles: BTreeMap<String, u32>,
    /// Who makes cells elsewhere, as last seen.
    elsewhere: BTreeMap<String, Option<Holder>>,
    /// Cells that failed, by label, with reasons, whether or not their status could be written.
    pub(super) failed: BTreeMap<String, String>,
    pub(super) diverged: BTreeMap<String, String>,
    /// Whether the worker ran out of patience.
    pub(super) left: bool,
    /// When `plan.json` was written.
    planned: Option<SystemTime>,
    board: Board,
}

/// What a look at a waiting cell led to.
#[derive(PartialEq, Eq)]
enum Step {
    /// It came to its end.
    Over,
    /// Its process runs.
    Started,
    /// It is to be looked at again.
    Wait,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        dir: &'a RunDir,
        plan: &'a RunPlan,
        work: &'a Work,
        thorough: bool,
    ) -> Result<Pool<'a>> {
        let chosen = work.choice.of(plan);
        let board = Board::new(plan, &chosen, work.quiet);
        let mut waiting: Vec<_> = in_order(plan)
            .into_iter()
            .filter(|cell| chosen.contains(&cell.id))
            .collect();
        // Long cells first, so that no core waits at the end.
        waiting.sort_by(|a, b| b.flops.total_cmp(&a.flops));
        let mut pool = Pool {
            dir,
            plan,
            work,
            slots: slots(work, plan)?,
            thorough,
            chosen,
            waiting,
            running: Vec::new(),
            finished: BTreeMap::new(),
            lost: BTreeMap::new(),
            troubles: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            failed: BTreeMap::new(),
            diverged: BTreeMap::new(),
            left: false,
            planned: None,
            board,
        };
        pool.planned = pool.plan_written();
        Ok(pool)
    }

    /// Cells that were done, by this worker or by others.
    pub(super) fn done(&self) -> usize {
        self.finished.len()
    }

    /// What was left as it is, with reasons.
    pub(super) fn unfinished(&self) -> Vec<(String, String)> {
        let holder = |cell: &&PlannedCell| self.elsewhere.get(&cell.id);
        let (held, left): (Vec<&PlannedCell>, Vec<_>) =
            self.waiting.iter().partition(|cell| holder(cell).is_some());
        // What others make comes first: the rest may wait for it.
        let all = held.into_iter().chain(left);
        let why = |cell: &PlannedCell| match holder(&cell) {
            Some(Some(holder)) => format!("{holder} makes it"),
            Some(None) => "another process makes it".to_string(),
            None => "it was left".to_string(),
        };
        all.map(|cell| (cell.label.clone(), why(cell))).collect()
    }

    /// Gives cells that went wrong too often before another chance.
    pub(super) fn forgive(&self) -> Result<()> {
        let now = self.dir.now()?;
        for cell in &self.waiting {
            let tries = match self.dir.lease_state(&cell.id, now) {
                Ok(LeaseState::Free(tries)) if tries != Tries::default() => tries,
                // What is wrong with it is told when it is taken.
                _ => continue,
            };
            tracing::debug!("{}: {tries:?} are forgotten", cell.label);
            if let Ok(Some(lease)) = self.dir.take_cell(&cell.id, holder(self.work.lease())) {
                lease.release(Tries::default())?;
            }
        }
        Ok(())
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
        let started = Instant::now();
        let (mut next, mut looked, mut idle) = (started, started, started);
        while !(self.waiting.is_empty() && self.running.is_empty()) {
            let over = self
                .work
                .max_time
                .is_some_and(|most| started.elapsed() >= most);
            if signal.caught().is_some() || over {
                return self.stop();
            }
            let before = self.failed.len();
            if self.reap()? {
                next = Instant::now();
            }
            if self.running.len() < self.slots.len() && Instant::now() >= next {
                let begun = Instant::now();
                let pause = match self.scan()? {
                    true => Duration::ZERO,
                    false => (begun.elapsed() * REST).clamp(SCANS.0, SCANS.1),
                };
                next = Instant::now() + pause;
            }
            if self.failed.len() > before && self.work.fail_fast {
                return self.stop();
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.end_what_is_lost();
            }
            if self.running.is_empty() {
                if self
                    .work
                    .patience
                    .is_some_and(|most| idle.elapsed() >= most)
                {
                    self.left = true;
                    return Ok(());
                }
                let left = next.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(SCANS.0));
            } else {
                idle = Instant::now();
                std::thread::sleep(POLL);
            }
            let running = self.running.iter().map(|process| process.cell);
            self.board.update(self.dir, running);
        }
        Ok(())
    }

    fn plan_written(&self) -> Option<SystemTime> {
        let meta = std::fs::metadata(self.dir.path().join("plan.json"));
        meta.and_then(|meta| meta.modified()).ok()
    }

    /// Another `run` may have made the plan anew, under another version.
    fn check_plan(&mut self) -> Result<()> {
        let written = self.plan_written();
        // Where there is none any more, the next step says so.
        if written.is_none() || written == self.planned {
            return Ok(());
        }
        super::run::check_version(self.dir, &self.dir.plan()?)?;
        self.planned = written;
        Ok(())
    }

    /// Looks at all waiting cells and takes what can be taken; whether something was.
    fn scan(&mut self) -> Result<bool> {
        self.check_plan()?;
        let now = self.dir.now()?;
        let mut started = false;
        // What came to an end lets others be looked at.
        let mut changed = true;
        while changed {
            changed = false;
            for cell in self.waiting.clone() {
                if self.running.len() >= self.slots.len() {
                    return Ok(started);
                }
                match self.consider(cell, now) {
                    Step::Wait => continue,
                    Step::Over => changed = true,
                    Step::Started => started = true,
                }
                self.waiting.retain(|waiting| waiting.id != cell.id);
            }
        }
        Ok(started)
    }

    fn consider(&mut self, cell: &'a PlannedCell, now: SystemTime) -> Step {
        if let Some(base) = &cell.base {
            if let Some(why) = self.lost.get(base).cloned() {
                self.mark(cell, &why);
                return self.fail(cell, &why, &why);
            }
            if !self.finished.contains_key(base) {
                return Step::Wait;
            }
        }
        // First the lease, then the result: who releases a cell has written its result before.
        let lease_state = self.dir.lease_state(&cell.id, now);
        if self.is_done(cell) {
            return self.finish(cell, "done before");
        }
        self.elsewhere.remove(&cell.id);
        match lease_state {
            Err(e) => return self.trouble(cell, e.into()),
            Ok(LeaseState::Held(holder)) => {
                self.elsewhere.insert(cell.id.clone(), holder);
                return Step::Wait;
            }
            Ok(LeaseState::Free(tries)) if self.is_exhausted(tries) => {
                let status = self.dir.status(&cell.id).ok().flatten();
                let why = status.and_then(|status| status.reason);
                let why = why.unwrap_or_else(|| format!("it was ended {} times", tries.killed));
                return self.fail(cell, &why, &format!("failed before: {why}"));
            }
            Ok(LeaseState::Free(_)) => {}
        }
        if !self.has_whole_base(cell) {
            return Step::Wait;
        }
        match self.dir.take_cell(&cell.id, holder(self.work.lease())) {
            Err(e) => self.trouble(cell, e.into()),
            Ok(None) => Step::Wait,
            Ok(Some(lease)) => self.begin(cell, lease),
        }
    }

    /// Whether nothing is left to do for a cell. `run` looks through all of its files, other workers at its result.
    fn is_done(&self, cell: &PlannedCell) -> bool {
        let result = self.dir.cell_dir(&cell.id).join("result.json");
        result.exists()
            && match self.thorough {
                true => cell::is_done(self.dir, cell, self.is_wanted(cell)).unwrap_or(false),
                false => self
                    .dir
                    .result_of(cell)
                    .is_ok_and(|result| result.is_some()),
            }
    }

    /// Looks through the files of a cell's base before the cell is taken; a base that is damaged is made again.
    fn has_whole_base(&mut self, cell: &PlannedCell) -> bool {
        let Some((base, false)) = cell
            .base
            .as_ref()
            .map(|base| (base, self.finished.get(base) == Some(&true)))
        else {
            return true;
        };
        let Some(planned) = self.plan.cells.iter().find(|planned| planned.id == *base) else {
            return true;
        };
        let whole = cell::is_done(self.dir, planned, true).unwrap_or(false);
        if whole {
            self.finished.insert(base.clone(), true);
        } else {
            self.finished.remove(base);
            self.waiting.push(planned);
            // From now on its result alone is not enough.
            self.thorough = true;
        }
        whole
    }

    /// Looks through the folder of a cell that was taken and starts its process.
    fn begin(&mut self, cell: &'a PlannedCell, lease: Lease) -> Step {
        let dir = self.dir.under(&lease);
        let inspected = match cell::inspect(&dir, cell, self.is_wanted(cell)) {
            Ok(inspected) => inspected,
            Err(e) => return self.went_wrong(cell, lease, &e.to_string(), (false, false)),
        };
        for words in &inspected.words {
            self.board.warn(&format!("{}: {words}", cell.label));
        }
        // A release that does not succeed runs out by itself.
        match inspected.found {
            Found::Done => {
                let _ = lease.release(Tries::default());
                self.finish(cell, "done before")
            }
            Found::Diverged => {
                let tries = lease.tries();
                let _ = lease.release(tries);
                self.diverge(cell, "diverged before", "")
            }
            Found::ToMake => {
                let taken: BTreeSet<usize> = self.running.iter().map(|p| p.slot).collect();
                let free = (0..self.slots.len()).find(|slot| !taken.contains(slot));
                let slot = free.unwrap_or_default();
                let jobs = (self.slots.len() + self.beside(), self.work.lease());
                match Process::start(&dir, cell, &lease, (slot, &self.slots[slot]), jobs) {
                    Ok(process) => {
                        lease.leave();
                        self.running.push(process);
                        Step::Started
                    }
                    Err(e) => self.went_wrong(cell, lease, &e.to_string(), (false, false)),
                }
            }
        }
    }

    /// Cells that other workers make on the processors that ours run on.
    fn beside(&self) -> usize {
        let holders = self.elsewhere.values().flatten();
        holders
            .filter(|holder| holder.process.shares_processors())
            .count()
    }

    /// Whether an extension of this cell has something left to do.
    fn is_wanted(&self, base: &PlannedCell) -> bool {
        let mut extensions =
            self.plan.cells.iter().filter(|cell| {
                cell.base.as_ref() == Some(&base.id) && self.chosen.contains(&cell.id)
            });
        extensions.any(|cell| self.dir.cell(cell).result.is_none())
    }

    fn is_exhausted(&self, tries: Tries) -> bool {
        tries.hopeless || tries.failed >= self.work.tries.max(1) || tries.killed >= KILLS
    }
}
