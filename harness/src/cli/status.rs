//! `status` and `watch`: how far a run is, from its folder alone.

mod curves;
mod watch;

pub(super) use watch::Watch;

use super::table::{Table, amount, duration};
use super::{Ended, Failure, json, print};
use clap::Args;
use farspan_reports::record::{Activity, Phase, PlannedCell, RunPlan, State};
use farspan_reports::store::{Holder, LeaseState, RunDir};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug, Args)]
#[command(after_help = "Example: farspan status runs/quickstart --json")]
pub(super) struct Status {
    /// Run folder
    dir: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self) -> Ended {
        let dir = RunDir::open(&self.dir)?;
        let progress = Progress::read(&dir, &dir.plan()?);
        if self.json {
            json(&progress)
        } else {
            print(&progress.text())
        }
    }
}

/// Whether a run has cells that are not at an end.
pub(super) fn is_running(dir: &Path) -> Result<bool, Failure> {
    let dir = RunDir::open(dir)?;
    Ok(!Progress::read(&dir, &dir.plan()?).is_over())
}

#[derive(Debug, Serialize)]
struct Progress {
    name: String,
    version: String,
    created: String,
    cells: Vec<CellProgress>,
    /// Seconds left by the work done per second so far; `None` while nothing is done.
    eta_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct CellProgress {
    id: String,
    label: String,
    state: State,
    step: u64,
    steps: u64,
    /// What its process does, while one runs.
    now: Option<Activity>,
    /// Training loss: recent, or the last one of a cell that is done.
    loss: Option<f64>,
    /// Training tokens per second of a cell that is done; in the phase at hand of one that runs.
    tokens_per_second: Option<f64>,
    reason: Option<String>,
    updated: Option<String>,
    /// Host, process and job of the worker that makes it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
    /// Seconds that a cell took that is done.
    seconds: Option<f64>,
    #[serde(skip)]
    flops: f64,
}

impl Progress {
    fn read(dir: &RunDir, plan: &RunPlan) -> Progress {
        // Who may only read the folder is not told what has expired.
        let now = dir.now().ok();
        let cells = plan.cells.iter().map(|cell| read(dir, cell, now));
        let cells: Vec<CellProgress> = cells.collect();
        Progress {
            name: plan.name.clone(),
            version: plan.version.clone(),
            created: plan.created.clone(),
            eta_seconds: eta(&cells),
            cells,
        }
    }

    fn count(&self, state: State) -> usize {
        self.cells.iter().filter(|cell| cell.state == state).count()
    }

    /// Whether nothing is left that could still change.
    fn is_over(&self) -> bool {
        [State::Waiting, State::Running, State::Interrupted]
            .iter()
            .all(|&state| self.count(state) == 0)
    }

    fn counts(&self) -> String {
        let mut parts = vec![format!(
            "{} of {} cells done",
            self.count(State::Done),
            self.cells.len()
        )];
        for state in [
            State::Running,
            State::Waiting,
            State::Interrupted,
            State::Failed,
            State::Diverged,
        ] {
            if self.count(state) > 0 {
                parts.push(format!("{} {}", self.count(state), word(state)));
            }
        }
        let eta = self.eta_seconds.filter(|_| self.count(State::Running) > 0);
        parts.extend(eta.map(|seconds| format!("about {} left", duration(seconds))));
        format!("{}: {}", self.name, parts.join(", "))
    }

    fn text(&self) -> String {
        let columns = [
            "cell",
            "state",
            ">step",
            ">of",
            ">loss",
            ">tokens/s",
            ">left",
            ">took",
            "where",
            "last news",
            "reason",
        ];
        let mut table = Table::new(&columns);
        let filled = |value: Option<String>| value.unwrap_or_default();
        for cell in &self.cells {
            let steps = |n: u64| filled((cell.steps > 0).then(|| n.to_string()));
            let left = cell.now.as_ref().and_then(|now| now.seconds_left);
            table.row([
                cell.label.clone(),
                cell.state_words().to_string(),
                steps(cell.step),
                steps(cell.steps),
                filled(cell.loss.map(|loss| format!("{loss:.3}"))),
                filled(cell.tokens_per_second.map(amount)),
                filled(left.map(duration)),
                filled(cell.seconds.map(duration)),
                filled(cell.holder.as_ref().map(place)),
                filled(cell.updated.as_deref().map(ago)),
                filled(cell.reason.clone()),
            ]);
        }
        let table = table.without_empty();
        format!("{}\n{}\n", table.text(), self.counts())
    }
}

impl CellProgress {
    /// Its state; of a cell that runs, the phase.
    fn state_words(&self) -> &'static str {
        match (&self.now, self.state) {
            (Some(now), State::Running) => match now.phase {
                Phase::Searching => "searching",
                Phase::Training => "training",
                Phase::Measuring => "measuring",
            },
            (_, state) => word(state),
        }
    }

    /// Share of its work that is done.
    fn share(&self) -> f64 {
        match (&self.now, self.state) {
            (_, State::Done | State::Failed | State::Diverged) => 1.0,
            (Some(now), _) => now.done,
            (None, State::Waiting) => 0.0,
            (None, _) => self.step as f64 / self.steps.max(1) as f64,
        }
    }
}

/// `host 1234, slurm 12_3`.
fn place(holder: &Holder) -> String {
    let job = holder.job.as_deref().map(|job| format!(", {job}"));
    let (host, process) = (&holder.process.host, holder.process.pid);
    format!("{host} {process}{}", job.unwrap_or_default())
}

fn read(dir: &RunDir, cell: &PlannedCell, now: Option<SystemTime>) -> CellProgress {
    let loaded = dir.cell(cell);
    let lease_state = dir.lease_state(&cell.id, now.unwrap_or(SystemTime::UNIX_EPOCH));
    let (held, holder) = match lease_state {
        Ok(LeaseState::Held(holder)) => (true, holder),
        Ok(LeaseState::Free(_)) => (false, None),
        Err(_) => (true, None),
    };
    let (state, status) = (loaded.state(), loaded.status);
    let state = match state {
        // Its process was ended by force; whoever takes it next goes on with it.
        State::Running if !held => State::Interrupted,
        state => state,
    };
    let done = state == State::Done;
    let cost = loaded.cost.filter(|_| done);
    let now = status.as_ref().and_then(|status| status.now.clone());
    let now = now.filter(|_| state == State::Running);
    let curve = loaded.result.as_ref().map(|result| &result.train.curve);
    let last = curve.and_then(|curve| curve.last()).map(|point| point.1);
    let trained = cost.as_ref().map(|cost| cost.train_tokens_per_second);
    CellProgress {
        id: cell.id.clone(),
        label: cell.label.clone(),
        // Without a result, a file that cannot be read leaves it open how far the cell is.
        state: match loaded.unreadable {
            Some(_) => State::Failed,
            None => state,
        },
        step: status.as_ref().map_or(0, |s| s.step),
        steps: status.as_ref().map_or(0, |s| s.steps),
        updated: status.as_ref().map(|s| s.updated.clone()),
        holder: holder.filter(|_| !done),
        loss: now.as_ref().map_or(last, |now| now.loss),
        tokens_per_second: match &now {
            Some(now) => now.tokens_per_second,
            None => trained.filter(|speed| *speed > 0.0),
        },
        now,
        reason: loaded
            .unreadable
            .map(|why| format!("{why}; the same run makes it again"))
            .or_else(|| status.and_then(|s| s.reason)),
        seconds: cost.map(|c| c.train_seconds + c.evaluate_seconds),
        flops: cell.flops,
    }
}

/// Time left, if what is left goes as fast as what was done; before any cell is done, as those that run.
fn eta(cells: &[CellProgress]) -> Option<f64> {
    let measured = cells
        .iter()
        .filter_map(|cell| Some((cell.flops, cell.seconds?)));
    let left = |cell: &CellProgress| cell.flops * (1.0 - cell.share());
    let running = cells.iter().filter_map(|cell| {
        let seconds = cell.now.as_ref()?.seconds_left?;
        Some((left(cell), seconds))
    });
    let sum = |(f, s): (f64, f64), (flops, seconds): (f64, f64)| (f + flops, s + seconds);
    let done = measured.fold((0.0, 0.0), sum);
    let (flops, seconds) = match done.1 > 0.0 {
        true => done,
        false => running.fold((0.0, 0.0), sum),
    };
    if seconds <= 0.0 || flops <= 0.0 {
        return None;
    }
    let left: f64 = cells.iter().map(left).sum();
    let beside = cells
        .iter()
        .filter(|cell| cell.state == State::Running)
        .count()
        .max(1);
    Some(left / flops * seconds / beside as f64)
}

fn word(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Interrupted => "interrupted",
        State::Done => "done",
        State::Diverged => "diverged",
        State::Failed => "failed",
    }
}

/// `3 min 20 s ago`.
fn ago(time: &str) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else {
        return time.to_string();
    };
    let seconds = jiff::Timestamp::now().as_second() - time.as_second();
    format!("{} ago", duration(seconds.max(0) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(state: State, step: u64, flops: f64, seconds: Option<f64>) -> CellProgress {
        let (id, label) = (String::new(), String::new());
        CellProgress {
            id,
            label,
            state,
            step,
            steps: 100,
            now: None,
            loss: None,
            tokens_per_second: None,
            reason: None,
            updated: None,
            holder: None,
            seconds,
            flops,
        }
    }

    #[test]
    fn time_left_follows_the_work_done() {
        let done = || cell(State::Done, 100, 10.0, Some(5.0));
        assert_eq!(eta(&[cell(State::Running, 50, 10.0, None)]), None);
        // Half of one cell and all of another are left, one at a time: 7.5 seconds.
        let cells = [
            done(),
            cell(State::Running, 50, 10.0, None),
            cell(State::Waiting, 0, 10.0, None),
        ];
        assert_eq!(eta(&cells), Some(7.5));
        // Two at a time.
        let cells = [
            done(),
            cell(State::Running, 0, 10.0, None),
            cell(State::Running, 0, 10.0, None),
        ];
        assert_eq!(eta(&cells), Some(5.0));
        assert_eq!(
            eta(&[done(), cell(State::Failed, 3, 10.0, None)]),
            Some(0.0)
        );
    }
}
