//! What a person sees while cells run: one bar per cell and one for the grid; off a terminal a line per cell, and one a
//! minute that says how those that run are.

use crate::cli::{amount, duration};
use farspan_reports::record::{Activity, Phase, PlannedCell, RunPlan, Status};
use farspan_reports::store::RunDir;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress of the grid.
pub(super) struct Board {
    bars: Option<MultiProgress>,
    total: ProgressBar,
    cells: BTreeMap<String, ProgressBar>,
    /// Forecast work of the chosen cells, and how much of it is done.
    work: f64,
    done: f64,
    started: Instant,
    done_before: f64,
    count: (usize, usize),
    /// When status files were looked at last.
    looked: Instant,
    quiet: bool,
}

/// Time between looks at status files, for bars and for lines.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// Parts of a bar.
const PARTS: f64 = 1000.0;
/// Running cells that a line names.
const NAMED: usize = 4;

impl Board {
    pub(super) fn new(plan: &RunPlan, chosen: &BTreeSet<String>, quiet: bool) -> Board {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bars = terminal.then(MultiProgress::new);
        let total = ProgressBar::new(PARTS as u64).with_style(style("{prefix:32} {bar:24} {msg}"));
        let total = match &bars {
            Some(bars) => bars.add(total),
            None => ProgressBar::hidden(),
        };
        total.set_prefix(plan.name.clone());
        let cells = plan.cells.iter().filter(|c| chosen.contains(&c.id));
        let (n, work) = cells.fold((0, 0.0), |(n, work), cell| (n + 1, work + cell.flops));
        Board {
            bars,
            total,
            cells: BTreeMap::new(),
            work,
            done: 0.0,
            started: Instant::now(),
            done_before: 0.0,
            count: (0, n),
            looked: Instant::now(),
            quiet,
        }
    }

    /// Looks at the status files of the running cells, where it is time to.
    pub(super) fn update<'a>(
        &mut self,
        dir: &RunDir,
        running: impl Iterator<Item = &'a PlannedCell>,
    ) {
        let pause = match self.bars {
            Some(_) => LOOKS.0,
            None => LOOKS.1,
        };
        if self.quiet || self.looked.elapsed() < pause {
            return;
        }
        self.looked = Instant::now();
        // A status that cannot be read is replaced by its cell soon.
        let look = |cell: &'a PlannedCell| (cell, dir.status(&cell.id).ok().flatten());
        let running: Vec<_> = running.map(look).collect();
        let share = |status: &Status| status.now.as_ref().map_or(0.0, |now| now.done);
        let work = running.iter().map(|(cell, status)| match status {
            Some(status) => cell.flops * share(status),
            None => 0.0,
        });
        let work = self.done + work.sum::<f64>();
        let Some(bars) = &self.bars else {
            self.note(&self.beat(&running, work));
            return;
        };
        for (cell, status) in running {
            let bar = self.cells.entry(cell.id.clone()).or_insert_with(|| {
                let bar = ProgressBar::new(PARTS as u64)
                    .with_style(style("{prefix:32} {bar:24} {wide_msg}"));
                let bar = bars.insert_before(&self.total, bar);
                bar.set_prefix(cell.label.clone());
                bar
            });
            if let Some(status) = status {
                bar.set_position((PARTS * share(&status)) as u64);
                bar.set_message(told(&status));
            }
        }
        self.total
            .set_position((PARTS * work / self.work.max(1.0)) as u64);
        let (done, all) = self.count;
        self.total
            .set_message(format!("{done}/{all} cells, {}", self.eta(work)));
    }

    /// A line that says that the run is alive, and how far its cells are.
    fn beat(&self, running: &[(&PlannedCell, Option<Status>)], work: f64) -> String {
        let one = |(cell, status): &(&PlannedCell, Option<Status>)| {
            let words = status.as_ref().map_or(String::new(), told);
            format!("{} {words}", cell.label).trim_end().to_string()
        };
        let mut parts: Vec<String> = running.iter().take(NAMED).map(one).collect();
        if running.len() > NAMED {
            parts.push(format!("{} more", running.len() - NAMED));
        }
        if parts.is_empty() {
            parts.push("waiting for other workers".into());
        }
        let (done, all) = self.count;
        format!("[{done}/{all}, {}] {}", self.eta(work), parts.join("; "))
    }

    /// Time left, from the forecast work done per second so far.
    fn eta(&self, work: f64) -> String {
        let fresh = work - self.done_before;
        if fresh <= 0.0 {
            return "ETA unknown yet".into();
        }
        let left = self.started.elapsed().as_secs_f64() / fresh * (self.work - work).max(0.0);
        format!("ETA {}", duration(left))
    }

    /// A cell came to an end.
    pub(super) fn done(&mut self, cell: &PlannedCell, how: &str) {
        self.count.0 += 1;
        self.done += cell.flops;
        if how.ends_with("before") {
            self.done_before += cell.flops;
        }
        if let Some(bar) = self.cells.remove(&cell.id) {
            bar.finish_and_clear();
        }
        let eta = if self.count.0 < self.count.1 {
            format!(", {}", self.eta(self.done))
        } else {
            String::new()
        };
        self.note(&format!(
            "[{}/{}{eta}] {}: {how}",
            self.count.0, self.count.1, cell.label
        ));
    }

    /// One line that even a quiet run tells.
    #[expect(clippy::print_stderr, reason = "warnings belong on stderr")]
    pub(super) fn warn(&self, line: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(format!("warning: {line}"))),
            None => eprintln!("warning: {line}"),
        }
    }

    /// One line, above the bars where there are bars.
    #[expect(clippy::print_stderr, reason = "progress belongs on stderr")]
    pub(super) fn note(&self, line: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(line)),
            None if !self.quiet => eprintln!("{line}"),
            None => {}
        }
    }

    pub(super) fn finish(&mut self) {
        for (_, bar) in std::mem::take(&mut self.cells) {
            bar.finish_and_clear();
        }
        self.total.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

/// What a cell does: `training 450/1000, loss 2.310, 12.3 k tokens/s, 2 min 5 s left`.
pub(crate) fn words(now: &Activity, (step, steps): (u64, u64)) -> String {
    let mut parts = vec![match now.phase {
        Phase::Searching => format!("searching {step}/{steps}"),
        Phase::Training => format!("training {step}/{steps}"),
        Phase::Measuring => "measuring".into(),
    }];
    parts.extend(now.loss.map(|loss| format!("loss {loss:.3}")));
    let speed = now.tokens_per_second;
    parts.extend(speed.map(|speed| format!("{} tokens/s", amount(speed))));
    let left = now.seconds_left;
    parts.extend(left.map(|seconds| format!("{} left", duration(seconds))));
    parts.join(", ")
}

/// The same of a status; empty where its process did not tell yet.
fn told(status: &Status) -> String {
    let now = status.now.as_ref();
    now.map_or(String::new(), |now| words(now, (status.step, status.steps)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use farspan_reports::fixture;
    use farspan_reports::record::{SCHEMA_VERSION, State};

    fn status(loss: Option<f64>) -> Status {
        Status {
            schema_version: SCHEMA_VERSION,
            state: State::Running,
            step: 450,
            steps: 1000,
            reason: None,
            updated: String::new(),
            now: Some(Activity {
                phase: Phase::Training,
                done: 0.25,
                loss,
                tokens_per_second: Some(12_345.0),
                seconds_left: Some(125.0),
            }),
            pid: None,
        }
    }

    #[test]
    fn a_line_names_what_runs_with_loss_speed_and_time_left() {
        let plan = fixture::run(&fixture::Options::default()).plan;
        let chosen = plan.cells.iter().map(|cell| cell.id.clone()).collect();
        let board = Board::new(&plan, &chosen, false);
        let all = plan.cells.len();
        let running: Vec<_> = plan.cells.iter().take(1).collect();
        let running: Vec<_> = running
            .into_iter()
            .map(|c| (c, Some(status(Some(2.31)))))
            .collect();
        let line = board.beat(&running, 0.0);
        let expected = format!(
            "[0/{all}, ETA unknown yet] {} training 450/1000, loss 2.310, 12.3 k tokens/s, 2 min 5 s left",
            plan.cells[0].label
        );
        assert_eq!(line, expected);
        let many: Vec<_> = plan.cells.iter().take(6).map(|cell| (cell, None)).collect();
        assert!(board.beat(&many, 0.0).ends_with("; 2 more"));
        assert!(board.beat(&[], 0.0).ends_with("waiting for other workers"));
    }
}
