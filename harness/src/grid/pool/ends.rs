//! How cells of a worker come to an end, and what is written down about it.

use super::{POLL, Pool, Step};
use crate::cli::duration;
use crate::grid::process::{End, Process, holder};
use crate::{Error, Result};
use farspan_reports::record::{CellRecord, Cost, PlannedCell, State};
use farspan_reports::store::{Lease, Tries};
use std::process::ExitStatus;

impl<'a> Pool<'a> {
    pub(super) fn finish(&mut self, cell: &PlannedCell, how: &str) -> Step {
        self.finished.insert(cell.id.clone(), self.thorough);
        self.board.done(cell, how);
        Step::Over
    }

    pub(super) fn diverge(&mut self, cell: &PlannedCell, told: &str, why: &str) -> Step {
        self.lost
            .insert(cell.id.clone(), format!("its base {} diverged", cell.label));
        let status = self.dir.status(&cell.id).ok().flatten();
        let reason = status.and_then(|status| status.reason);
        self.diverged.insert(
            cell.label.clone(),
            reason.unwrap_or_else(|| why.to_string()),
        );
        self.board.done(cell, told);
        Step::Over
    }

    pub(super) fn fail(&mut self, cell: &PlannedCell, why: &str, told: &str) -> Step {
        self.failed.insert(cell.label.clone(), why.to_string());
        self.lost
            .insert(cell.id.clone(), format!("its base {} failed", cell.label));
        self.board.done(cell, told);
        Step::Over
    }

    /// Writes down that a cell failed which no process was started for.
    pub(super) fn mark(&self, cell: &PlannedCell, why: &str) {
        if let Ok(Some(lease)) = self.dir.take_cell(&cell.id, holder(self.work.lease())) {
            let tries = lease.tries();
            let _ = self.dir.under(&lease).mark(&cell.id, State::Failed, why);
            let _ = lease.release(tries);
        }
    }

    /// The folder of a cell could not be read, or no lease be made in it.
    pub(super) fn trouble(&mut self, cell: &PlannedCell, e: Error) -> Step {
        let times = self.troubles.entry(cell.id.clone()).or_default();
        *times += 1;
        match *times >= self.work.tries.max(1) {
            true => self.fail(cell, &e.to_string(), &format!("failed: {e}")),
            false => Step::Wait,
        }
    }

    /// A cell that is ours went wrong: it is written down, and the cell is given back.
    pub(super) fn went_wrong(
        &mut self,
        cell: &PlannedCell,
        lease: Lease,
        why: &str,
        (hopeless, killed): (bool, bool),
    ) -> Step {
        let before = lease.tries();
        let tries = Tries {
            failed: before.failed + u32::from(!killed),
            killed: before.killed + u32::from(killed),
            hopeless,
        };
        let over = self.is_exhausted(tries);
        if let Err(e) = self.dir.under(&lease).mark(&cell.id, State::Failed, why) {
            let words = format!("{}: its status could not be written: {e}", cell.label);
            self.board.warn(&words);
        }
        if let Err(e) = lease.release(tries) {
            // Nobody counts it then but this worker.
            return self.trouble(cell, Error::Config(format!("{why}; and {e}")));
        }
        match over {
            true => self.fail(cell, why, &format!("failed: {why}")),
            false => {
                self.board
                    .note(&format!("{}: tried again: {why}", cell.label));
                Step::Wait
            }
        }
    }

    /// Collects processes that ended; whether one did.
    pub(super) fn reap(&mut self) -> Result<bool> {
        let mut ended = Vec::new();
        for (i, process) in self.running.iter_mut().enumerate() {
            let label = &process.cell.label;
            let status = process.child.try_wait();
            let status = status.map_err(|e| Error::io(format!("waiting for cell {label}"), e))?;
            ended.extend(status.map(|status| (i, status)));
        }
        let some = !ended.is_empty();
        for (i, exit) in ended.into_iter().rev() {
            let process = self.running.remove(i);
            if self.ended(&process, exit) == Step::Wait {
                let at = self
                    .waiting
                    .partition_point(|cell| cell.flops >= process.cell.flops);
                self.waiting.insert(at, process.cell);
            }
        }
        Ok(some)
    }

    fn ended(&mut self, process: &Process<'a>, exit: ExitStatus) -> Step {
        let cell = process.cell;
        if let Ok(Some(result)) = self.dir.result_of(cell) {
            let cost = self.dir.cost(&cell.id).ok().flatten();
            self.finish(cell, &made(&result, cost.as_ref()));
            // What was just made needs no look through.
            self.finished.insert(cell.id.clone(), true);
            return Step::Over;
        }
        match process.end(self.dir, exit) {
            End::Left => Step::Wait,
            End::Diverged(why) => self.diverge(cell, &format!("diverged: {why}"), &why),
            End::Failed {
                why,
                hopeless,
                killed,
            } => match self
                .dir
                .adopt_cell(&cell.id, process.lease, holder(self.work.lease()))
            {
                Ok(lease) => self.went_wrong(cell, lease, &why, (hopeless, killed)),
                // Whoever has it now makes it.
                Err(e) if e.is_lost() => Step::Wait,
                Err(e) => self.trouble(cell, Error::Config(format!("{why}; and {e}"))),
            },
        }
    }

    /// Ends processes that slept through their lease and sleep on: another worker makes their cells.
    pub(super) fn end_what_is_lost(&mut self) {
        for process in &mut self.running {
            if !self.dir.holds(&process.cell.id, process.lease) {
                // It may have ended meanwhile.
                let _ = process.child.kill();
            }
        }
    }

    /// Closes every pipe and waits until the cells have saved their state.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.board.note("stopping: cells save their state");
        for process in &mut self.running {
            drop(process.child.stdin.take());
        }
        while !self.running.is_empty() {
            std::thread::sleep(POLL);
            self.reap()?;
            self.end_what_is_lost();
        }
        Ok(())
    }
}

/// `done in 1 min 5 s, loss 2.310`.
fn made(result: &CellRecord, cost: Option<&Cost>) -> String {
    let time = cost.map(|cost| {
        let seconds = cost.train_seconds + cost.evaluate_seconds;
        format!(" in {}", duration(seconds))
    });
    let loss = result.train.curve.last();
    let loss = loss.map(|(_, loss)| format!(", loss {loss:.3}"));
    format!(
        "done{}{}",
        time.unwrap_or_default(),
        loss.unwrap_or_default()
    )
}
