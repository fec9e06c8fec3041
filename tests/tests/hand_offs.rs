//! What other programs take over: shells, pandas, TensorBoard, the tables of RULER, the samples of lm-evaluation-harness.

use farspan_acceptance::{TINY, farspan, printed, text, write_config};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A finished run of a few steps.
fn tiny(folder: &Path) -> PathBuf {
    let config = write_config(folder, TINY);
    let out = folder.join("run");
    let (config, path) = (config.to_str().unwrap(), out.to_str().unwrap());
    let steps = [
        "train.steps=30",
        "train.warmup=1",
        "schemes.pi.pi.finetune.steps=2",
    ];
    printed(&[&["run", config, "--out", path, "--quiet"][..], &steps].concat());
    out
}

fn results(run: &Path) -> Vec<Value> {
    let all = farspan_acceptance::results(run).into_iter();
    all.map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap())
        .collect()
}

/// A Python that has the modules; `FARSPAN_PYTHON` names another than `python3`.
#[expect(clippy::print_stderr, reason = "says why it was not tried")]
fn python(modules: &str) -> Option<String> {
    let program = std::env::var("FARSPAN_PYTHON").unwrap_or_else(|_| "python3".into());
    let asked = Command::new(&program)
        .args(["-c", &format!("import {modules}")])
        .output();
    if asked.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    eprintln!("skipped: {program} has no {modules}");
    None
}

fn script(program: &str, code: &str, folder: &Path) -> String {
    let ran = Command::new(program)
        .args(["-c", code])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    text(&ran.stdout)
}

#[test]
fn a_shell_is_told_schemes_tasks_and_formats() {
    let asked = |words: &[&str]| {
        let args = [&["--", "farspan"], words].concat();
        let mut command = farspan(&args);
        let output = command.env("FARSPAN_COMPLETE", "fish").output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let schemes = asked(&["explain", "ya"]);
    assert_eq!(schemes.lines().next(), Some("yarn\tYaRN"), "{schemes}");
    assert!(asked(&["eval", "--scheme", "o"]).starts_with("own\t"));
    assert_eq!(
        asked(&["export", "runs/a", "--format", "ten"]).trim(),
        "tensorboard"
    );
    assert_eq!(asked(&["run", "my.toml", "--device", "wg"]).trim(), "wgpu");
    assert!(asked(&["bench", "attention", "--scheme", "alib"]).starts_with("alibi\t"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(
            script.contains("FARSPAN_COMPLETE") && script.contains("farspan"),
            "{shell}"
        );
    }
}

#[test]
fn tables_and_samples_have_the_layout_of_their_readers() {
    let folder = tempfile::tempdir().unwrap();
    let out = tiny(folder.path());
    let path = out.to_str().unwrap();
    let export = |format: &str| {
        let to = folder.path().join(format);
        let written = printed(&[
            "export",
            path,
            "--format",
            format,
            "-o",
            to.to_str().unwrap(),
            "--json",
        ]);
        let written: Vec<PathBuf> = serde_json::from_str(&written).unwrap();
        written
    };
    // RULER: four cells, two lengths.
    let tables = export("ruler");
    assert_eq!(tables.len(), 8);
    let table = std::fs::read_to_string(&tables[0]).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[3]),
        ("0,1", "Tasks,passkey", "Nulls,0/12"),
        "{table}"
    );
    let score = lines[2]
        .strip_prefix("Score,")
        .and_then(|s| s.parse::<f64>().ok());
    assert!(
        score.is_some_and(|score| (0.0..=100.0).contains(&score)),
        "{table}"
    );
    // lm-evaluation-harness: results, and samples of each task.
    let files = export("lm-eval");
    let is_sample = |path: &&PathBuf| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("samples_")
    };
    let samples: Vec<&PathBuf> = files.iter().filter(is_sample).collect();
    assert_eq!((files.len(), samples.len()), (12, 8));
    let read = std::fs::read_to_string(samples[0]).unwrap();
    let read: Vec<Value> = read
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), 12);
    let right: f64 = read
        .iter()
        .map(|sample| sample["exact_match"].as_f64().unwrap())
        .sum();
    let beside = std::fs::read_dir(samples[0].parent().unwrap()).unwrap();
    let beside = beside.map(|entry| entry.unwrap().path());
    let found = beside.into_iter().find(|path| !is_sample(&path)).unwrap();
    let found: Value = serde_json::from_str(&std::fs::read_to_string(found).unwrap()).unwrap();
    let name = samples[0]
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let task = found["results"]
        .as_object()
        .unwrap()
        .iter()
        .find(|(task, _)| name.contains(*task))
        .unwrap();
    assert_eq!(task.1["exact_match,none"], right / 12.0, "{name}");
}

#[test]
fn pandas_reads_results_as_the_document_says() {
    let Some(python) = python("pandas") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = tiny(folder.path());
    let file = folder.path().join("results.csv");
    printed(&[
        "export",
        out.to_str().unwrap(),
        "--format",
        "csv",
        "-o",
        file.to_str().unwrap(),
    ]);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hand-offs.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (_, code) = document.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let code = format!("{code}\nprint(means.to_json())");
    let printed = script(&python, &code, folder.path());
    let (table, means) = printed.trim_end().rsplit_once('\n').unwrap();
    assert!(table.contains("pi (fine-tuned)"), "{table}");
    let means: Value = serde_json::from_str(means).unwrap();
    for cell in results(&out)
        .iter()
        .filter(|cell| cell["scheme"]["name"] == "alibi")
    {
        for length in [32, 64] {
            let points = cell["measures"][0]["points"].as_array().unwrap().iter();
            let values = points
                .filter(|p| p["length"] == length)
                .flat_map(|p| p["value"].as_array().unwrap());
            let values: Vec<f64> = values.map(|x| x.as_f64().unwrap()).collect();
            let expected = values.iter().sum::<f64>() / values.len() as f64;
            let row = means[length.to_string()].as_object().unwrap();
            let (_, found) = row.iter().find(|(key, _)| key.contains("alibi")).unwrap();
            assert!((found.as_f64().unwrap() - expected).abs() < 1e-9, "{means}");
        }
    }
}

#[test]
fn tensorboard_reads_the_events_of_a_cell() {
    let modules = "tensorboard.backend.event_processing.event_accumulator";
    let Some(python) = python(modules) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = tiny(folder.path());
    let events = folder.path().join("events");
    printed(&[
        "export",
        out.to_str().unwrap(),
        "--format",
        "tensorboard",
        "-o",
        events.to_str().unwrap(),
    ]);
    let code = format!(
        "import glob, json\nfrom {modules} import EventAccumulator\nread = EventAccumulator(glob.glob('*alibi*')[0])\n\
         read.Reload()\nprint(json.dumps({{t: [[e.step, e.value] for e in read.Scalars(t)] for t in read.Tags()['scalars']}}))"
    );
    let read: Value = serde_json::from_str(&script(&python, &code, &events)).unwrap();
    let cells = results(&out);
    let cell = cells
        .iter()
        .find(|cell| cell["scheme"]["name"] == "alibi")
        .unwrap();
    let curve = cell["train"]["curve"].as_array().unwrap();
    let found = read["loss/training"].as_array().unwrap();
    assert_eq!(found.len(), curve.len());
    for (found, point) in found.iter().zip(curve) {
        assert_eq!(found[0], point[0]);
        assert!(
            (found[1].as_f64().unwrap() - point[1].as_f64().unwrap()).abs() < 1e-5,
            "{found} {point}"
        );
    }
    assert_eq!(
        read["passkey_by_length/exact_match"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "{read}"
    );
}
