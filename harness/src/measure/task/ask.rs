//! Putting prompts to a model, and what becomes of its answers.

use super::super::{Subject, Tick, rows_per_pass};
use super::ID;
use crate::Result;
use crate::model::PreparedPlans;
use farspan_datasets::Batch;
use farspan_datasets::tasks::{AnyTask, Asked, Example, score};
use farspan_reports::record::{Column, PointRecord};
use serde_json::{Map, Value, json};

/// One point of the grid; `None` if a stop was asked for.
pub(super) fn ask(
    subject: &Subject<'_>,
    task: &dyn AnyTask,
    ready: &PreparedPlans,
    asked: &Asked,
    batches: &mut usize,
    tick: Tick<'_>,
) -> Result<Option<PointRecord>> {
    let length = asked.point.length;
    let mut point = PointRecord {
        length,
        at: asked.point.at.clone(),
        ..PointRecord::default()
    };
    let (mut symbols, mut all, mut log_prob, mut off) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    let rows = rows_per_pass(length);
    for (mut part, examples) in split(&asked.batch, rows)
        .into_iter()
        .zip(asked.examples.chunks(rows))
    {
        subject.place(ID, *batches, &mut part);
        subject.give(task, &mut part)?;
        *batches += 1;
        let scores = subject.model.scores(&part, ready)?;
        let argmax: Vec<u32> = scores.iter().map(|s| s.argmax).collect();
        for trial in score(task.card().rule, examples, length, &argmax) {
            point.value.push(trial.right as f64);
            point.weight.push(trial.asked as f64);
            symbols.push(trial.symbols as f64);
            all.push(trial.of as f64);
            off.push(trial.off.unwrap_or(f64::NAN));
        }
        for (row, weights) in scores.chunks(length).zip(part.weights.chunks(length)) {
            let answers = row.iter().zip(weights).filter(|(_, w)| **w > 0.0);
            log_prob.push(answers.map(|(s, _)| -f64::from(s.nll)).sum());
        }
        if !tick(part.tokens.len()) {
            return Ok(None);
        }
    }
    if point.weight.iter().all(|&w| w == 1.0) {
        point.weight.clear();
    }
    if off.iter().any(|x| !x.is_nan()) {
        point.columns.insert("off by".into(), Column(off));
    }
    for (name, column) in [
        ("symbols right", symbols),
        ("symbols", all),
        ("log-probability", log_prob),
    ] {
        point.columns.insert(name.into(), Column(column));
    }
    // Where what is asked for stands at another place in each example, no one distance tells.
    let distance = asked.examples.first().and_then(|example| example.distance);
    if asked
        .examples
        .iter()
        .all(|example| example.distance == distance)
    {
        let distance = distance.map(|d| ("distance".to_string(), d as f64));
        point.facts.extend(distance);
    }
    Ok(Some(point))
}

pub(super) fn samples(
    of: &str,
    task: &dyn AnyTask,
    asked: &Asked,
    found: &PointRecord,
) -> Vec<Value> {
    let names: Vec<&str> = task.factors().iter().map(|f| f.name).collect();
    let line = |(i, example): (usize, &Example)| {
        let answers = example.answers.iter();
        let answers: Vec<String> = answers
            .map(|a| task.render(a.right(&example.tokens)))
            .collect();
        let at: Map<String, Value> = names
            .iter()
            .zip(&found.at)
            .map(|(name, x)| ((*name).to_string(), json!(x)))
            .collect();
        json!({
            "measure": ID, "of": of, "length": found.length, "at": at, "number": i,
            "prompt": task.render(&example.tokens), "answers": answers,
            "right": found.value[i], "out_of": found.weight(i),
        })
    };
    asked.examples.iter().enumerate().map(line).collect()
}

/// Cuts a batch into batches of at most `rows` windows.
fn split(batch: &Batch, rows: usize) -> Vec<Batch> {
    let n = rows * batch.len;
    let tokens = batch.tokens.chunks(n);
    let rest = batch.targets.chunks(n).zip(batch.weights.chunks(n));
    tokens
        .zip(rest)
        .map(|(tokens, (targets, weights))| Batch {
            tokens: tokens.to_vec(),
            targets: targets.to_vec(),
            weights: weights.to_vec(),
            positions: None,
            documents: None,
            rows: tokens.len() / batch.len,
            len: batch.len,
        })
        .collect()
}
