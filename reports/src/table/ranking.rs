//! The rankings of all schemes in a study of several tasks, as a document.

use crate::figure::Data;
use crate::record::{Better, Scale, State};
use crate::stats::spearman;
use crate::store::LoadedRun;
use crate::summary::{
    EffectiveLength, Ranked, Ranking, StudySummary, Summary, label, rankings, summarise,
    usual_machine,
};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Fewer curves than this say nothing of how two studies agree.
const LEAST: usize = 5;

/// Figures of the page of the same records, as they lie in `docs/images/`, and what they show.
const PICTURES: [(&str, &str); 2] = [
    (
        "language-perplexity",
        "Perplexity of the same bytes of text against the length of their context, every curve",
    ),
    (
        "all-tasks-pareto",
        "The longest length that is served, mean over the studies, against processor minutes",
    ),
];

/// A score with its interval: a share in percent, a loss in nats.
#[must_use]
pub fn score(of: &Ranking, row: &Ranked) -> String {
    let (factor, digits) = match of.scale {
        Scale::Share => (100.0, 0),
        Scale::Exp | Scale::Plain => (1.0, 3),
    };
    let number = |x: f64| format!("{:.digits$}", factor * x);
    match row.score.interval {
        Some(i) => format!(
            "{} [{}, {}]",
            number(row.score.value),
            number(i.low),
            number(i.high)
        ),
        None => number(row.score.value),
    }
}

/// Everyone, in Markdown.
#[must_use]
pub fn document(run: &LoadedRun) -> String {
    let summary = summarise(run);
    let all = rankings(run);
    let mut out = String::from(
        "# Results of the standard study\n\nWritten by `farspan rank`; [standard.md](standard.md) tells what was run, and \
         what a score, a rank and a length that is served are.\n",
    );
    let labels = labels(run);
    let _ = writeln!(
        out,
        "\n{} curves of {} schemes: trained from scratch, read zero-shot on the weights of their base, or fine-tuned.",
        labels.len(),
        schemes(run)
    );
    for (name, words) in PICTURES {
        let _ = writeln!(
            out,
            "\n![{words}](images/{}-{name}.png)\n\n*{words}.*",
            run.plan.name
        );
    }
    let mishaps = mishaps(run);
    if !mishaps.is_empty() {
        let _ = writeln!(out, "\nFailed or diverged:\n\n{}", mishaps.join("\n"));
    }
    let families = families(&all);
    for (title, words, table) in [
        (
            "Ranks",
            "Score past the trained length, its 95 % interval, and the range of ranks that the data leave; losses in nats, the \
             rest in percent. A dash: the scheme refuses such lengths, or lost its way.",
            ranks(&all, &labels, &families),
        ),
        (
            "What holds",
            "Curves that are shown to be served so many trained lengths or more, of those that are served at the trained length.",
            holds(&summary, &labels),
        ),
        (
            "How far",
            "The longest length that is shown to be served, in trained lengths. `≥`: the longest that was read. `*`: a shorter \
             one is not. `–`: none; then the trained length was not learned, or only by some seeds.",
            reach(&summary, &labels),
        ),
        (
            "Cost",
            "Processor minutes of all studies and seeds together, training and reading; of an extension without its base. A dash: \
             other machines than most ran it.",
            cost(run, &labels),
        ),
        (
            "Do the studies agree?",
            "Spearman's correlation of the scores of all curves that have both, better with better; below it how many.",
            agreement(&all),
        ),
        (
            "Families",
            "The best curve of each family by its score, and its range of ranks.",
            winners(&all),
        ),
    ] {
        let _ = write!(out, "\n## {title}\n\n{words}\n\n{}", table.markdown());
    }
    out
}

fn table<'a>(columns: impl IntoIterator<Item = &'a str>) -> Data {
    Data::new(&columns.into_iter().collect::<Vec<_>>())
}

/// Labels of all curves in the order of the plan.
fn labels(run: &LoadedRun) -> Vec<String> {
    let mut labels = Vec::new();
    for cell in &run.plan.cells {
        let label = label(&cell.scheme, cell.stage);
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

fn schemes(run: &LoadedRun) -> usize {
    let mut names: Vec<&str> = run.plan.cells.iter().map(|c| c.scheme.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

fn mishaps(run: &LoadedRun) -> Vec<String> {
    let of = |cell: &crate::store::LoadedCell| {
        let word = match cell.state() {
            State::Failed => "failed",
            State::Diverged => "diverged",
            _ => return None,
        };
        let reason = cell.status.as_ref().and_then(|s| s.reason.clone());
        let reason = reason.unwrap_or_default();
        Some(format!("- `{}` {word}: {reason}", cell.planned.label))
    };
    run.cells.iter().filter_map(of).collect()
}

/// Family of each label, as any study knows it.
fn families(all: &[Ranking]) -> BTreeMap<String, String> {
    let rows = all.iter().flat_map(|s| &s.rows);
    rows.map(|r| (r.label.clone(), r.family.clone())).collect()
}

fn ranks(all: &[Ranking], labels: &[String], families: &BTreeMap<String, String>) -> Data {
    let studies = all.iter().map(|s| s.study.as_str());
    let mut data = table(["scheme", "family"].into_iter().chain(studies));
    for label in labels {
        let family = families.get(label).cloned().unwrap_or_default();
        let cell = |s: &Ranking| match s.of(label) {
            Some(row) => format!("{} · {}–{}", score(s, row), row.best, row.worst),
            None => "–".to_string(),
        };
        let cells = all.iter().map(cell);
        data.row([label.clone(), family].into_iter().chain(cells).collect());
    }
    data
}

/// How far a curve is shown to be served in a study, if at all.
fn served<'a>(study: &'a StudySummary, label: &str) -> Option<&'a EffectiveLength> {
    let key = study.compared().next().map(|m| m.key.clone())?;
    let curve = study.curves.iter().find(|c| c.label == label)?;
    let found = curve.measured(&key)?.effective.as_ref()?;
    (found.length > 0).then_some(found)
}

/// How many curves are served so far, of those that are served at all.
fn holds(summary: &Summary, labels: &[String]) -> Data {
    let studies = summary.studies.iter().map(|s| s.name.as_str());
    let mut data = table(["served up to at least"].into_iter().chain(studies));
    for multiple in [2.0, 4.0, 8.0, 16.0] {
        let cell = |study: &StudySummary| {
            let found: Vec<_> = labels.iter().filter_map(|l| served(study, l)).collect();
            let far = found.iter().filter(|e| e.multiple >= multiple).count();
            format!("{far} of {}", found.len())
        };
        let cells = summary.studies.iter().map(cell);
        data.row(
            std::iter::once(format!("{multiple} ×"))
                .chain(cells)
                .collect(),
        );
    }
    data
}

fn reach(summary: &Summary, labels: &[String]) -> Data {
    let studies = summary.studies.iter().map(|s| s.name.as_str());
    let mut data = table(["scheme"].into_iter().chain(studies));
    for label in labels {
        let cell = |study: &StudySummary| match served(study, label) {
            Some(e) => {
                let least = if e.at_end { "≥" } else { "" };
                let star = if e.gaps.is_empty() { "" } else { "*" };
                format!("{least}{}{star}", round(e.multiple))
            }
            None => "–".to_string(),
        };
        let cells = summary.studies.iter().map(cell);
        data.row(std::iter::once(label.clone()).chain(cells).collect());
    }
    data
}

/// `8`, `1.25`.
fn round(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn cost(run: &LoadedRun, labels: &[String]) -> Data {
    let mut data = table(["scheme", "#minutes"]);
    let usual = usual_machine(run.cells.iter().filter_map(|c| c.cost.as_ref()));
    for label in labels {
        let mine = run
            .cells
            .iter()
            .filter(|c| self::label(&c.planned.scheme, c.planned.stage) == *label);
        let costs: Vec<_> = mine.filter_map(|c| c.cost.as_ref()).collect();
        let minutes = if costs.iter().all(|c| Some(c.machine.as_str()) == usual) {
            let seconds: f64 = costs.iter().map(|c| c.cpu_seconds).sum();
            format!("{:.1}", seconds / 60.0)
        } else {
            "–".to_string()
        };
        data.row(vec![label.clone(), minutes]);
    }
    data
}

fn agreement(all: &[Ranking]) -> Data {
    let studies = all.iter().map(|s| s.study.as_str());
    let mut data = table(["study"].into_iter().chain(studies));
    let signed = |s: &Ranking, row: &Ranked| match s.better {
        Better::Lower => -row.score.value,
        Better::Higher => row.score.value,
    };
    for (i, a) in all.iter().enumerate() {
        let mut row = vec![a.study.clone()];
        for (j, b) in all.iter().enumerate() {
            let both: Vec<(f64, f64)> = a
                .rows
                .iter()
                .filter_map(|r| Some((signed(a, r), signed(b, b.of(&r.label)?))))
                .collect();
            row.push(match spearman(&both) {
                _ if i == j => String::new(),
                _ if j < i => both.len().to_string(),
                Some(rho) if both.len() >= LEAST => format!("{rho:+.2}"),
                _ => "–".to_string(),
            });
        }
        data.row(row);
    }
    data
}

fn winners(all: &[Ranking]) -> Data {
    let studies = all.iter().map(|s| s.study.as_str());
    let mut data = table(["family"].into_iter().chain(studies));
    let mut names: Vec<&str> = all
        .iter()
        .flat_map(|s| s.rows.iter().map(|r| r.family.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    for family in names {
        let best = |s: &Ranking| {
            let row = s.rows.iter().find(|r| r.family == family);
            row.map_or_else(
                || "–".to_string(),
                |r| format!("{} · {}–{}", r.label, r.best, r.worst),
            )
        };
        data.row(
            std::iter::once(family.to_string())
                .chain(all.iter().map(best))
                .collect(),
        );
    }
    data
}
