//! A summary, arranged as the template wants it: strings and lists, no decisions left.

mod about;

use about::{provenance, schemes};
use askama::Template;
use serde_json::Value;

use super::{Named, methods, named_figures, sheet_id, swatch};
use crate::figure::{Data, state_word};
use crate::record::{SchemeRecord, Stage};
use crate::summary::{CellState, SentenceKind, StudySummary, Summary};
use crate::table::results::{Sheet, sheets};

/// One run of the page.
pub(super) struct RunView {
    pub(super) anchor: String,
    pub(super) name: String,
    pub(super) subtitle: String,
    pub(super) problems: Vec<String>,
    pub(super) studies: Vec<StudyView>,
    pub(super) schemes: Vec<SchemeView>,
    /// Name, value, whether it is shown as code.
    pub(super) provenance: Vec<(String, String, bool)>,
    pub(super) cells: Vec<CellView>,
    pub(super) resolved: Option<String>,
}

/// One study.
pub(super) struct StudyView {
    pub(super) anchor: String,
    pub(super) heading: String,
    pub(super) intro: String,
    pub(super) facts: Vec<(String, String)>,
    /// The picture that says most.
    pub(super) headline: Option<FigureView>,
    /// The tables that the study is summed up by.
    pub(super) sheets: Vec<SheetView>,
    /// At most three sentences to be quoted.
    pub(super) quotable: Vec<String>,
    /// What else the numbers support.
    pub(super) findings: Vec<String>,
    /// What they do not.
    pub(super) caveats: Vec<String>,
    pub(super) figures: Vec<FigureView>,
    /// What a paragraph is about, and the paragraph.
    pub(super) methods: Vec<(String, String)>,
}

/// A table that a study is summed up by.
#[derive(Template)]
#[template(path = "sheet.html")]
pub(super) struct SheetView {
    pub(super) id: String,
    pub(super) caption: String,
    pub(super) html: String,
    pub(super) notes: Vec<String>,
    pub(super) latex: String,
}

/// A row of settings: its curve, and texts with whether each was given.
pub(super) type SettingsRow = (Option<usize>, Vec<(String, bool)>);

/// Rows of a table that a page holds; what has more stands in its file alone, or the page of a hundred curves would be
/// tens of megabytes of tables that nobody opens.
const MOST_ROWS: usize = 1000;

/// One figure with its table.
#[derive(Template)]
#[template(path = "figure.html")]
pub(super) struct FigureView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) svg: String,
    pub(super) caption: String,
    pub(super) wide: bool,
    /// `35 rows`.
    pub(super) rows: String,
    /// Whether these are too many for a page.
    pub(super) too_many: bool,
    /// Where the table is written beside the page.
    pub(super) file: Option<String>,
    pub(super) columns: Vec<(String, bool)>,
    /// The curve that a row is of, if it is of one; text and whether it is a number.
    pub(super) cells: Vec<SettingsRow>,
}

/// One row of the table of schemes.
pub(super) struct SchemeView {
    pub(super) index: usize,
    pub(super) swatch: String,
    pub(super) label: String,
    pub(super) title: String,
    pub(super) idea: String,
    pub(super) stage: String,
    pub(super) formula: String,
    /// Settings that the config gives.
    pub(super) given: Vec<String>,
    /// All others.
    pub(super) defaults: Vec<String>,
    /// Where it was published: words, an arXiv id, words behind it.
    pub(super) paper: (String, String, String),
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
    pub(super) fn new(
        summary: &Summary,
        order: usize,
        tables: Option<&str>,
    ) -> Result<RunView, askama::Error> {
        let anchor = format!("run{}", order + 1);
        let mut figures = named_figures(summary);
        let across = figures.pop().unwrap_or_default();
        let numbered = summary.studies.iter().zip(figures).enumerate();
        let of = |(i, (study, figures)): (usize, (&StudySummary, Vec<Named>))| {
            let place = format!("{anchor}-study{}", i + 1);
            StudyView::new(study, summary, figures, &place, (&anchor, tables))
        };
        let studies: Result<Vec<StudyView>, askama::Error> = numbered.map(of).collect();
        let mut studies = studies?;
        // What all tasks show together is the first thing to see; what one of many studies costs is not.
        let first = if summary.aggregate.is_some() {
            0
        } else {
            studies.len()
        };
        let together = across_view(summary, across, (&anchor, tables));
        studies.splice(first..first, together);
        Ok(RunView {
            name: summary.run.name.clone(),
            subtitle: subtitle(summary),
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
        })
    }
}

/// The section of all tasks or studies together, if there is something to say of them.
fn across_view(
    summary: &Summary,
    figures: Vec<Named>,
    page: (&str, Option<&str>),
) -> Option<StudyView> {
    let curves = labels(summary.studies.iter());
    let mut figures = figures
        .into_iter()
        .map(|f| FigureView::new(f, page, &curves))
        .peekable();
    figures.peek()?;
    let studies = format!("{} studies", summary.studies.len());
    let (heading, intro) = match &summary.aggregate {
        Some(found) => {
            let tasks = count(found.tasks.len(), "task");
            ("All tasks", format!("{tasks} of {studies} together."))
        }
        None => ("All studies", format!("{studies} together.")),
    };
    Some(StudyView {
        anchor: format!("{}-tasks", page.0),
        heading: heading.into(),
        intro,
        facts: Vec::new(),
        headline: figures.next(),
        sheets: Vec::new(),
        quotable: Vec::new(),
        findings: Vec::new(),
        caveats: Vec::new(),
        figures: figures.collect(),
        methods: Vec::new(),
    })
}

/// Every curve's label and index.
fn labels<'a>(studies: impl Iterator<Item = &'a StudySummary>) -> Vec<(String, usize)> {
    let of = |s: &'a StudySummary| {
        let gone = s.absent.iter().map(|a| (a.label.clone(), a.index));
        let curves = s.curves.iter().map(|c| (c.label.clone(), c.index));
        curves.chain(gone)
    };
    studies.flat_map(of).collect()
}

impl StudyView {
    fn new(
        study: &StudySummary,
        summary: &Summary,
        figures: Vec<Named>,
        anchor: &str,
        page: (&str, Option<&str>),
    ) -> Result<StudyView, askama::Error> {
        let curves = labels(std::iter::once(study));
        let mut figures = figures
            .into_iter()
            .map(|f| FigureView::new(f, page, &curves));
        let said = |kinds: &[SentenceKind]| {
            let of_kind = study.verdict.iter().filter(|s| kinds.contains(&s.kind));
            of_kind.map(|s| s.text.clone()).collect()
        };
        let sheet = |sheet: Sheet| {
            let id = sheet_id(page.0, &sheet.slug);
            Ok(SheetView {
                html: sheet.html(&id)?,
                id,
                latex: sheet.latex(),
                caption: sheet.caption,
                notes: sheet.notes,
            })
        };
        let sheets: Result<Vec<SheetView>, askama::Error> =
            sheets(study, &summary.run).into_iter().map(sheet).collect();
        Ok(StudyView {
            anchor: anchor.to_owned(),
            heading: heading(&study.name),
            intro: methods::intro(study),
            facts: facts(study),
            headline: figures.next(),
            sheets: sheets?,
            quotable: said(&[SentenceKind::Quotable]),
            findings: said(&[SentenceKind::Finding]),
            caveats: said(&[SentenceKind::Design, SentenceKind::Caveat]),
            figures: figures.collect(),
            methods: methods::paragraphs(study, &summary.run),
        })
    }
}

impl FigureView {
    fn new(
        named: Named,
        (page, tables): (&str, Option<&str>),
        curves: &[(String, usize)],
    ) -> FigureView {
        let Named { slug, figure } = named;
        let Data { columns, rows } = &figure.data;
        let too_many = rows.len() > MOST_ROWS;
        let shown = if too_many { &[] } else { &rows[..] };
        let cells = shown.iter().map(|row| {
            let label = row.first();
            let curve = curves.iter().find(|(l, _)| Some(l) == label);
            let cells = row.iter().zip(columns);
            let cells = cells.map(|(cell, column)| (cell.clone(), column.1));
            (curve.map(|c| c.1), cells.collect())
        });
        FigureView {
            id: format!("{page}-{slug}"),
            svg: figure.drawing.inline(),
            wide: figure.wide(),
            rows: count(rows.len(), "row"),
            too_many,
            file: tables.map(|prefix| format!("{prefix}{slug}.csv")),
            columns: columns.clone(),
            cells: cells.collect(),
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
