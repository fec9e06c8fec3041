//! Runs from the command line: their plans, their folders, and what is shown, drawn, exported and compared of them.

use super::{fails, fine, json, path};
use farspan_acceptance::{TINY, text, write_config};
use serde_json::Value;
use std::path::Path;

#[test]
fn plans_count_choose_and_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let plan = json(&["plan", path(&config), "--json"]);
    let labels = |plan: &Value| -> Vec<String> {
        let cells = plan["cells"].as_array().unwrap().iter();
        cells
            .map(|cell| cell["label"].as_str().unwrap().to_string())
            .collect()
    };
    let all = [
        "retrieval/rope/s0",
        "retrieval/alibi/s0",
        "retrieval/pi/s0",
        "retrieval/pi+finetuned/s0",
    ];
    assert_eq!(labels(&plan), all);
    let rope = &plan["cells"][0];
    assert_eq!(rope["train_tokens"], 150 * 8 * 32);
    assert!(rope["flops"].as_f64() > Some(1e8) && rope["memory_bytes"].as_f64() > Some(1e6));
    assert!(rope["parameters"].as_u64() > Some(10_000) && rope["seconds"].as_f64() > Some(0.0));
    // A chosen extension brings its base along.
    let chosen = json(&[
        "run",
        path(&config),
        "--dry-run",
        "-k",
        "finetuned",
        "--json",
    ]);
    assert_eq!(labels(&chosen), [all[0], all[3]]);
    assert_eq!(
        labels(&json(&["plan", path(&config), "--limit", "2", "--json"])),
        &all[..2]
    );
    let table = text(&fine(&["plan", path(&config)]).stdout);
    assert!(
        all.iter().all(|label| table.contains(label)) && table.contains("tiny: 4 cells"),
        "{table}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn many_cells_need_consent() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let seeds: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let seeds = format!("seeds=[{}]", seeds.join(","));
    assert!(
        fails(&["plan", path(&config), &seeds], 2)
            .contains("1200 cells, more than 1000; --yes allows them")
    );
    let plan = json(&["plan", path(&config), &seeds, "--yes", "--json"]);
    assert_eq!(plan["cells"].as_array().map(Vec::len), Some(1200));
}

#[test]
fn folders_that_are_no_runs_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["status", "watch", "report"] {
        assert!(fails(&[verb, path(folder.path())], 2).contains("not a run folder"));
    }
    assert!(
        fails(&["export", path(folder.path()), "--format", "csv"], 2).contains("not a run folder")
    );
    assert!(
        fails(&["compare", path(folder.path()), path(folder.path())], 2)
            .contains("not a run folder")
    );
    let words = fails(&["export", path(folder.path()), "--format", "excel"], 2);
    assert!(
        words.contains("csv, jsonl, parquet, latex, markdown, lm-eval, ruler, tensorboard"),
        "{words}"
    );
    std::fs::write(folder.path().join("plan.json"), "{").unwrap();
    assert!(fails(&["status", path(folder.path())], 65).contains("plan.json"));
}

#[test]
fn a_finished_run_is_shown_drawn_exported_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let out = folder.path().join("run");
    let steps = [
        "train.steps=2",
        "train.warmup=1",
        "schemes.pi.pi.finetune.steps=1",
    ];
    let args = [
        &[
            "run",
            path(&config),
            "--out",
            path(&out),
            "--json",
            "--quiet",
        ][..],
        &steps,
    ]
    .concat();
    let outcome = json(&args);
    assert_eq!(
        (&outcome["done"], &outcome["interrupted"]),
        (&4.into(), &Value::Null)
    );
    assert!(Path::new(outcome["report"].as_str().unwrap()).is_file());

    let status = json(&["status", path(&out), "--json"]);
    let cells = status["cells"].as_array().unwrap();
    assert!(
        cells.len() == 4 && cells.iter().all(|cell| cell["state"] == "done"),
        "{status}"
    );
    let trained = cells.iter().filter(|cell| cell["steps"] != 0);
    for cell in trained {
        assert!(
            cell["loss"].as_f64().is_some_and(|loss| loss > 0.0),
            "{cell}"
        );
        assert!(
            cell["tokens_per_second"]
                .as_f64()
                .is_some_and(|speed| speed > 0.0),
            "{cell}"
        );
    }
    // A run that is over is drawn once.
    let drawn = fine(&["report", path(&out), "--follow", "--json"]);
    let page: Value = serde_json::from_slice(&drawn.stdout).unwrap();
    assert!(
        page["page"].as_str().unwrap().ends_with("report.html"),
        "{page}"
    );
    assert_eq!(
        text(&drawn.stderr).matches("drawn: ").count(),
        1,
        "{}",
        text(&drawn.stderr)
    );
    let words = text(&fine(&["watch", path(&out)]).stdout);
    assert_eq!(words, "tiny: 4 of 4 cells done\n");

    let page = folder.path().join("page.html");
    fine(&["report", path(&out), path(&out), "-o", path(&page)]);
    assert!(std::fs::read_to_string(&page).unwrap().contains("</html>"));
    assert!(fails(&["report", path(&out), path(&out)], 2).contains("-o FILE.html"));

    for format in ["csv", "jsonl", "parquet", "latex", "markdown"] {
        let bytes = fine(&["export", path(&out), "--format", format]).stdout;
        assert!(bytes.len() > 100, "{format}");
        let file = folder.path().join(format);
        fine(&["export", path(&out), "--format", format, "-o", path(&file)]);
        assert!(std::fs::read(&file).unwrap() == bytes, "{format}");
    }
    assert!(fails(&["export", path(&out), "--format", "lm-eval"], 2).contains("a folder with -o"));
    let results = folder.path().join("lm-eval");
    fine(&[
        "export",
        path(&out),
        "--format",
        "lm-eval",
        "-o",
        path(&results),
    ]);
    assert_eq!(std::fs::read_dir(results).unwrap().count(), 4);

    let same = json(&["compare", path(&out), path(&out), "--json"]);
    let differences = same["studies"][0]["differences"].as_array().unwrap();
    assert!(
        !differences.is_empty() && differences.iter().all(|d| d["difference"]["value"] == 0.0),
        "{same}"
    );

    // What the folder says about its config is a config of the same run.
    let resolved = out.join("resolved.toml");
    let again = json(&[
        "run",
        path(&resolved),
        "--out",
        path(&out),
        "--json",
        "--quiet",
    ]);
    assert_eq!(again["done"], 4);
}

#[test]
fn a_run_beside_other_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let out = folder.path().join("mine");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.tex"), "years of work").unwrap();
    let words = fails(&["run", path(&config), "--out", path(&out)], 2);
    assert!(words.contains("thesis.tex"), "{words}");
}
