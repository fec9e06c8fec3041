//! One row per number that was measured, as CSV and as JSON lines.

use crate::figure::csv_line;
use crate::record::{CellRecord, MeasureRecord, PointRecord, Refusal, State};
use crate::store::{LoadedCell, LoadedRun};
use crate::summary::label;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Nothing,
    Text(String),
    Int(i64),
    Real(f64),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Real,
}

/// One unit of a point, or why there is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Row<'a> {
    Unit(&'a MeasureRecord, &'a PointRecord, usize),
    Refused(&'a Refusal),
    State,
}

/// Reads a column of a row.
type Field = Box<dyn Fn(&LoadedRun, &LoadedCell, &Row<'_>) -> Item>;

/// Its name, what it holds, and how it is read.
pub(super) type Column = (String, Kind, Field);

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

/// Text of a row's measure; nothing where it is empty.
fn of_row(row: &Row<'_>, unit: fn(&MeasureRecord) -> &str, refused: fn(&Refusal) -> &str) -> Item {
    let found = match row {
        Row::Unit(measure, ..) => unit(measure),
        Row::Refused(refusal) => refused(refusal),
        Row::State => "",
    };
    if found.is_empty() {
        Item::Nothing
    } else {
        text(found)
    }
}

/// A number of a unit.
fn of_unit(row: &Row<'_>, f: impl Fn(&MeasureRecord, &PointRecord, usize) -> Option<f64>) -> Item {
    match row {
        Row::Unit(measure, point, unit) => real(f(measure, point, *unit)),
        Row::Refused(_) | Row::State => Item::Nothing,
    }
}

/// The columns in order: which cell, which measurement, what came out; then what the measures of this run have of their
/// own, factors, facts of points and columns of units.
pub(super) fn columns(run: &LoadedRun) -> Vec<Column> {
    let mut all: Vec<Column> = Vec::new();
    let mut add = |name: &str, kind: Kind, field: Field| all.push((name.into(), kind, field));
    use Kind::{Int, Real, Text};
    add("run", Text, Box::new(|run, _, _| text(&run.plan.name)));
    add("study", Text, Box::new(|_, c, _| text(&c.planned.study)));
    add("cell", Text, Box::new(|_, c, _| text(&c.planned.id)));
    add(
        "label",
        Text,
        Box::new(|_, c, _| text(label(&c.planned.scheme, c.planned.stage))),
    );
    add("scheme", Text, Box::new(|_, c, _| text(&c.planned.scheme)));
    add(
        "scheme_id",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(&r.scheme.id))),
    );
    add("stage", Text, Box::new(|_, c, _| text(stage(c))));
    add(
        "base",
        Text,
        Box::new(|_, c, _| {
            of_result(c, |r| {
                r.scheme.base.clone().map_or(Item::Nothing, Item::Text)
            })
        }),
    );
    add(
        "settings",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(r.scheme.settings.to_string()))),
    );
    add(
        "seed",
        Int,
        Box::new(|_, c, _| i64::try_from(c.planned.seed).map_or(Item::Nothing, Item::Int)),
    );
    add("state", Text, Box::new(|_, c, _| text(state(c))));
    add(
        "reason",
        Text,
        Box::new(|_, c, r| reason(c, r).map_or(Item::Nothing, Item::Text)),
    );
    add(
        "trained_length",
        Int,
        Box::new(|_, c, _| int(c.result.as_ref().map(|r| r.trained_length))),
    );
    add(
        "measure",
        Text,
        Box::new(|_, _, r| of_row(r, |m| &m.measure, |r| &r.measure)),
    );
    add(
        "of",
        Text,
        Box::new(|_, _, r| of_row(r, |m| &m.of, |r| &r.of)),
    );
    add(
        "view",
        Text,
        Box::new(|_, _, r| of_row(r, |m| &m.view, |_| "")),
    );
    add(
        "length",
        Int,
        Box::new(|_, _, r| match r {
            Row::Unit(_, point, _) => int(Some(point.length)),
            Row::Refused(refusal) => int(Some(refusal.length)),
            Row::State => Item::Nothing,
        }),
    );
    add(
        "unit",
        Int,
        Box::new(|_, _, r| match r {
            Row::Unit(_, _, unit) => int(Some(*unit)),
            Row::Refused(_) | Row::State => Item::Nothing,
        }),
    );
    add(
        "value",
        Real,
        Box::new(|_, _, r| of_unit(r, |_, p, i| p.value.get(i).copied())),
    );
    add(
        "weight",
        Real,
        Box::new(|_, _, r| of_unit(r, |_, p, i| Some(p.weight(i)))),
    );
    add(
        "device",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(&r.engine.device))),
    );
    add(
        "attention",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(&r.engine.attention))),
    );
    add(
        "version",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(&r.engine.version))),
    );
    add(
        "data_hash",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(&r.data.hash))),
    );
    add(
        "tokenizer_hash",
        Text,
        Box::new(|_, c, _| of_result(c, |r| text(&r.data.tokenizer_hash))),
    );
    own(run, &mut all);
    all
}

/// The columns of a run's own measures. Names that are taken get the kind in front.
fn own(run: &LoadedRun, all: &mut Vec<Column>) {
    let measures = || run.results().flat_map(|(_, r)| &r.measures);
    let points = || measures().flat_map(|m| &m.points);
    let factors: BTreeSet<&String> = measures()
        .flat_map(|m| m.factors.iter().map(|f| &f.name))
        .collect();
    let facts: BTreeSet<&String> = points().flat_map(|p| p.facts.keys()).collect();
    let columns: BTreeSet<&String> = points().flat_map(|p| p.columns.keys()).collect();
    let mut add = |kind: &str, name: &str, field: Field| {
        let safe = crate::page::slug(name, 40).replace('-', "_");
        let tried = [safe.clone(), format!("{kind}_{safe}")].into_iter();
        let mut tried = tried.chain((2..).map(|n| format!("{kind}_{safe}_{n}")));
        let taken = |n: &String| {
            all.iter().any(|c| &c.0 == n) || n.starts_with(|c: char| c.is_ascii_digit())
        };
        if let Some(free) = tried.find(|n| !taken(n)) {
            all.push((free, Kind::Real, field));
        }
    };
    for name in factors {
        let name = name.clone();
        let at = |name: String| -> Field {
            Box::new(move |_, _, r| {
                of_unit(r, |m, p, _| {
                    let place = m.factors.iter().position(|f| f.name == name)?;
                    p.at.get(place).copied()
                })
            })
        };
        add("factor", &name, at(name.clone()));
    }
    for name in facts {
        let key = name.clone();
        add(
            "fact",
            name,
            Box::new(move |_, _, r| of_unit(r, |_, p, _| p.facts.get(&key).copied())),
        );
    }
    for name in columns {
        let key = name.clone();
        add(
            "column",
            name,
            Box::new(move |_, _, r| of_unit(r, |_, p, i| p.columns.get(&key)?.0.get(i).copied())),
        );
    }
}

/// Why a length was refused, or a cell has no result.
fn reason(cell: &LoadedCell, row: &Row<'_>) -> Option<String> {
    match row {
        Row::Unit(..) => None,
        Row::Refused(refusal) => Some(format!("refused: {}", refusal.reason)),
        Row::State => {
            let said = cell.status.as_ref().and_then(|s| s.reason.clone());
            cell.unreadable.clone().or(said)
        }
    }
}

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
pub(super) fn rows(cell: &LoadedCell) -> Vec<Row<'_>> {
    let Some(record) = &cell.result else {
        return vec![Row::State];
    };
    let points = record
        .measures
        .iter()
        .flat_map(|m| m.points.iter().map(move |p| (m, p)));
    let units = points.flat_map(|(m, p)| (0..p.value.len()).map(move |i| Row::Unit(m, p, i)));
    units
        .chain(record.refused.iter().map(Row::Refused))
        .collect()
}

/// Every row of a run with its cell.
pub(super) fn all(run: &LoadedRun) -> impl Iterator<Item = (&LoadedCell, Row<'_>)> {
    run.cells
        .iter()
        .flat_map(|cell| rows(cell).into_iter().map(move |row| (cell, row)))
}

pub(super) fn csv(run: &LoadedRun) -> Vec<u8> {
    let columns = columns(run);
    let heads: Vec<&str> = columns.iter().map(|c| c.0.as_str()).collect();
    let mut out = format!("{}\n", csv_line(&heads));
    for (cell, row) in all(run) {
        let item = |(_, _, field): &Column| match field(run, cell, &row) {
            Item::Nothing => String::new(),
            Item::Text(x) => x,
            Item::Int(x) => x.to_string(),
            Item::Real(x) => x.to_string(),
        };
        let items: Vec<String> = columns.iter().map(item).collect();
        out.push_str(&csv_line(&items));
        out.push('\n');
    }
    out.into_bytes()
}

pub(super) fn jsonl(run: &LoadedRun) -> Vec<u8> {
    let columns = columns(run);
    let mut out = Vec::new();
    for (cell, row) in all(run) {
        let mut object = Map::new();
        let mut non_finite = Map::new();
        for (name, _, field) in &columns {
            let value = match field(run, cell, &row) {
                Item::Nothing => continue,
                Item::Text(x) => json!(x),
                Item::Int(x) => json!(x),
                Item::Real(x) if x.is_finite() => json!(x),
                Item::Real(x) => {
                    let word = match x {
                        f64::INFINITY => "inf",
                        f64::NEG_INFINITY => "-inf",
                        _ => "nan",
                    };
                    non_finite.insert(name.clone(), json!(word));
                    Value::Null
                }
            };
            object.insert(name.clone(), value);
        }
        if !non_finite.is_empty() {
            object.insert("non_finite".into(), Value::Object(non_finite));
        }
        out.extend(Value::Object(object).to_string().into_bytes());
        out.push(b'\n');
    }
    out
}
