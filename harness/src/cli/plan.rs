//! `plan`: what would run, and a forecast of what it costs; the run folder for workers, if asked for.

use super::configs::ConfigArgs;
use super::filter::Choice;
use super::run::options;
use super::table::{Table, amount, bytes, duration};
use super::work::Work;
use super::{Ended, json, print};
use crate::config::types::Run;
use crate::{grid, machine};
use clap::Args;
use farspan_pe::Registry;
use farspan_reports::record::PlannedCell;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Assumed speed of one core on small models, in floating-point operations per second.
const FLOPS_PER_CORE: f64 = 20e9;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan plan my.toml\n  \
    farspan plan my.toml train.steps=5000 -k retrieval --json\n  \
    farspan plan my.toml --out runs/mine    # the folder is made; `farspan work runs/mine` joins it, anywhere")]
pub(super) struct Plan {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    choice: Choice,
    /// Make this run folder, for workers to join; whatever is chosen, it has all cells
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(super) fn run(self, registry: &Registry, command: String) -> Ended {
        let loaded = self.config.load(registry)?;
        if self.out.is_some() {
            let options = options(&loaded, self.out, Work::default(), command);
            grid::prepare(&loaded.run, &options, registry)?;
        }
        show(&loaded.run, &self.choice, registry, self.json)
    }
}

/// One cell with its forecast.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    label: &'a str,
    base: Option<&'a str>,
    parameters: u64,
    train_tokens: u64,
    flops: f64,
    /// Peak, of training and of measuring.
    memory_bytes: f64,
    /// Of the weights that stay.
    disk_bytes: u64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Forecast<'a> {
    name: &'a str,
    config_hash: &'a str,
    cells: Vec<Row<'a>>,
    flops: f64,
    /// With all cores busy.
    seconds: f64,
    /// What the times rest on.
    assumed_flops_per_second_and_core: f64,
    cores: usize,
}

/// Prints the plan of a run.
pub(super) fn show(run: &Run, choice: &Choice, registry: &Registry, as_json: bool) -> Ended {
    let plan = grid::plan(run, registry, Path::new(""))?;
    choice.check(&plan)?;
    let chosen = choice.of(&plan);
    let cells = plan.cells.iter().filter(|cell| chosen.contains(&cell.id));
    let cells: Vec<Row<'_>> = cells.map(row).collect();
    let flops: f64 = cells.iter().fold(0.0, |sum, row| sum + row.flops);
    let cores = machine::cores();
    let longest = cells.iter().map(|row| row.seconds).fold(0.0, f64::max);
    let forecast = Forecast {
        name: &plan.name,
        config_hash: &plan.config_hash,
        flops,
        seconds: (flops / (FLOPS_PER_CORE * cores as f64)).max(longest),
        assumed_flops_per_second_and_core: FLOPS_PER_CORE,
        cores,
        cells,
    };
    if as_json {
        json(&forecast)
    } else {
        print(&text(&forecast))
    }
}

fn row(cell: &PlannedCell) -> Row<'_> {
    Row {
        id: &cell.id,
        label: &cell.label,
        base: cell.base.as_deref(),
        parameters: cell.parameters,
        train_tokens: cell.train_tokens,
        flops: cell.flops,
        memory_bytes: cell.memory_bytes,
        disk_bytes: cell.disk_bytes,
        seconds: cell.flops / FLOPS_PER_CORE,
    }
}

fn text(forecast: &Forecast<'_>) -> String {
    let mut table = Table::new(&[
        "cell",
        ">parameters",
        ">train tokens",
        ">FLOP",
        ">memory",
        ">time on a core",
    ]);
    for row in &forecast.cells {
        table.row([
            row.label.to_string(),
            amount(row.parameters as f64),
            amount(row.train_tokens as f64),
            amount(row.flops),
            bytes(row.memory_bytes),
            duration(row.seconds),
        ]);
    }
    format!(
        "{}\n{}: {} cells, {}FLOP, {} of weights to keep; about {} on {} cores, if a core does {}FLOP/s (an \
         assumption, not measured here)\n",
        table.text(),
        forecast.name,
        forecast.cells.len(),
        unit(forecast.flops),
        bytes(forecast.cells.iter().map(|row| row.disk_bytes).sum::<u64>() as f64),
        duration(forecast.seconds),
        forecast.cores,
        unit(FLOPS_PER_CORE),
    )
}

/// An amount with room for its unit.
fn unit(x: f64) -> String {
    let amount = amount(x);
    if amount.ends_with(|c: char| c.is_ascii_digit()) {
        format!("{amount} ")
    } else {
        amount
    }
}
