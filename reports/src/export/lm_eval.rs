//! Results files in the layout of the EleutherAI evaluation harness (version 0.4), one per cell, so that notebooks which
//! read that layout read ours. Tasks are ours: a perplexity per protocol and length, a passkey accuracy per length.

use crate::record::CellRecord;
use crate::stats::{Panel, mean};
use crate::store::LoadedRun;
use crate::table::protocol_word;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::PathBuf;

/// Version of our task definitions, as the layout wants one per task.
const TASK_VERSION: u32 = 1;

/// `<study>__<scheme>__<stage>__s<seed>/results_<time>.json` for every cell with a result.
pub(super) fn files(run: &LoadedRun) -> Vec<(PathBuf, Vec<u8>)> {
    let time = run.plan.created.replace(':', "-");
    let of = |record: &CellRecord| {
        let stage = serde_json::to_value(record.scheme.stage).ok();
        let stage = stage
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_string();
        let name = format!(
            "{}__{}__{stage}__s{}",
            record.study, record.scheme.name, record.seed
        );
        let path = PathBuf::from(slug(&name)).join(format!("results_{}.json", slug(&time)));
        let mut text = format!("{:#}", results(run, record, &name));
        text.push('\n');
        (path, text.into_bytes())
    };
    run.results().map(|(_, record)| of(record)).collect()
}

/// Letters that are safe in file names everywhere.
fn slug(name: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let text: String = name
        .trim_start_matches('.')
        .chars()
        .map(safe)
        .take(80)
        .collect();
    if text.is_empty() {
        "unnamed".into()
    } else {
        text
    }
}

/// One task with its numbers.
struct Task {
    name: String,
    metrics: Vec<(&'static str, f64, Option<f64>, bool)>,
    samples: usize,
    about: Value,
}

fn results(run: &LoadedRun, record: &CellRecord, name: &str) -> Value {
    let tasks: Vec<Task> = perplexities(record)
        .into_iter()
        .chain(passkeys(record))
        .collect();
    let each = |f: &dyn Fn(&Task) -> Value| -> Value {
        Value::Object(tasks.iter().map(|t| (t.name.clone(), f(t))).collect())
    };
    let scheme = &record.scheme;
    let date = run
        .plan
        .created
        .parse::<jiff::Timestamp>()
        .map(|t| t.as_second() as f64);
    json!({
        "results": each(&task_results),
        "group_subtasks": each(&|_| json!([])),
        "configs": each(&|t| json!({"task": t.name, "num_fewshot": 0, "metadata": t.about})),
        "versions": each(&|_| json!(TASK_VERSION)),
        "n-shot": each(&|_| json!(0)),
        "higher_is_better": each(&|t| {
            Value::Object(t.metrics.iter().map(|m| (m.0.to_string(), json!(m.3))).collect())
        }),
        "n-samples": each(&|t| json!({"original": t.samples, "effective": t.samples})),
        "config": {
            "model": "farspan",
            "model_args": {
                "scheme": scheme.id, "settings": scheme.settings, "stage": scheme.stage, "base": scheme.base,
                "trained_length": record.trained_length,
            },
            "model_num_parameters": record.model.parameters,
            "batch_size": Value::Null,
            "device": record.engine.device,
            "limit": Value::Null,
            "random_seed": record.seed,
        },
        "git_hash": record.engine.version,
        "date": date.unwrap_or_default(),
        "model_name": name,
        "task_hashes": each(&|_| json!(record.data.hash)),
    })
}

fn task_results(task: &Task) -> Value {
    let mut object = Map::new();
    object.insert("alias".into(), json!(task.name));
    object.insert("sample_len".into(), json!(task.samples));
    for (metric, value, error, _) in &task.metrics {
        object.insert(format!("{metric},none"), number(*value));
        // The layout writes "N/A" where there is no standard error.
        object.insert(
            format!("{metric}_stderr,none"),
            error.map_or(json!("N/A"), number),
        );
    }
    Value::Object(object)
}

/// JSON has no infinity; the layout's own readers take a string for "not a number".
fn number(x: f64) -> Value {
    if x.is_finite() {
        json!(x)
    } else {
        json!(x.to_string())
    }
}

fn perplexities(record: &CellRecord) -> Vec<Task> {
    let of = |p: &crate::record::PerplexityRecord| {
        let panel = |sizes: &[u64]| {
            Panel::new(vec![
                p.nll
                    .iter()
                    .copied()
                    .zip(sizes.iter().map(|&n| n as f64))
                    .collect(),
            ])
        };
        let nll = panel(&p.tokens)?.contrast();
        let perplexity = nll.value().exp();
        // First order: the error of exp(x) is exp(x) times the error of x.
        let mut metrics = vec![(
            "perplexity",
            perplexity,
            nll.standard_error().map(|e| e * perplexity),
            false,
        )];
        if let Some(bits) = panel(&p.bytes).map(|panel| panel.contrast()) {
            let error = bits.standard_error().map(|e| e / LN_2);
            metrics.push(("bits_per_byte", bits.value() / LN_2, error, false));
        }
        Some(Task {
            name: format!(
                "farspan_{}_{}",
                protocol_word(p.protocol).replace('-', "_"),
                p.length
            ),
            metrics,
            samples: p.nll.len(),
            about: json!({"length": p.length, "protocol": p.protocol, "stride": p.stride}),
        })
    };
    record.perplexity.iter().filter_map(of).collect()
}

fn passkeys(record: &CellRecord) -> Vec<Task> {
    let mut by_length: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for p in &record.passkey {
        by_length
            .entry(p.length)
            .or_default()
            .extend(p.hits.iter().map(|&hit| f64::from(u8::from(hit))));
    }
    let of = |(length, hits): (usize, Vec<f64>)| {
        let (share, n) = (mean(&hits), hits.len());
        let error = (n > 1).then(|| (share * (1.0 - share) / (n - 1) as f64).sqrt());
        Task {
            name: format!("farspan_passkey_{length}"),
            metrics: vec![("exact_match", share, error, true)],
            samples: n,
            about: json!({"length": length}),
        }
    };
    by_length.into_iter().map(of).collect()
}
