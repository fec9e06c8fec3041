//! The process of a cell, as its worker sees it.

use super::cause;
use super::slots::Slot;
use crate::cli::bytes;
use crate::{Error, Result, machine};
use farspan_reports::record::{PlannedCell, State};
use farspan_reports::store::{Holder, Lease, RunDir};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Exit code of a process whose lease was taken over.
const LATER: i32 = 75;
/// Exit codes after which trying again cannot help: wrong usage or config, data that cannot be used, a bug.
const HOPELESS: [i32; 3] = [2, 65, 70];

/// A cell in the making.
pub(super) struct Process<'a> {
    pub(super) cell: &'a PlannedCell,
    /// Number of its lease.
    pub(super) lease: u64,
    /// Which slot it takes.
    pub(super) slot: usize,
    pub(super) child: Child,
    /// Length of its log when it started.
    log: u64,
    /// Processes that the system had ended for want of memory by then.
    kills: u64,
}

/// How a cell's process ended without a result.
pub(super) enum End {
    Diverged(String),
    /// Asked to stop, or its lease went to another worker.
    Left,
    Failed {
        why: String,
        hopeless: bool,
        /// From outside, and not for want of memory: no fault of the cell.
        killed: bool,
    },
}

/// How this process names itself in leases that last so long.
pub(super) fn holder(lasts: Duration) -> Holder {
    Holder::me(machine::version(), machine::job(), lasts)
}

impl<'a> Process<'a> {
    /// Starts the process of a cell, which goes on with `lease`; `jobs` run at once.
    pub(super) fn start(
        dir: &RunDir,
        cell: &'a PlannedCell,
        lease: &Lease,
        (slot, card): (usize, &Slot),
        (jobs, lasts): (usize, Duration),
    ) -> Result<Process<'a>> {
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let threads = (machine::cores() / jobs).max(1).to_string();
        let log = dir.cell_log(&cell.id)?;
        let written = log.metadata().map_or(0, |meta| meta.len());
        let kills = machine::kills_for_memory();
        let child = Command::new(program)
            .arg("cell")
            .arg(dir.path())
            .arg(&cell.id)
            .arg(lease.number().to_string())
            .arg(lasts.as_secs_f64().to_string())
            .env("RAYON_NUM_THREADS", threads)
            .env(machine::JOBS_VARIABLE, jobs.to_string())
            .envs(machine::other_data_root().map(|root| (machine::DATA_VARIABLE, root)))
            .envs(card.card.clone())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| Error::io(format!("starting the process of cell {}", cell.label), e))?;
        Ok(Process {
            cell,
            lease: lease.number(),
            slot,
            child,
            log: written,
            kills,
        })
    }

    /// How it ended, if it left no result: its own status tells, or its last words do.
    pub(super) fn end(&self, dir: &RunDir, exit: ExitStatus) -> End {
        let cell = self.cell;
        // An older status is of another process.
        let status = dir.status(&cell.id).ok().flatten();
        let own = status.filter(|status| status.pid == Some(self.child.id()));
        let (state, reason) = own.map_or((State::Waiting, None), |s| (s.state, s.reason));
        let hopeless = exit.code().is_some_and(|code| HOPELESS.contains(&code));
        let failed = |why: String, killed: bool| End::Failed {
            why,
            hopeless,
            killed,
        };
        match (state, reason.unwrap_or_default()) {
            (State::Diverged, reason) => End::Diverged(reason),
            (State::Interrupted, _) => End::Left,
            _ if exit.code() == Some(LATER) => End::Left,
            (State::Failed, reason) => failed(reason, false),
            _ => {
                let said = cause::said(&dir.cell_dir(&cell.id).join("log.txt"), self.log);
                let for_memory = machine::kills_for_memory() > self.kills;
                let forecast = bytes(cell.memory_bytes);
                let why = cause::reason(exit, &said, for_memory, &forecast);
                failed(why, cause::is_killed(exit) && !for_memory)
            }
        }
    }
}
