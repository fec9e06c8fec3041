//! The results of `eval`, for people and as JSON.

use super::super::Failure;
use super::super::table::Table;
use super::{CONFIDENCE, Eval};
use crate::Error;
use crate::measure::perplexity::{Protocol, Unit};
use farspan_reports::record::{CellRecord, MeasureRecord, PointRecord, Role};
use farspan_reports::stats::{Estimate, Interval, Panel};
use farspan_reports::store::RunDir;
use serde::Serialize;
use std::path::PathBuf;

/// What `eval` has found.
#[derive(Serialize)]
pub(super) struct Report {
    run: PathBuf,
    data: String,
    bos: &'static str,
    unit: Unit,
    boundaries: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    scheme: String,
    length: usize,
    protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scored: Option<Scored>,
    /// Why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_defined: Option<String>,
    by_position: Vec<Part>,
}

/// Sums over the scored tokens of a row.
#[derive(Serialize)]
struct Scored {
    perplexity: f64,
    /// Of the perplexity, over segments; nothing for a single one.
    interval: Option<Interval>,
    nats_per_token: f64,
    /// Nothing if the scored tokens stand for no bytes, or if not every token weighs alike.
    bits_per_byte: Option<f64>,
    tokens: u64,
    bytes: u64,
    segments: usize,
}

/// Mean loss of targets with `from` + 1 to `to` tokens of context.
#[derive(Serialize)]
struct Part {
    from: usize,
    to: usize,
    nats_per_token: f64,
}

impl Eval {
    pub(super) fn report(
        &self,
        dir: &RunDir,
        run: PathBuf,
        notes: Vec<String>,
    ) -> Result<Report, Failure> {
        let mut rows = Vec::new();
        let mut data = String::new();
        for cell in &dir.plan().map_err(Error::from)?.cells {
            let record = dir.result_of(cell).map_err(Error::from)?;
            let lacks = || Error::Bug(format!("{}: done without a result", cell.label));
            let record = record.ok_or_else(lacks)?;
            data.clone_from(&record.data.description);
            rows.extend(self.rows(&record));
        }
        Ok(Report {
            run,
            data,
            bos: self.bos.words(),
            unit: self.unit(),
            boundaries: "no window crosses the end of a document",
            notes,
            rows,
        })
    }

    fn rows(&self, record: &CellRecord) -> Vec<Row> {
        let protocol = self.protocol.protocol();
        let row = |length, stride, scored, not_defined| Row {
            scheme: record.scheme.name.clone(),
            length,
            protocol,
            stride,
            scored,
            not_defined,
            by_position: by_position(record, length),
        };
        let served = points(record, Role::ByLength).map(|p| {
            let stride = p.facts.get("stride").map(|&stride| stride as usize);
            let all = [Protocol::NonOverlap, Protocol::Prefix].contains(&protocol);
            let stride = stride.filter(|_| !all);
            row(p.length, stride, Some(scored(p)), None)
        });
        let refused = record.refused.iter();
        let refused = refused.map(|r| row(r.length, None, None, Some(r.reason.clone())));
        served.chain(refused).collect()
    }
}

/// The points of what was measured, which is perplexity alone.
fn points(record: &CellRecord, role: Role) -> impl Iterator<Item = &PointRecord> {
    let of = record.measures.iter().filter(move |m| m.role == role);
    of.flat_map(|m: &MeasureRecord| &m.points)
}

fn by_position(record: &CellRecord, length: usize) -> Vec<Part> {
    let buckets: Vec<&PointRecord> = points(record, Role::Profile)
        .filter(|p| p.length == length)
        .collect();
    let from = |p: &&PointRecord| p.at[0] as usize;
    let ends = buckets.iter().skip(1).map(from).chain([length]);
    let part = |(p, to): (&&PointRecord, usize)| Part {
        from: from(p),
        to,
        nats_per_token: p.value.iter().sum::<f64>() / p.weight.iter().sum::<f64>(),
    };
    buckets.iter().zip(ends).map(part).collect()
}

fn scored(point: &PointRecord) -> Scored {
    let weight: f64 = point.weight.iter().sum();
    let column = |name| Some(point.columns.get(name)?.0.iter().sum::<f64>());
    let (bytes, counted) = (column("bytes").unwrap_or(0.0), column("tokens"));
    let row = point
        .value
        .iter()
        .copied()
        .zip(point.weight.iter().copied());
    let nats: f64 = point.value.iter().sum();
    let mean = nats / weight;
    let alone = Estimate {
        value: mean,
        interval: None,
    };
    let estimate =
        Panel::new(vec![row.collect()]).map_or(alone, |panel| panel.estimate(CONFIDENCE));
    Scored {
        perplexity: mean.exp(),
        interval: estimate.map(f64::exp).interval,
        nats_per_token: mean,
        bits_per_byte: (bytes > 0.0 && counted.is_none())
            .then(|| nats / std::f64::consts::LN_2 / bytes),
        tokens: counted.unwrap_or(weight) as u64,
        bytes: bytes as u64,
        segments: point.value.len(),
    }
}

pub(super) fn text(report: &Report) -> String {
    let columns = [
        "scheme",
        "protocol",
        ">length",
        ">perplexity",
        ">95 % interval",
        ">bits/byte",
        ">scored tokens",
    ];
    let mut table = Table::new(&columns);
    for row in &report.rows {
        let protocol = match row.stride {
            Some(last) if row.protocol == Protocol::FixedTarget => {
                format!("{} of {last}", row.protocol.name())
            }
            Some(stride) => format!("{} by {stride}", row.protocol.name()),
            None => row.protocol.name().to_string(),
        };
        let numbers = match &row.scored {
            Some(s) => [
                format!("{:.4}", s.perplexity),
                s.interval
                    .map_or("-".into(), |i| format!("{:.3} to {:.3}", i.low, i.high)),
                s.bits_per_byte
                    .map_or("-".into(), |bits| format!("{bits:.4}")),
                s.tokens.to_string(),
            ],
            None => ["not defined".into(), "-".into(), "-".into(), "0".into()],
        };
        let mut cells = vec![row.scheme.clone(), protocol, row.length.to_string()];
        cells.extend(numbers);
        table.row(cells);
    }
    let unit = match report.unit {
        Unit::Stretch => "stretches of the longest length",
        Unit::Document => "whole documents",
    };
    format!(
        "{}\nBOS {}; {}; segments are {unit}, the same at every length and under every scheme\nrun folder {}\n",
        table.text(),
        report.bos,
        report.boundaries,
        report.run.display()
    )
}
