//! Runs survive: signals, kill -9 at any moment, several jobs. The bytes of every result stay the same.

use farspan::cell;
use farspan::machine::cpu_seconds;
use farspan_acceptance::{TINY, cell_of, farspan, results, text, write_config};
use farspan_reports::store::RunDir;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn finish(config: &Path, out: &Path, jobs: &str) {
    let args = [
        "run",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--jobs",
        jobs,
    ];
    let output = farspan(&args).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        output.status,
        text(&output.stderr)
    );
}

fn signal(pid: u32, name: &str) {
    assert!(
        Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Starts a run and sends it `name` after `after`; the exit code, if it had one.
fn stop_after(config: &Path, out: &Path, after: Duration, name: &str) -> Option<i32> {
    let args = [
        "run",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--jobs",
        "1",
    ];
    let mut child = farspan(&args)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while started.elapsed() < after {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(child.id(), name);
    child.wait().unwrap().code()
}

#[test]
fn results_do_not_depend_on_jobs_or_on_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let whole = folder.path().join("whole");
    let started = Instant::now();
    finish(&config, &whole, "1");
    let took = started.elapsed();
    let expected = results(&whole);
    assert_eq!(expected.len(), 4);

    let parallel = folder.path().join("parallel");
    finish(&config, &parallel, "2");
    assert!(
        results(&parallel) == expected,
        "results differ between --jobs 1 and --jobs 2"
    );

    // Times that fall into planning, training, fine-tuning, measuring and reporting; each start resumes the last.
    for (name, parts) in [
        ("KILL", [0.07, 0.23, 0.31, 0.44, 0.58, 0.71]),
        ("INT", [0.11, 0.19, 0.37, 0.29, 0.53, 0.83]),
    ] {
        let out = folder.path().join(name);
        for part in parts {
            let code = stop_after(&config, &out, took.mul_f64(part), name);
            assert!(
                matches!(code, None | Some(0 | 130)),
                "{name} after {part}: exit code {code:?}"
            );
        }
        finish(&config, &out, "1");
        assert!(results(&out) == expected, "results differ after {name}");
    }
}

#[test]
fn a_signal_leaves_a_resumable_run_and_says_so_in_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    // Long enough that no machine is done before the signal.
    let config = write_config(
        folder.path(),
        &TINY.replace("steps = 150", "steps = 100000"),
    );
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let out = folder.path().join(name);
        assert_eq!(
            stop_after(&config, &out, Duration::from_secs(3), name),
            Some(code)
        );
        let status = farspan(&["status", out.to_str().unwrap(), "--json"])
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let states = status.to_string();
        assert!(states.contains("interrupted"), "{states}");
    }
}

#[test]
fn a_cell_killed_from_outside_is_told_with_a_reason_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &TINY.replace("steps = 150", "steps = 3000"));
    let out = folder.path().join("run");
    let args = [
        "run",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--jobs",
        "1",
        "-k",
        "alibi",
    ];
    let child = farspan(&args).stderr(Stdio::piped()).spawn().unwrap();
    let pid = cell_of(&child);
    signal(pid, "KILL");
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(
        words.contains("signal: 9") && words.contains("tried again"),
        "{words}"
    );
}

#[test]
fn a_diverged_cell_is_a_state_and_its_extension_says_why_it_has_no_base() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let out = folder.path().join("run");
    let args = [
        "run",
        config.to_str().unwrap(),
        "train.lr=3e3",
        "train.warmup=0",
        "train.clip=1e9",
    ];
    let output = farspan(&args)
        .args(["--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("diverged: loss"), "{log}");
    assert!(log.contains("its base retrieval/rope/s0 diverged"), "{log}");
}

#[test]
fn a_folder_of_another_config_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &TINY.replace("steps = 150", "steps = 2"));
    let out = folder.path().join("run");
    finish(&config, &out, "1");
    let before = results(&out);
    let args = [
        "run",
        config.to_str().unwrap(),
        "train.lr=1e-4",
        "--out",
        out.to_str().unwrap(),
    ];
    let output = farspan(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let log = text(&output.stderr);
    assert!(
        log.contains("another config") && log.contains("--out"),
        "{log}"
    );
    assert!(results(&out) == before);
}

/// The first half of a search's log, and half a line more, stand for a search that was killed while writing.
#[test]
fn a_search_goes_on_where_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(
        folder.path(),
        r#"
name = "search"
seeds = [0]
[schemes.rope.rope]
[schemes.found.longrope]
base = "rope"
factor = 2
search = { windows = 2, population = 6, parents = 4, mutations = 3, crossovers = 3, iterations = 4 }
[studies.retrieval]
task = "passkey"
model = { layers = 1, width = 32, heads = 2 }
train = { length = 32, batch = 8, steps = 60, warmup = 10 }
evaluate.task = { lengths = [32, 64], grid = { depth = 3 }, prompts = 4 }
"#,
    );
    let out = folder.path().join("run");
    finish(&config, &out, "1");
    let (cell, whole) = results(&out)
        .into_iter()
        .find(|(_, result)| text(result).contains("\"search\""))
        .expect("a cell that searched");
    let cell = out.join("cells").join(cell);
    let log = std::fs::read_to_string(cell.join("search.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 30);
    let losses = log.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["loss"].as_f64().unwrap()
    });
    let best = losses.fold(f64::INFINITY, f64::min);
    let result: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(result["search"]["nll"].as_f64(), Some(best));
    assert_eq!(result["search"]["rivals"].as_array().unwrap().len(), 3);
    assert!(result["scheme"]["settings"].get("search").is_none());

    let half = log.match_indices('\n').nth(14).unwrap().0;
    std::fs::write(cell.join("search.jsonl"), &log[..half + 20]).unwrap();
    std::fs::remove_file(cell.join("result.json")).unwrap();
    std::fs::remove_file(cell.join("status.json")).unwrap();
    finish(&config, &out, "1");
    let again = std::fs::read_to_string(cell.join("search.jsonl")).unwrap();
    assert!(again == log, "{again}\n{log}");
    assert!(std::fs::read(cell.join("result.json")).unwrap() == whole);
}

/// A cell that was stopped tells the processor time of all that made it: here of one process twice.
#[test]
fn processor_time_is_summed_over_the_processes_of_a_cell() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &TINY.replace("steps = 150", "steps = 30"));
    let out = folder.path().join("run");
    let args = [
        "plan",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let output = farspan(&args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // More than the cell itself takes.
    let mut sum = 0_u64;
    while cpu_seconds() < 3.0 {
        sum = std::hint::black_box(sum.wrapping_add(1));
    }
    let dir = RunDir::open(&out).unwrap();
    let id = &dir.plan().unwrap().cells[0].id;
    let registry = farspan_pe::Registry::builtin();
    let first = cpu_seconds();
    let asked = std::cell::Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) == 10;
    let ended = cell::run(&dir, id, &registry, &stop).unwrap();
    assert_eq!(ended, cell::Ended::Interrupted);
    let second = cpu_seconds();
    let ended = cell::run(&dir, id, &registry, &|| false).unwrap();
    assert_eq!(ended, cell::Ended::Done);
    let told = dir.cost(id).unwrap().unwrap().cpu_seconds;
    assert!(told >= first + second, "{told}: {first} and {second}");
    assert!(told <= 2.0 * cpu_seconds(), "{told}");
}
