//! One row per number that was measured, as CSV and as JSON lines.

use crate::figure::csv_line;
use crate::record::{CellRecord, State};
use crate::store::{LoadedCell, LoadedRun};
use crate::summary::label;
use crate::table::protocol_word;
use serde_json::{Map, Value, json};

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Nothing,
    Text(String),
    Int(i64),
    Real(f64),
    Bool(bool),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Real,
    Bool,
}

/// One measured number with everything it depends on. Which fields are set depends on the measure.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    measure: &'static str,
    protocol: Option<&'static str>,
    length: Option<usize>,
    stride: Option<usize>,
    depth: Option<f64>,
    distance: Option<usize>,
    position: Option<usize>,
    unit: Option<usize>,
    nll: Option<f64>,
    tokens: Option<u64>,
    bytes: Option<u64>,
    hit: Option<bool>,
    symbols: Option<u32>,
    log_prob: Option<f64>,
    reason: Option<String>,
}

/// Reads a column of a row.
type Field = fn(&LoadedRun, &LoadedCell, &Row) -> Item;

fn text(x: impl Into<String>) -> Item {
    Item::Text(x.into())
}

fn int(x: Option<usize>) -> Item {
    x.and_then(|x| i64::try_from(x).ok())
        .map_or(Item::Nothing, Item::Int)
}

fn real(x: Option<f64>) -> Item {
    x.map_or(Item::Nothing, Item::Real)
}

/// From the cell's result; nothing for a cell without one.
fn of_result(cell: &LoadedCell, f: impl Fn(&CellRecord) -> Item) -> Item {
    cell.result.as_ref().map_or(Item::Nothing, f)
}

/// The columns in order. A row tells which cell, which measurement, and what came out.
pub(super) const COLUMNS: [(&str, Kind, Field); 32] = [
    ("run", Kind::Text, |run, _, _| text(&run.plan.name)),
    ("study", Kind::Text, |_, c, _| text(&c.planned.study)),
    ("cell", Kind::Text, |_, c, _| text(&c.planned.id)),
    ("label", Kind::Text, |_, c, _| {
        text(label(&c.planned.scheme, c.planned.stage))
    }),
    ("scheme", Kind::Text, |_, c, _| text(&c.planned.scheme)),
    ("scheme_id", Kind::Text, |_, c, _| {
        of_result(c, |r| text(&r.scheme.id))
    }),
    ("stage", Kind::Text, |_, c, _| text(stage(c))),
    ("base", Kind::Text, |_, c, _| {
        of_result(c, |r| {
            r.scheme.base.clone().map_or(Item::Nothing, Item::Text)
        })
    }),
    ("settings", Kind::Text, |_, c, _| {
        of_result(c, |r| text(r.scheme.settings.to_string()))
    }),
    ("seed", Kind::Int, |_, c, _| {
        i64::try_from(c.planned.seed).map_or(Item::Nothing, Item::Int)
    }),
    ("state", Kind::Text, |_, c, _| text(state(c))),
    ("reason", Kind::Text, |_, _, r| {
        r.reason.clone().map_or(Item::Nothing, Item::Text)
    }),
    ("trained_length", Kind::Int, |_, c, _| {
        int(c.result.as_ref().map(|r| r.trained_length))
    }),
    ("measure", Kind::Text, |_, _, r| text(r.measure)),
    ("protocol", Kind::Text, |_, _, r| {
        r.protocol.map_or(Item::Nothing, text)
    }),
    ("length", Kind::Int, |_, _, r| int(r.length)),
    ("stride", Kind::Int, |_, _, r| int(r.stride)),
    ("depth", Kind::Real, |_, _, r| real(r.depth)),
    ("distance", Kind::Int, |_, _, r| int(r.distance)),
    ("position", Kind::Int, |_, _, r| int(r.position)),
    ("unit", Kind::Int, |_, _, r| int(r.unit)),
    ("nll", Kind::Real, |_, _, r| real(r.nll)),
    ("tokens", Kind::Int, |_, _, r| {
        r.tokens
            .map_or(Item::Nothing, |x| int(usize::try_from(x).ok()))
    }),
    ("bytes", Kind::Int, |_, _, r| {
        r.bytes
            .map_or(Item::Nothing, |x| int(usize::try_from(x).ok()))
    }),
    ("hit", Kind::Bool, |_, _, r| {
        r.hit.map_or(Item::Nothing, Item::Bool)
    }),
    ("symbols", Kind::Int, |_, _, r| {
        r.symbols.map_or(Item::Nothing, |x| Item::Int(i64::from(x)))
    }),
    ("log_prob", Kind::Real, |_, _, r| real(r.log_prob)),
    ("device", Kind::Text, |_, c, _| {
        of_result(c, |r| text(&r.engine.device))
    }),
    ("attention", Kind::Text, |_, c, _| {
        of_result(c, |r| text(&r.engine.attention))
    }),
    ("version", Kind::Text, |_, c, _| {
        of_result(c, |r| text(&r.engine.version))
    }),
    ("data_hash", Kind::Text, |_, c, _| {
        of_result(c, |r| text(&r.data.hash))
    }),
    ("tokenizer_hash", Kind::Text, |_, c, _| {
        of_result(c, |r| text(&r.data.tokenizer_hash))
    }),
];

fn stage(cell: &LoadedCell) -> &'static str {
    use crate::record::Stage;
    match cell.planned.stage {
        Stage::Trained => "trained",
        Stage::ZeroShot => "zero-shot",
        Stage::FineTuned => "fine-tuned",
    }
}

fn state(cell: &LoadedCell) -> &'static str {
    match cell.state() {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Interrupted => "interrupted",
        State::Done => "done",
        State::Diverged => "diverged",
        State::Failed => "failed",
    }
}

/// All rows of a cell. A cell without a result has one row with its state and the reason; a refused length has one too.
pub(super) fn rows(cell: &LoadedCell) -> Vec<Row> {
    let Some(record) = &cell.result else {
        let said = cell.status.as_ref().and_then(|s| s.reason.clone());
        return vec![Row {
            measure: "state",
            reason: cell.unreadable.clone().or(said),
            ..Row::default()
        }];
    };
    let mut rows = Vec::new();
    for p in &record.perplexity {
        for unit in 0..p.nll.len() {
            rows.push(Row {
                measure: "perplexity",
                protocol: Some(protocol_word(p.protocol)),
                length: Some(p.length),
                stride: Some(p.stride),
                unit: Some(unit),
                nll: Some(p.nll[unit]),
                tokens: Some(p.tokens[unit]),
                bytes: Some(p.bytes[unit]),
                ..Row::default()
            });
        }
    }
    if let Some(p) = &record.position {
        for (unit, losses) in p.nll.iter().enumerate() {
            for (&start, &nll) in p.starts.iter().zip(losses) {
                rows.push(Row {
                    measure: "position",
                    length: Some(p.length),
                    position: Some(start),
                    unit: Some(unit),
                    nll: Some(nll),
                    ..Row::default()
                });
            }
        }
    }
    for p in &record.passkey {
        for unit in 0..p.hits.len() {
            rows.push(Row {
                measure: "passkey",
                length: Some(p.length),
                depth: Some(p.depth),
                distance: Some(p.distance),
                unit: Some(unit),
                hit: Some(p.hits[unit]),
                symbols: Some(p.symbols[unit]),
                log_prob: Some(p.log_prob[unit]),
                ..Row::default()
            });
        }
    }
    rows.extend(record.refused.iter().map(|r| Row {
        measure: "refused",
        length: Some(r.length),
        reason: Some(format!("{}: {}", r.measure, r.reason)),
        ..Row::default()
    }));
    rows
}

/// Every row of a run with its cell.
pub(super) fn all(run: &LoadedRun) -> impl Iterator<Item = (&LoadedCell, Row)> {
    run.cells
        .iter()
        .flat_map(|cell| rows(cell).into_iter().map(move |row| (cell, row)))
}

pub(super) fn csv(run: &LoadedRun) -> Vec<u8> {
    let mut out = format!("{}\n", csv_line(&COLUMNS.map(|c| c.0)));
    for (cell, row) in all(run) {
        let items = COLUMNS.map(|(_, _, field)| match field(run, cell, &row) {
            Item::Nothing => String::new(),
            Item::Text(x) => x,
            Item::Int(x) => x.to_string(),
            Item::Real(x) => x.to_string(),
            Item::Bool(x) => x.to_string(),
        });
        out.push_str(&csv_line(&items));
        out.push('\n');
    }
    out.into_bytes()
}

pub(super) fn jsonl(run: &LoadedRun) -> Vec<u8> {
    let mut out = Vec::new();
    for (cell, row) in all(run) {
        let mut object = Map::new();
        let mut non_finite = Map::new();
        for (name, _, field) in COLUMNS {
            let value = match field(run, cell, &row) {
                Item::Nothing => continue,
                Item::Text(x) => json!(x),
                Item::Int(x) => json!(x),
                Item::Bool(x) => json!(x),
                Item::Real(x) if x.is_finite() => json!(x),
                Item::Real(x) => {
                    let word = match x {
                        f64::INFINITY => "inf",
                        f64::NEG_INFINITY => "-inf",
                        _ => "nan",
                    };
                    non_finite.insert(name.into(), json!(word));
                    Value::Null
                }
            };
            object.insert(name.into(), value);
        }
        if !non_finite.is_empty() {
            object.insert("non_finite".into(), Value::Object(non_finite));
        }
        out.extend(Value::Object(object).to_string().into_bytes());
        out.push(b'\n');
    }
    out
}
