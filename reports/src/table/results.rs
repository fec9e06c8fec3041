//! The table of a study as it is printed: what stands in each cell, which marks it has, and the ways to write it down.

mod write;

use super::significant;
use crate::figure::{plain, state_word};
use crate::record::{Scale, Served};
use crate::stats::{Estimate, Interval};
use crate::summary::{
    MeasureInfo, ResultCell, ResultRow, Results, RunInfo, StudySummary, amount, most,
};

/// A table with marks: best values and served lengths.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// File name without its ending, unique within a run (`language-results-perplexity`).
    pub slug: String,
    /// What it shows, with the unit.
    pub caption: String,
    /// The first holds labels.
    pub columns: Vec<Column>,
    /// One for each curve.
    pub rows: Vec<Row>,
    /// What the marks and columns mean, a sentence each.
    pub notes: Vec<String>,
}

/// The head of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above the heads of neighbours that share it; may be empty.
    pub group: String,
    /// Its own head.
    pub head: String,
    /// Whether it holds numbers.
    pub number: bool,
    /// What depends on the reference in it.
    pub relation: Relation,
}

/// How a column depends on the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relation {
    /// It does not.
    #[default]
    None,
    /// It holds differences to it.
    Difference,
    /// It holds multiples of its cost.
    Multiple,
}

impl Column {
    fn of(self, relation: Relation) -> Column {
        Column { relation, ..self }
    }

    /// Class of its cells on a page.
    fn class(&self) -> &'static str {
        match self.relation {
            Relation::None => "",
            Relation::Difference => " against",
            Relation::Multiple => " cost",
        }
    }
}

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// As of the curve: its colour and marker.
    pub index: usize,
    /// Whether differences are to it.
    pub reference: bool,
    /// As many as there are columns.
    pub cells: Vec<Cell>,
}

/// What stands in a column of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Rounded, or a word.
    pub text: String,
    /// Not rounded, to sort by; none of a word.
    pub value: Option<f64>,
    /// Of the value.
    pub interval: Option<Interval>,
    /// Bold: best, or not significantly worse than the best.
    pub best: bool,
    /// Underlined: shown to be served.
    pub served: bool,
}

impl Cell {
    fn word(text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            ..Cell::default()
        }
    }

    fn number(text: String, value: f64) -> Cell {
        Cell {
            text,
            value: Some(value),
            ..Cell::default()
        }
    }
}

/// The tables of a study, the one to be shown first in front.
#[must_use]
pub fn sheets(study: &StudySummary, run: &RunInfo) -> Vec<Sheet> {
    study.results.iter().map(|r| sheet(study, run, r)).collect()
}

/// How values of a scale are printed in a column of their own: shares in percent.
fn value(x: f64, scale: Scale) -> String {
    match scale {
        _ if x.is_nan() => "not a number".into(),
        _ if x.is_infinite() => "infinite".into(),
        Scale::Share => format!("{:.1}", 100.0 * x),
        Scale::Exp | Scale::Plain => significant(x).replace('-', "−"),
    }
}

/// A difference of means: of shares in percentage points.
fn difference(found: Estimate, scale: Scale) -> String {
    let digits = if scale == Scale::Share { 1 } else { 3 };
    let factor = if scale == Scale::Share { 100.0 } else { 1.0 };
    let one = |x: f64| format!("{:+.digits$}", factor * x).replace('-', "−");
    match found.interval {
        _ if !found.value.is_finite() => value(found.value, scale),
        Some(i) => format!("{} [{}, {}]", one(found.value), one(i.low), one(i.high)),
        None => one(found.value),
    }
}

fn sheet(study: &StudySummary, run: &RunInfo, found: &Results) -> Sheet {
    let info = found.key.as_ref().and_then(|key| study.info(key));
    let what = match found.scale {
        Scale::Share => format!("{} (%)", found.quantity),
        Scale::Exp | Scale::Plain => found.quantity.clone(),
    };
    let column = |group: &str, head: String| Column {
        group: group.into(),
        head,
        number: true,
        relation: Relation::None,
    };
    let mut columns = vec![Column {
        group: String::new(),
        head: "scheme".into(),
        number: false,
        relation: Relation::None,
    }];
    let by_length = format!("{what} at length (tokens)");
    columns.extend(
        found
            .lengths
            .iter()
            .map(|l| column(&by_length, l.to_string())),
    );
    let rows = &found.rows;
    let has = |of: &dyn Fn(&ResultRow) -> bool| rows.iter().any(of);
    let reference = rows.iter().find(|r| r.reference).map(|r| r.label.as_str());
    let unit = match found.scale {
        Scale::Exp => "loss (nats)".to_string(),
        Scale::Share => "points".to_string(),
        Scale::Plain => found.quantity.clone(),
    };
    type Maker<'a> = Box<dyn Fn(&ResultRow) -> Cell + 'a>;
    let mut more: Vec<Maker<'_>> = Vec::new();
    if has(&|r| r.effective.is_some()) {
        columns.push(column("effective", "length".into()));
        more.push(Box::new(effective));
    }
    if let Some((at, reference)) = found.compared_at.zip(reference) {
        let head = column(&format!("{unit} against {reference}"), format!("at {at}"));
        columns.push(head.of(Relation::Difference));
        more.push(Box::new(|row| match &row.difference {
            None if row.reference => Cell::word("reference"),
            None => Cell::default(),
            Some(d) => Cell {
                interval: d.difference.interval,
                ..Cell::number(difference(d.difference, found.scale), d.difference.value)
            },
        }));
    }
    let times =
        |x: Option<f64>| x.map_or_else(Cell::default, |x| Cell::number(format!("{x:.2}"), x));
    let cost = reference.map_or_else(String::new, |r| format!("cost over {r}'s"));
    if has(&|r| r.speed.is_some()) {
        columns.push(column(&cost, "speed".into()).of(Relation::Multiple));
        more.push(Box::new(move |row| times(row.speed)));
    }
    if has(&|r| r.memory.is_some()) {
        columns.push(column(&cost, "memory".into()).of(Relation::Multiple));
        more.push(Box::new(move |row| times(row.memory)));
    }
    let row = |r: &ResultRow| Row {
        index: r.index,
        reference: r.reference,
        cells: [Cell::word(&r.label)]
            .into_iter()
            .chain(r.cells.iter().map(|c| cell(c, found.scale)))
            .chain(more.iter().map(|of| of(r)))
            .collect(),
    };
    let name = info.map_or("average", |m| &m.slug);
    Sheet {
        slug: format!("{}-results-{name}", crate::page::slug(&study.name, 40)),
        caption: format!(
            "{}: {}, {what} by length in tokens",
            study.name, found.title
        ),
        rows: rows.iter().map(row).collect(),
        columns,
        notes: notes(study, run, found, info),
    }
}

fn cell(found: &ResultCell, scale: Scale) -> Cell {
    match found {
        ResultCell::Found {
            shown,
            best,
            service,
        } => Cell {
            interval: shown.interval,
            best: best.bold(),
            served: *service == Some(crate::summary::Service::Served),
            ..Cell::number(value(shown.value, scale), shown.value)
        },
        ResultCell::Refused => Cell::word("refused"),
        ResultCell::Missing => Cell::word("not measured"),
        ResultCell::Absent(state) => Cell::word(state_word(*state)),
    }
}

/// `≥1024`; with a star where a shorter length is not served.
fn effective(row: &ResultRow) -> Cell {
    let Some(found) = &row.effective else {
        return Cell::default();
    };
    let star = if found.gaps.is_empty() { "" } else { "*" };
    Cell::number(format!("{}{star}", found.words()), found.length as f64)
}

/// What marks and columns mean.
fn notes(
    study: &StudySummary,
    run: &RunInfo,
    found: &Results,
    info: Option<&MeasureInfo>,
) -> Vec<String> {
    let level = format!("{}%", plain(100.0 * run.confidence));
    let once = study.seeds.len() < 2;
    let only = if once {
        "; with one seed, of these trainings only"
    } else {
        ""
    };
    let mut notes = vec![format!(
        "Bold: the best value of a column, and every value that is not significantly worse than it (paired, two-sided, {level} \
         simultaneous over the table{only})."
    )];
    let served = info.map(|m| (m, m.record.served));
    let bound = match served {
        Some((m, Served::Margin)) => Some(format!(
            "the {} is shown to get worse by less than {}{} from the trained length on",
            m.noun(),
            run.margin,
            m.unit()
        )),
        Some((m, Served::AtLeast(bound))) => Some(format!(
            "the {} is shown to be {} {}",
            m.noun(),
            most(m.record.better),
            amount(bound, m.record.scale)
        )),
        Some((m, Served::OfOwn(share))) => Some(format!(
            "the {} is shown to be at least {} of the scheme's own at the trained length",
            m.noun(),
            amount(share, Scale::Share)
        )),
        Some((_, Served::Never)) | None => None,
    };
    if let Some(bound) = bound {
        notes.push(format!(
            "Underlined: {bound}, by its whole {level} interval. Effective length: the longest such length; ≥ where it is the \
             longest evaluated."
        ));
    }
    let holes = |r: &ResultRow| {
        let found = r.effective.as_ref().filter(|e| !e.gaps.is_empty())?;
        Some(format!("{} {}", r.label, found.holes()))
    };
    let holes: Vec<String> = found.rows.iter().filter_map(holes).collect();
    if !holes.is_empty() {
        notes.push(format!(
            "* Shorter lengths are not served: {}.",
            holes.join("; ")
        ));
    }
    let compared = found.rows.iter().filter_map(|r| r.difference.as_ref());
    if let (Some(d), Some(reference)) = (compared.max_by_key(|d| d.comparisons), &study.reference) {
        let over = match d.comparisons {
            0 | 1 => String::new(),
            n => format!(", simultaneous over {n} comparisons"),
        };
        notes.push(format!(
            "Differences: scheme minus {}, paired over test units and seeds, with {level} intervals{over}{only}.",
            reference.label
        ));
    }
    if found.rows.iter().any(|r| r.speed.or(r.memory).is_some()) {
        notes.push(
            "Cost: training tokens per second and peak memory, as multiples of the reference's."
                .into(),
        );
    }
    notes
}
#[cfg(test)]
mod tests;
