//! `eval` in words: what is asked for, and what was answered.

use super::super::Failure;
use super::super::pretrained::at_least_one;
use super::super::table::Table;
use super::CONFIDENCE;
use crate::Error;
use crate::config::settings;
use crate::measure::words::By;
use crate::scheme::pieces;
use clap::{Args, ValueEnum};
use farspan_datasets::words::Scorer;
use farspan_reports::store::RunDir;
use farspan_reports::summary::{Interval, summarise};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Flags of perplexity, which mean nothing to prompts.
const OF_TEXT: [&str; 7] = [
    "texts", "protocol", "stride", "target", "unit", "segments", "bos",
];

/// Prompts in words.
#[derive(Debug, Args)]
pub(super) struct WordsArgs {
    /// Ask tasks in words in place of reading a text: ids, each with settings behind it
    #[arg(long, value_name = "ID,KEY=VALUE,…", conflicts_with_all = OF_TEXT)]
    tasks: Vec<String>,
    /// Ask the prompts of files of JSON lines, as RULER, lm-evaluation-harness or HELMET write them; several between
    /// commas are the lengths of one task
    #[arg(long, value_name = "FILE,…", conflicts_with_all = OF_TEXT)]
    prompts: Vec<String>,
    /// Prompts of a task per length and value of each factor [default: 20]
    #[arg(long, value_name = "COUNT", value_parser = at_least_one, requires = "tasks")]
    count: Option<usize>,
    /// Values of the factors of tasks [default: the tasks' own]
    #[arg(long, value_name = "FACTOR=VALUES,…", requires = "tasks")]
    grid: Option<String>,
    /// Tokens that an answer to a prompt of a file may take [default: as the file or the name of its task says]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one, requires = "prompts")]
    max_new_tokens: Option<usize>,
    /// How an answer is had [default: generation]
    #[arg(long, value_enum)]
    by: Option<Had>,
    /// How an answer that was written is scored [default: as the task's authors do, `all` for a file]
    #[arg(long, value_name = "SCORER", value_parser = scorer)]
    scorer: Option<Scorer>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Had {
    /// The model writes it, greedily
    Generation,
    /// It is the likeliest
    Likelihood,
}

fn scorer(text: &str) -> Result<Scorer, String> {
    let found = Scorer::ALL.into_iter().find(|scorer| scorer.id() == text);
    found.ok_or_else(|| {
        let known: Vec<&str> = Scorer::ALL.iter().map(|scorer| scorer.id()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

impl WordsArgs {
    /// `[evaluate.words]`; nothing if no prompts are asked for.
    pub(super) fn settings(&self, lengths: &[usize]) -> Result<Option<Value>, Failure> {
        let mut wanted = Vec::new();
        for tasks in &self.tasks {
            wanted.extend(named(tasks).map_err(Failure::usage)?);
        }
        for files in &self.prompts {
            let files: Vec<&str> = files.split(',').collect();
            let mut from = json!({ "prompts": files });
            if let Some(tokens) = self.max_new_tokens {
                from["max_new_tokens"] = json!(tokens);
            }
            wanted.push(from);
        }
        if wanted.is_empty() {
            let set = [
                ("--by", self.by.is_some()),
                ("--scorer", self.scorer.is_some()),
            ];
            return match set.iter().find(|(_, set)| *set) {
                Some((flag, _)) => Err(Failure::usage(format!(
                    "{flag} is for --tasks and --prompts"
                ))),
                None => Ok(None),
            };
        }
        let mut words = json!({ "tasks": wanted });
        if !lengths.is_empty() {
            words["lengths"] = json!(lengths);
        }
        if let Some(count) = self.count {
            words["prompts"] = json!(count);
        }
        if let Some(grid) = &self.grid {
            words["grid"] = settings(&pieces(grid)).map_err(Failure::usage)?;
        }
        if let Some(by) = self.by {
            words["by"] = json!(match by {
                Had::Generation => By::Generation,
                Had::Likelihood => By::Likelihood,
            });
        }
        if let Some(scorer) = self.scorer {
            words["scorer"] = json!(scorer);
        }
        Ok(Some(words))
    }
}

/// `needles,keys=4,passkey`: what has no `=` begins a task, what has one is a setting of it.
fn named(text: &str) -> Result<Vec<Value>, String> {
    let mut tasks: Vec<(String, Vec<String>)> = Vec::new();
    for piece in pieces(text) {
        match (piece.contains('='), tasks.last_mut()) {
            (true, Some((_, given))) => given.push(piece),
            (false, _) if !piece.trim().is_empty() => {
                tasks.push((piece.trim().to_string(), Vec::new()));
            }
            _ => return Err(format!("expected ID,KEY=VALUE,…, found {text:?}")),
        }
    }
    let task = |(id, given): (String, Vec<String>)| {
        Ok(match given.is_empty() {
            true => json!(id),
            false => Map::from_iter([(id, settings(&given)?)]).into(),
        })
    };
    tasks.into_iter().map(task).collect()
}

/// What `eval` has found in words.
#[derive(Serialize)]
pub(super) struct Answers {
    run: PathBuf,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    scheme: String,
    /// Task or file.
    of: String,
    length: usize,
    /// Share of what was asked for, over all values of the factors.
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<Interval>,
    prompts: usize,
    /// Why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_defined: Option<String>,
}

/// What stands in the folder of a run of `eval`.
pub(super) fn answers(dir: &RunDir, run: PathBuf, notes: Vec<String>) -> Result<Answers, Failure> {
    let summary = summarise(&dir.load().map_err(Error::from)?);
    let mut rows = Vec::new();
    for curve in summary.studies.iter().flat_map(|study| &study.curves) {
        let row = |of: &str, length| Row {
            scheme: curve.label.clone(),
            of: of.into(),
            length,
            right: None,
            interval: None,
            prompts: 0,
            not_defined: None,
        };
        for measured in &curve.measured {
            rows.extend(measured.points.iter().map(|point| Row {
                right: Some(point.shown.value),
                interval: point.shown.interval,
                prompts: point.units,
                ..row(&measured.key.of, point.length)
            }));
        }
        rows.extend(curve.refused.iter().map(|refused| Row {
            not_defined: Some(refused.reason.clone()),
            ..row(&refused.of, refused.length)
        }));
    }
    Ok(Answers { run, notes, rows })
}

pub(super) fn text(found: &Answers) -> String {
    let interval = format!(">{:.0} % interval", 100.0 * CONFIDENCE);
    let columns = [
        "scheme",
        "asked",
        ">length",
        ">right, %",
        &interval,
        ">prompts",
    ];
    let mut table = Table::new(&columns);
    for row in &found.rows {
        let right = match row.right {
            Some(right) => format!("{:.1}", 100.0 * right),
            None => "not defined".into(),
        };
        let interval = row.interval.map_or("-".into(), |i| {
            format!("{:.1} to {:.1}", 100.0 * i.low, 100.0 * i.high)
        });
        let (length, prompts) = (row.length.to_string(), row.prompts.to_string());
        table.row([
            row.scheme.clone(),
            row.of.clone(),
            length,
            right,
            interval,
            prompts,
        ]);
    }
    format!(
        "{}\nthe same prompts under every scheme, in samples.jsonl.zst of its cell\nrun folder {}\n",
        table.text(),
        found.run.display()
    )
}
