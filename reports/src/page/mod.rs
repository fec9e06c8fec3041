//! The report: one HTML page that needs no network, and the figures and tables beside it.
//!
//! The page is made from [`Summary`] values alone. Everything that came from a user (names, settings, reasons) is
//! escaped by the template, and what is not seen but turns or breaks what is (marks of direction, controls) is made visible; the page's own style sheet and script are allowed by their hashes and nothing else is, so
//! that even a hole in the escaping could neither run code nor reach a network.

mod assets;
mod data;
mod methods;
mod view;
mod write;

use askama::Template;
use std::borrow::Cow;

use crate::figure::{Drawing, Figure, FigureError, across, figures, hides};
use crate::store::StoreError;
use crate::summary::{StudySummary, Summary};
use view::RunView;

pub use write::{Written, write_report, write_summaries};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A run folder could not be read, or a file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A figure could not be rendered.
    #[error("figure {figure}: {source}")]
    Figure {
        /// Its file name without ending.
        figure: String,
        /// Why.
        source: FigureError,
    },
    /// The page could not be filled in.
    #[error("filling in the page: {0}")]
    Template(#[from] askama::Error),
    /// No run was given.
    #[error("a report needs at least one run folder, found none")]
    Empty,
}

/// Escapes values for the template, which names it in `askama.toml`. Ends of lines and tabs stay: tables and configs
/// have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible;

impl askama::filters::Escaper for Visible {
    fn write_escaped_str<W: std::fmt::Write>(&self, to: W, text: &str) -> std::fmt::Result {
        let odd = |c: char| hides(c) && !matches!(c, '\n' | '\r' | '\t');
        let shown = match text.contains(odd) {
            true => Cow::Owned(text.replace(odd, "\u{fffd}")),
            false => Cow::Borrowed(text),
        };
        askama::filters::Html.write_escaped_str(to, &shown)
    }
}

/// The page as the template sees it.
#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    title: String,
    policy: String,
    style: String,
    script: &'static str,
    data: String,
    runs: Vec<RunView>,
}

/// The page of one or more runs, one section each, for a place without files beside it.
///
/// # Errors
/// [`PageError::Empty`] without a run; [`PageError::Template`] if a value cannot be shown.
pub fn render(runs: &[Summary]) -> Result<String, PageError> {
    page(runs, |_| None)
}

/// The page; `tables` tells what the paths of a run's tables start with, where they are written.
fn page(runs: &[Summary], tables: impl Fn(usize) -> Option<String>) -> Result<String, PageError> {
    let data = data::all(runs);
    let views = runs.iter().enumerate();
    let views = views.map(|(i, summary)| RunView::new(summary, i, tables(i).as_deref()));
    let views: Result<Vec<RunView>, askama::Error> = views.collect();
    let runs = views?;
    if runs.is_empty() {
        return Err(PageError::Empty);
    }
    let names: Vec<&str> = runs.iter().map(|r| r.name.as_str()).collect();
    let style = assets::style();
    let page = Page {
        title: names.join(" · "),
        policy: assets::policy(&style, assets::SCRIPT),
        style,
        script: assets::SCRIPT,
        data,
        runs,
    };
    Ok(page.render()?)
}

/// The identity of a table that a study is summed up by.
fn sheet_id(page: &str, slug: &str) -> String {
    format!("{page}-{slug}")
}

/// A figure of a study under the name that it has in a report: unique within the run, fit for a file and an anchor.
struct Named {
    slug: String,
    figure: Figure,
}

/// All figures of a run, study by study; last those of all studies together.
fn named_figures(summary: &Summary) -> Vec<Vec<Named>> {
    let mut taken: Vec<String> = Vec::new();
    let mut name = |study: &str, figure: Figure| {
        let base = format!("{}-{}", slug(study, 40), figure.slug);
        let tried = (2..).map(|n| format!("{base}-{n}"));
        let mut all = std::iter::once(base.clone()).chain(tried);
        let slug = all.find(|wanted| !taken.contains(wanted)).unwrap_or(base);
        taken.push(slug.clone());
        Named { slug, figure }
    };
    let mut of = |study: &StudySummary| {
        let figures = figures(study, &summary.run).into_iter();
        figures.map(|f| name(&study.name, f)).collect()
    };
    let mut all: Vec<Vec<Named>> = summary.studies.iter().map(&mut of).collect();
    all.push(
        across(summary)
            .into_iter()
            .map(|f| name("all-tasks", f))
            .collect(),
    );
    all
}

/// `text` as part of a file name: lower case, `[a-z0-9-]`, at most so many characters, never empty.
pub(crate) fn slug(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.truncate(most);
    let out = out.trim_end_matches('-');
    if out.is_empty() {
        "study".to_owned()
    } else {
        out.to_owned()
    }
}

/// The line and marker of a curve, for tables.
fn swatch(curve: usize) -> String {
    Drawing::swatch(curve).decoration()
}

#[cfg(test)]
mod tests;
