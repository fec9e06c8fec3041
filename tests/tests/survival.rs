//! Runs survive: signals, kill -9 at any moment, several jobs. The bytes of every result stay the same.

use farspan_acceptance::{TINY, farspan, results, text, write_config};
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
fn a_cell_killed_from_outside_is_a_failure_with_a_reason_and_the_rest_goes_on() {
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
    let started = Instant::now();
    let pid = loop {
        let found = Command::new("pgrep")
            .args(["-P", &child.id().to_string()])
            .output()
            .unwrap();
        if let Ok(pid) = text(&found.stdout).trim().parse() {
            break pid;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no cell process appeared"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    signal(pid, "KILL");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("signal: 9"),
        "{}",
        text(&output.stderr)
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
