//! `status` and `watch`: how far a run is, from its folder alone.

use super::table::{Table, duration};
use super::{Ended, json, print};
use clap::Args;
use farspan_reports::record::{PlannedCell, RunPlan, State};
use farspan_reports::store::{Holder, RunDir, Standing};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const EVERY: Duration = Duration::from_secs(2);

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

#[derive(Debug, Args)]
#[command(after_help = "Example: farspan watch runs/quickstart")]
pub(super) struct Watch {
    /// Run folder
    dir: PathBuf,
}

impl Watch {
    /// On a terminal the table is drawn anew; elsewhere a line is written when the count changes.
    pub(super) fn run(&self) -> Ended {
        let dir = RunDir::open(&self.dir)?;
        let plan = dir.plan()?;
        let terminal = std::io::stdout().is_terminal();
        let mut last = String::new();
        loop {
            let progress = Progress::read(&dir, &plan);
            let counts = progress.counts();
            if terminal {
                print(&format!("\x1b[2J\x1b[H{}", progress.text()))?;
            } else if counts != last {
                print(&format!("{counts}\n"))?;
                last = counts;
            }
            if progress.is_over() {
                return Ok(0);
            }
            std::thread::sleep(EVERY);
        }
    }
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
    reason: Option<String>,
    updated: Option<String>,
    /// Host, process and job of the worker that makes it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
    #[serde(skip)]
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
            "where",
            "last news",
            "reason",
        ];
        let mut table = Table::new(&columns);
        for cell in &self.cells {
            let steps = |n: u64| {
                if cell.steps > 0 {
                    n.to_string()
                } else {
                    String::new()
                }
            };
            table.row([
                cell.label.clone(),
                word(cell.state).to_string(),
                steps(cell.step),
                steps(cell.steps),
                cell.holder.as_ref().map(place).unwrap_or_default(),
                cell.updated.as_deref().map(ago).unwrap_or_default(),
                cell.reason.clone().unwrap_or_default(),
            ]);
        }
        format!("{}\n{}\n", table.text(), self.counts())
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
    let standing = dir.standing(&cell.id, now.unwrap_or(SystemTime::UNIX_EPOCH));
    let (held, holder) = match standing {
        Ok(Standing::Held(holder)) => (true, holder),
        Ok(Standing::Free(_)) => (false, None),
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
        reason: loaded
            .unreadable
            .map(|why| format!("{why}; the same run makes it again"))
            .or_else(|| status.and_then(|s| s.reason)),
        seconds: cost.map(|c| c.train_seconds + c.evaluate_seconds),
        flops: cell.flops,
    }
}

/// Time left, if what is left goes as fast as what was done.
fn eta(cells: &[CellProgress]) -> Option<f64> {
    let measured = cells
        .iter()
        .filter_map(|cell| Some((cell.flops, cell.seconds?)));
    let (flops, seconds) = measured.fold((0.0, 0.0), |(f, s), (flops, seconds)| {
        (f + flops, s + seconds)
    });
    if seconds <= 0.0 || flops <= 0.0 {
        return None;
    }
    let share_left = |cell: &CellProgress| match cell.state {
        State::Waiting => 1.0,
        State::Running | State::Interrupted => 1.0 - cell.step as f64 / cell.steps.max(1) as f64,
        State::Done | State::Failed | State::Diverged => 0.0,
    };
    let left: f64 = cells.iter().map(|cell| cell.flops * share_left(cell)).sum();
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
