//! What a person sees while cells run: one bar per cell and one for the grid, or plain lines off a terminal.

use farspan_reports::record::{PlannedCell, RunPlan};
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
    looked: Option<Instant>,
    quiet: bool,
}

/// Time between looks at status files.
const LOOKS: Duration = Duration::from_millis(250);

impl Board {
    pub(super) fn new(plan: &RunPlan, chosen: &BTreeSet<String>, quiet: bool) -> Board {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bars = terminal.then(MultiProgress::new);
        let total = ProgressBar::new(1000).with_style(style("{prefix:24} {bar:32} {msg}"));
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
            looked: None,
            quiet,
        }
    }

    /// Looks at the status files of the running cells.
    pub(super) fn update<'a>(
        &mut self,
        dir: &RunDir,
        running: impl Iterator<Item = &'a PlannedCell>,
    ) {
        let Some(bars) = &self.bars else {
            return;
        };
        if self.looked.is_some_and(|last| last.elapsed() < LOOKS) {
            return;
        }
        self.looked = Some(Instant::now());
        let mut work = self.done;
        for cell in running {
            let bar = self.cells.entry(cell.id.clone()).or_insert_with(|| {
                let bar = ProgressBar::new(1)
                    .with_style(style("{prefix:38} {bar:24} {pos}/{len} {eta:>4} {msg}"));
                let bar = bars.insert_before(&self.total, bar);
                bar.set_prefix(cell.label.clone());
                bar
            });
            // One that cannot be read is replaced by the cell soon.
            if let Ok(Some(status)) = dir.status(&cell.id) {
                bar.set_length(status.steps);
                bar.set_position(status.step);
                bar.set_message(if status.step >= status.steps {
                    "measuring"
                } else {
                    ""
                });
                work += cell.flops * status.step as f64 / status.steps.max(1) as f64;
            }
        }
        self.total
            .set_position((1000.0 * work / self.work.max(1.0)) as u64);
        self.total.set_message(format!(
            "{}/{} cells, {}",
            self.count.0,
            self.count.1,
            self.eta(work)
        ));
    }

    /// Time left, from the forecast work done per second so far.
    fn eta(&self, work: f64) -> String {
        let fresh = work - self.done_before;
        if fresh <= 0.0 {
            return "ETA unknown yet".into();
        }
        let left = self.started.elapsed().as_secs_f64() / fresh * (self.work - work).max(0.0);
        format!(
            "ETA {}",
            indicatif::HumanDuration(Duration::from_secs_f64(left))
        )
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
