//! `watch`: bars, losses and training curves of a run until it ends.

use super::curves::{self, Curve};
use super::{CellProgress, Ended, Progress, print};
use crate::cli::table::shown;
use crate::grid::words;
use clap::Args;
use console::Term;
use farspan_reports::record::State;
use farspan_reports::store::RunDir;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time between looks.
const EVERY: Duration = Duration::from_secs(2);
/// Time between signs of life off a terminal.
const BEAT: Duration = Duration::from_secs(60);
/// Characters of a bar.
const BAR: usize = 24;
/// Heights of the chart in lines, at least and at most.
const CHART: (usize, usize) = (6, 16);

#[derive(Debug, Args)]
#[command(after_help = "Example: farspan watch runs/quickstart\n\n\
    On a terminal: a bar for each cell that runs, and training curves. Elsewhere a line for each change, and one a minute.")]
pub(in crate::cli) struct Watch {
    /// Run folder
    dir: PathBuf,
    /// Print a line of JSON for each change
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(in crate::cli) fn run(&self) -> Ended {
        let dir = RunDir::open(&self.dir)?;
        let plan = dir.plan()?;
        let term = Term::stdout();
        let (mut last, mut told) = (String::new(), Instant::now());
        loop {
            let progress = Progress::read(&dir, &plan);
            let counts = progress.counts();
            if self.json {
                if state(&progress) != last || told.elapsed() >= BEAT {
                    let line = serde_json::to_string(&progress)
                        .map_err(|e| crate::Error::Bug(e.to_string()))?;
                    print(&format!("{line}\n"))?;
                    (last, told) = (state(&progress), Instant::now());
                }
            } else if term.is_term() {
                let (height, width) = term.size();
                let screen = screen(&progress, &dir, (width.into(), height.into()));
                // Line by line, so that nothing flickers.
                print(&format!("\x1b[H{}\x1b[J", screen.replace('\n', "\x1b[K\n")))?;
            } else if state(&progress) != last {
                print(&format!("{counts}\n"))?;
                (last, told) = (state(&progress), Instant::now());
            } else if told.elapsed() >= BEAT {
                print(&format!("{}\n", beat(&progress)))?;
                told = Instant::now();
            }
            if progress.is_over() {
                return Ok(0);
            }
            std::thread::sleep(EVERY);
        }
    }
}

/// What a line is worth writing for: how many cells are in which state, without the time left.
fn state(progress: &Progress) -> String {
    let states = progress.cells.iter().map(|cell| cell.state as u8);
    String::from_utf8_lossy(&states.map(|state| b'0' + state).collect::<Vec<_>>()).into_owned()
}

fn beat(progress: &Progress) -> String {
    let told = |cell: &&CellProgress| format!("{} {}", cell.label, cell.words());
    let cells: Vec<String> = progress
        .running()
        .iter()
        .take(curves::MOST)
        .map(told)
        .collect();
    format!("{}; {}", progress.counts(), cells.join("; "))
}

impl Progress {
    fn running(&self) -> Vec<&CellProgress> {
        let cells = self.cells.iter();
        cells.filter(|cell| cell.state == State::Running).collect()
    }
}

impl CellProgress {
    fn words(&self) -> String {
        match &self.now {
            Some(now) => words(now, (self.step, self.steps)),
            None => "starting".into(),
        }
    }
}

/// All that a terminal of this width and height has room for.
fn screen(progress: &Progress, dir: &RunDir, (width, height): (usize, usize)) -> String {
    let fit = |line: String| {
        shown(&line)
            .chars()
            .take(width.saturating_sub(1))
            .collect::<String>()
    };
    let shares = progress.cells.iter().map(|cell| (cell.flops, cell.share()));
    let (done, all) = shares.fold((0.0, 0.0), |(d, a), (flops, share)| {
        (d + flops * share, a + flops)
    });
    let mut lines = vec![
        fit(progress.counts()),
        bar(done / f64::max(all, 1.0), width.min(80)),
    ];
    let room = (height / 3).max(2);
    let running = progress.running();
    let names = running.iter().map(|cell| cell.label.chars().count());
    let widest = names.max().unwrap_or(0);
    for cell in running.iter().take(room) {
        let label = format!("{:widest$}", cell.label);
        lines.push(fit(format!(
            "{label}  {}  {}",
            bar(cell.share(), BAR),
            cell.words()
        )));
    }
    if running.len() > room {
        lines.push(fit(format!("and {} more that run", running.len() - room)));
    }
    let wrong = |cell: &&CellProgress| matches!(cell.state, State::Failed | State::Diverged);
    for cell in progress.cells.iter().filter(wrong).take(room) {
        let reason = cell.reason.as_deref().unwrap_or("");
        lines.push(fit(format!(
            "{} {}: {reason}",
            cell.label,
            super::word(cell.state)
        )));
    }
    let curves = curves(progress, dir);
    let left = height.saturating_sub(lines.len() + curves.len() + 5);
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let high = left.clamp(CHART.0, CHART.1);
    let chart = match left >= CHART.0 {
        true => curves::draw(&curves, (width.saturating_sub(1), high), coloured),
        false => String::new(),
    };
    format!("{}\n{chart}", lines.join("\n"))
}

/// `━━━━━╸   `.
fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64) as usize;
    let head = if full > 0 && full < width { "╸" } else { "" };
    let body = "━".repeat(full - usize::from(!head.is_empty()));
    format!("{body}{head}{}", " ".repeat(width - full))
}

/// Curves of the cells that run, then of those that were done last.
fn curves(progress: &Progress, dir: &RunDir) -> Vec<Curve> {
    let mut done: Vec<&CellProgress> = progress
        .cells
        .iter()
        .filter(|c| c.state == State::Done)
        .collect();
    done.sort_by(|a, b| b.updated.cmp(&a.updated));
    let cells = progress.running().into_iter().chain(done);
    let curve = |cell: &CellProgress| Curve {
        name: shown(&cell.label),
        points: points(dir, &cell.id),
    };
    let drawn = cells.map(curve).filter(|curve| !curve.points.is_empty());
    drawn.take(curves::MOST).collect()
}

/// The points of a cell's curve, from its log. A step that was done again after a stop counts once.
fn points(dir: &RunDir, id: &str) -> Vec<(f64, f64)> {
    let events = dir
        .events(id)
        .map(|events| events.lines)
        .unwrap_or_default();
    let point =
        |event: &serde_json::Value| Some((event["step"].as_u64()?, event["loss"].as_f64()?));
    let points: BTreeMap<u64, f64> = events.iter().filter_map(point).collect();
    points
        .into_iter()
        .map(|(step, loss)| (step as f64, loss))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_up() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "━╸  ");
        assert_eq!(bar(1.0, 4), "━━━━");
        assert_eq!(bar(7.0, 4), "━━━━");
        assert_eq!(bar(f64::NAN, 2), "  ");
    }
}
