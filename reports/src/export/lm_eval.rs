//! Files of results and samples in the layout of the EleutherAI evaluation harness (version 0.4), so that notebooks which
//! read that layout read ours. Tasks are ours: one for each measure, view and length.

use crate::error::StoreError;
use crate::record::{Better, CellRecord, MeasureRecord, PointRecord, Role, Samples, Scale};
use crate::stats::{Contrast, mean};
use crate::store::{LoadedRun, RunDir};
use crate::summary::pairs;
use serde_json::{Map, Value, json};
use sha2::Digest;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Version of our task definitions, as the layout wants one per task.
const TASK_VERSION: u32 = 1;

/// `<study>__<scheme>__<stage>__s<seed>/` with `results_<time>.json` and `samples_<task>_<time>.jsonl` for every cell with a
/// result.
pub(super) fn files(run: &LoadedRun) -> Result<Vec<(PathBuf, Vec<u8>)>, StoreError> {
    let time = slug(&run.plan.created.replace(':', "-"));
    // A run that was never a folder has no samples.
    let dir = RunDir::exists(&run.path)
        .then(|| RunDir::open(&run.path))
        .transpose()?;
    let mut files = Vec::new();
    for (_, record) in run.results() {
        let name = cell_name(record);
        let folder = PathBuf::from(slug(&name));
        let mut text = format!("{:#}", results(run, record, &name));
        text.push('\n');
        files.push((
            folder.join(format!("results_{time}.json")),
            text.into_bytes(),
        ));
        let samples = match &dir {
            Some(dir) => dir.samples(&record.id)?,
            None => Vec::new(),
        };
        for (task, lines) in by_task(&samples) {
            let path = folder.join(format!("samples_{task}_{time}.jsonl"));
            files.push((path, lines.into_bytes()));
        }
    }
    Ok(files)
}

/// `<study>__<scheme>__<stage>__s<seed>`.
pub(super) fn cell_name(record: &CellRecord) -> String {
    let stage = serde_json::to_value(record.scheme.stage).ok();
    let stage = stage.as_ref().and_then(Value::as_str).unwrap_or_default();
    format!(
        "{}__{}__{stage}__s{}",
        record.study, record.scheme.name, record.seed
    )
}

/// Samples as lines of JSON, by task.
fn by_task(samples: &[Value]) -> BTreeMap<String, String> {
    let mut tasks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for found in samples {
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        let name = name(["", text("of"), text("measure")]);
        let length = found["length"].as_u64().unwrap_or_default();
        let task = tasks.entry(format!("farspan_{name}_{length}")).or_default();
        let number = task.len();
        task.push(sample(found, number));
    }
    let text = |lines: Vec<Value>| lines.iter().map(|line| format!("{line}\n")).collect();
    tasks
        .into_iter()
        .map(|(task, lines)| (task, text(lines)))
        .collect()
}

/// One sample. What a model said is known of prompts in words; of tasks over tokens only whether the answer was right.
fn sample(found: &Value, number: usize) -> Value {
    let prompt = found["prompt"].as_str().unwrap_or_default();
    let wanted = [&found["references"], &found["answers"]];
    let wanted = wanted.into_iter().find(|value| !value.is_null());
    let target = wanted.map(ToString::to_string).unwrap_or_default();
    let said: Vec<&Value> = [&found["said"]]
        .into_iter()
        .filter(|s| !s.is_null())
        .collect();
    let doc = json!({ "prompt": prompt, "length": found["length"], "at": found["at"], "number": found["number"] });
    let right = match (found["right"].as_f64(), found["out_of"].as_f64()) {
        (Some(right), Some(all)) if all > 0.0 => json!(right / all),
        _ => found["right"].clone(),
    };
    let hash = |text: &str| {
        let digest = sha2::Sha256::digest(text.as_bytes());
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    json!({
        "doc_id": number,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}},
        "resps": [said],
        "filtered_resps": said,
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": right,
        "doc_hash": hash(&doc.to_string()),
        "prompt_hash": hash(prompt),
        "target_hash": hash(&target),
        "doc": doc,
    })
}

/// Letters that are safe in file names everywhere.
pub(super) fn slug(name: &str) -> String {
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
pub(super) struct Task {
    name: String,
    /// What is measured, without the length.
    pub(super) of: String,
    pub(super) length: usize,
    /// Name, value, standard error, whether more is better.
    pub(super) metrics: Vec<(String, f64, Option<f64>, bool)>,
    pub(super) samples: usize,
    about: Value,
}

fn results(run: &LoadedRun, record: &CellRecord, name: &str) -> Value {
    let by_length = record.measures.iter().filter(|m| m.role == Role::ByLength);
    let tasks: Vec<Task> = by_length.flat_map(tasks).collect();
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

/// What is measured in a word. A view says enough of what has but one thing to ask (`sliding`); so does what was asked.
fn name(parts: [&str; 3]) -> String {
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    slug(&parts[..parts.len().saturating_sub(1).max(1)].join("_")).replace('-', "_")
}

/// One task for each length of a measure, over all values of its factors.
pub(super) fn tasks(measure: &MeasureRecord) -> Vec<Task> {
    let name = name([&measure.view, &measure.of, &measure.measure]);
    let of = |length: usize| {
        let points: Vec<&PointRecord> = measure
            .points
            .iter()
            .filter(|p| p.length == length)
            .collect();
        let sums = |value: &str, weight: &str| {
            let all: Option<Vec<_>> = points.iter().map(|p| pairs(p, value, weight)).collect();
            Contrast::nested(vec![all?.concat()])
        };
        let found = sums("", "")?;
        let better = measure.better == Better::Higher;
        let value = found.value();
        let mut metrics = vec![match (measure.scale, measure.samples) {
            // First order: the error of exp(x) is exp(x) times the error of x.
            (Scale::Exp, _) => {
                let shown = value.exp();
                let error = found.standard_error().map(|e| e * shown);
                (metric(&measure.quantity), shown, error, better)
            }
            (Scale::Share, Samples::Trials) => {
                ("exact_match".into(), value, found.standard_error(), better)
            }
            (Scale::Share, _) => ("acc".into(), value, found.standard_error(), better),
            (Scale::Plain, _) => (
                metric(&measure.quantity),
                value,
                found.standard_error(),
                better,
            ),
        }];
        for also in &measure.also {
            if let Some(found) = sums(&also.value, &also.weight) {
                let found = found.times(also.times);
                metrics.push((
                    metric(&also.quantity),
                    found.value(),
                    found.standard_error(),
                    better,
                ));
            }
        }
        let mut about = Map::new();
        about.insert("length".into(), json!(length));
        for (key, value) in [
            ("measure", &measure.measure),
            ("of", &measure.of),
            ("view", &measure.view),
        ] {
            about.insert(key.into(), json!(value));
        }
        let facts = points.iter().flat_map(|p| p.facts.keys());
        for name in facts.collect::<std::collections::BTreeSet<_>>() {
            let all: Vec<f64> = points
                .iter()
                .filter_map(|p| p.facts.get(name).copied())
                .collect();
            about.insert(name.clone(), number(mean(&all)));
        }
        Some(Task {
            name: format!("farspan_{name}_{length}"),
            of: name.clone(),
            length,
            metrics,
            samples: points.iter().map(|p| p.value.len()).sum(),
            about: Value::Object(about),
        })
    };
    measure.lengths().into_iter().filter_map(of).collect()
}

/// `bits_per_byte`.
fn metric(quantity: &str) -> String {
    slug(quantity).replace('-', "_")
}
