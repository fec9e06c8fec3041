//! A summary, arranged as the template wants it: strings and lists, no decisions left.

mod about;

use about::{provenance, schemes};
use serde_json::Value;

use super::{Named, methods, named_figures, swatch};
use crate::figure::{Data, state_word};
use crate::record::{SchemeRecord, Stage};
use crate::summary::{CellState, RunInfo, SentenceKind, StudySummary, Summary};

/// One run of the page.
pub(super) struct RunView {
    pub(super) anchor: String,
    pub(super) name: String,
    pub(super) subtitle: String,
    pub(super) verdict: Vec<VerdictView>,
    pub(super) problems: Vec<String>,
    pub(super) studies: Vec<StudyView>,
    pub(super) schemes: Vec<SchemeView>,
    /// Name, value, whether it is shown as code.
    pub(super) provenance: Vec<(String, String, bool)>,
    pub(super) cells: Vec<CellView>,
    pub(super) resolved: Option<String>,
}

/// The statements of one study.
pub(super) struct VerdictView {
    pub(super) heading: String,
    pub(super) findings: Vec<String>,
    pub(super) caveats: Vec<String>,
}

/// One study.
pub(super) struct StudyView {
    pub(super) anchor: String,
    pub(super) heading: String,
    pub(super) intro: String,
    pub(super) facts: Vec<(String, String)>,
    pub(super) figures: Vec<FigureView>,
    /// What a paragraph is about, and the paragraph.
    pub(super) methods: Vec<(String, String)>,
}

/// One figure with its table.
pub(super) struct FigureView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) svg: String,
    pub(super) caption: String,
    pub(super) wide: bool,
    /// `35 rows`.
    pub(super) rows: String,
    pub(super) columns: Vec<(String, bool)>,
    /// Text and whether it is a number.
    pub(super) cells: Vec<Vec<(String, bool)>>,
    pub(super) csv: String,
    pub(super) latex: String,
}

/// One row of the table of schemes.
pub(super) struct SchemeView {
    pub(super) swatch: String,
    pub(super) label: String,
    pub(super) title: String,
    pub(super) idea: String,
    pub(super) stage: String,
    pub(super) formula: String,
    pub(super) settings: Vec<String>,
    pub(super) paper: String,
}

/// One row of the table of cells.
pub(super) struct CellView {
    pub(super) label: String,
    pub(super) state: String,
    pub(super) steps: String,
    pub(super) reason: String,
    pub(super) id: String,
}

impl RunView {
    /// The run with number `order` on the page.
    pub(super) fn new(summary: &Summary, order: usize) -> RunView {
        let anchor = format!("run{}", order + 1);
        let mut figures = named_figures(summary);
        let across = figures.pop().unwrap_or_default();
        let numbered = summary.studies.iter().zip(figures).enumerate();
        let mut studies: Vec<StudyView> = numbered
            .map(|(i, (study, figures))| {
                let place = format!("{anchor}-study{}", i + 1);
                StudyView::new(study, &summary.run, figures, &place, &anchor)
            })
            .collect();
        studies.extend(summary.aggregate.as_ref().map(|found| {
            StudyView {
                anchor: format!("{anchor}-tasks"),
                heading: "All tasks".into(),
                intro: format!(
                    "{} of {} studies together.",
                    count(found.tasks.len(), "task"),
                    summary.studies.len()
                ),
                facts: Vec::new(),
                figures: across
                    .into_iter()
                    .map(|f| FigureView::new(f, &anchor))
                    .collect(),
                methods: Vec::new(),
            }
        }));
        RunView {
            name: summary.run.name.clone(),
            subtitle: subtitle(summary),
            verdict: summary.studies.iter().map(VerdictView::new).collect(),
            problems: summary.problems.clone(),
            studies,
            schemes: schemes(summary),
            provenance: provenance(summary),
            cells: summary
                .studies
                .iter()
                .flat_map(|s| &s.cells)
                .map(CellView::new)
                .collect(),
            resolved: summary.run.resolved.clone(),
            anchor,
        }
    }
}

impl VerdictView {
    fn new(study: &StudySummary) -> VerdictView {
        let of = |kind: SentenceKind| {
            study
                .verdict
                .iter()
                .filter(|s| s.kind == kind)
                .map(|s| s.text.clone())
                .collect()
        };
        VerdictView {
            heading: heading(&study.name),
            findings: of(SentenceKind::Finding),
            caveats: of(SentenceKind::Caveat),
        }
    }
}

impl StudyView {
    fn new(
        study: &StudySummary,
        run: &RunInfo,
        figures: Vec<Named>,
        anchor: &str,
        page: &str,
    ) -> StudyView {
        StudyView {
            anchor: anchor.to_owned(),
            heading: heading(&study.name),
            intro: methods::intro(study),
            facts: facts(study),
            figures: figures
                .into_iter()
                .map(|f| FigureView::new(f, page))
                .collect(),
            methods: methods::paragraphs(study, run),
        }
    }
}

impl FigureView {
    fn new(named: Named, page: &str) -> FigureView {
        let Named { slug, figure } = named;
        let Data { columns, rows } = &figure.data;
        let cells = rows.iter().map(|row| {
            row.iter()
                .zip(columns)
                .map(|(cell, column)| (cell.clone(), column.1))
                .collect()
        });
        FigureView {
            id: format!("{page}-{slug}"),
            svg: figure.drawing.inline(),
            wide: figure.wide,
            rows: count(rows.len(), "row"),
            columns: columns.clone(),
            cells: cells.collect(),
            csv: figure.data.csv(),
            latex: figure.data.latex(&figure.title, &slug),
            title: figure.title,
            caption: figure.caption,
        }
    }
}

impl CellView {
    fn new(cell: &CellState) -> CellView {
        CellView {
            label: cell.label.clone(),
            state: if cell.unreadable {
                "unreadable".to_owned()
            } else {
                state_word(cell.state).to_owned()
            },
            steps: cell
                .progress
                .map_or_else(String::new, |(done, all)| format!("{done} of {all}")),
            reason: cell.reason.clone().unwrap_or_default(),
            id: cell.id.clone(),
        }
    }
}

/// A study's name as a heading.
fn heading(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}

/// `3 seeds`, `1 row`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!(
        "{} {what}{}",
        grouped(n as u64),
        if n == 1 { "" } else { "s" }
    )
}

/// `12 345 678` with narrow spaces, so that long numbers can be read.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

fn subtitle(summary: &Summary) -> String {
    let counts = summary.run.counts;
    let done = match counts.done == counts.planned {
        true => count(counts.planned, "cell"),
        false => format!("{} of {} done", counts.done, count(counts.planned, "cell")),
    };
    format!(
        "Positional encodings past the trained length · {} · {done} · Farspan {}",
        date(&summary.run.created),
        summary.run.version
    )
}

/// A day that people read; as written where it is no RFC 3339 time.
fn date(written: &str) -> String {
    match written.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%-d %B %Y").to_string(),
        Err(_) => written.to_owned(),
    }
}

fn facts(study: &StudySummary) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    let lengths: Vec<String> = study
        .trained_lengths
        .iter()
        .map(ToString::to_string)
        .collect();
    if !lengths.is_empty() {
        fact("Trained length", format!("{} tokens", lengths.join(", ")));
    }
    if let Some(longest) = longest(study) {
        fact(
            "Longest evaluated",
            format!("{} tokens", grouped(longest as u64)),
        );
    }
    let of_curves = study.curves.iter().map(|c| c.scheme_index);
    let mut schemes: Vec<usize> = of_curves
        .chain(study.absent.iter().map(|a| a.scheme_index))
        .collect();
    schemes.sort_unstable();
    schemes.dedup();
    fact("Schemes", schemes.len().to_string());
    fact("Seeds", study.seeds.len().to_string());
    if let Some(curve) = study.curves.first() {
        let many = study
            .curves
            .iter()
            .any(|c| c.model.parameters != curve.model.parameters);
        let about = if many { "about " } else { "" };
        fact(
            "Parameters",
            format!("{about}{}", grouped(curve.model.parameters)),
        );
    }
    facts
}

fn longest(study: &StudySummary) -> Option<usize> {
    let measured = study.curves.iter().flat_map(|c| &c.measured);
    measured.flat_map(|m| &m.points).map(|p| p.length).max()
}
