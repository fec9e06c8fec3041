//! `plan`: what would run, and a forecast of what it costs; the run folder for workers, if asked for.

use super::configs::ConfigArgs;
use super::filter::Choice;
use super::run::options;
use super::table::{Table, amount, bytes, duration};
use super::work::Work;
use super::{Ended, json, print};
use crate::config::types::Run;
use crate::grid::{Kind, Rates, Speed};
use crate::{grid, machine};
use clap::Args;
use farspan_pe::Registry;
use farspan_reports::record::PlannedCell;
use serde::Serialize;
use std::path::{Path, PathBuf};

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
    measured_tokens: u64,
    flops: f64,
    /// Peak, of training and of measuring.
    memory_bytes: f64,
    /// Of the weights that stay.
    disk_bytes: u64,
    /// Beside the others; `None` where the device is not here.
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Forecast<'a> {
    name: &'a str,
    config_hash: &'a str,
    cells: Vec<Row<'a>>,
    flops: f64,
    /// Until all are done.
    seconds: Option<f64>,
    /// Cells that run at once.
    jobs: usize,
    cores: usize,
    /// What the times rest on, in floating-point operations per second of one cell.
    measured: Vec<Measured<'a>>,
    /// What has no times, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untimed: Vec<String>,
}

/// Speed of models that are alike.
#[derive(Debug, Serialize)]
struct Measured<'a> {
    #[serde(flatten)]
    kind: &'a Kind,
    #[serde(flatten)]
    rates: Rates,
}

/// Prints the plan of a run.
pub(super) fn show(run: &Run, choice: &Choice, registry: &Registry, as_json: bool) -> Ended {
    let plan = grid::plan(run, registry, Path::new(""))?;
    choice.check(&plan)?;
    let chosen = choice.of(&plan);
    let cells = plan.cells.iter().filter(|cell| chosen.contains(&cell.id));
    let cells: Vec<&PlannedCell> = cells.collect();
    // A plan is often made where its device is not.
    let speed = Speed::measure(&cells, registry);
    let untimed = match &speed {
        Ok(speed) => speed.untimed.clone(),
        Err(e) => vec![e.to_string()],
    };
    let speed = speed.ok().filter(|speed| !speed.rates.is_empty());
    let measured = speed.iter().flat_map(|speed| &speed.rates);
    let forecast = Forecast {
        name: &plan.name,
        config_hash: &plan.config_hash,
        cells: cells.iter().map(|cell| row(cell, speed.as_ref())).collect(),
        flops: cells.iter().map(|cell| cell.flops).sum(),
        seconds: speed.as_ref().map(|speed| speed.until_done(&cells, &plan)),
        jobs: speed.as_ref().map_or(1, |speed| speed.jobs),
        cores: machine::cores(),
        measured: measured
            .map(|(kind, &rates)| Measured { kind, rates })
            .collect(),
        untimed,
    };
    if as_json {
        json(&forecast)
    } else {
        print(&text(&forecast))
    }
}

fn row<'a>(cell: &'a PlannedCell, speed: Option<&Speed>) -> Row<'a> {
    Row {
        id: &cell.id,
        label: &cell.label,
        base: cell.base.as_deref(),
        parameters: cell.parameters,
        train_tokens: cell.train_tokens,
        measured_tokens: cell.measured_tokens,
        flops: cell.flops,
        memory_bytes: cell.memory_bytes,
        disk_bytes: cell.disk_bytes,
        seconds: speed.and_then(|speed| speed.seconds(cell)),
    }
}

fn text(forecast: &Forecast<'_>) -> String {
    let mut table = Table::new(&[
        "cell",
        ">parameters",
        ">tokens trained on",
        ">and measured",
        ">FLOP",
        ">memory",
        ">time",
    ]);
    for row in &forecast.cells {
        table.row([
            row.label.to_string(),
            amount(row.parameters as f64),
            amount(row.train_tokens as f64),
            amount(row.measured_tokens as f64),
            amount(row.flops),
            bytes(row.memory_bytes),
            row.seconds.map(duration).unwrap_or_default(),
        ]);
    }
    let disk = forecast.cells.iter().map(|row| row.disk_bytes).sum::<u64>();
    format!(
        "{}\n{}: {} cells, {}FLOP, {} of weights to keep; {}\n",
        table.text(),
        forecast.name,
        forecast.cells.len(),
        unit(forecast.flops),
        bytes(disk as f64),
        time(forecast),
    )
}

/// `about 9 min 5 s, 2 cells at once at 11.0 to 14.2 GFLOP/s each, measured just now`.
fn time(forecast: &Forecast<'_>) -> String {
    let Some(seconds) = forecast.seconds else {
        return format!("no forecast of time: {}", forecast.untimed.join("; "));
    };
    let without = match forecast.untimed.as_slice() {
        [] => String::new(),
        some => format!("; without what could not be timed ({})", some.join("; ")),
    };
    let rates = forecast.measured.iter().map(|m| m.rates.training);
    let (low, high) = rates.fold((f64::INFINITY, 0.0), |(low, high), rate| {
        (f64::min(low, rate), f64::max(high, rate))
    });
    let rate = match high > 1.05 * low {
        true => format!("{}FLOP/s to {}FLOP/s", unit(low), unit(high)),
        false => format!("{}FLOP/s", unit(high)),
    };
    let cores = match forecast.jobs {
        1 => "one cell at a time".to_string(),
        jobs => format!("{jobs} cells at once"),
    };
    format!(
        "about {}, {cores} at {rate}, measured just now{without}",
        duration(seconds)
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
