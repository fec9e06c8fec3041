//! What happens to runs besides being killed: links in the place of files, folders that move, schedulers, full disks,
//! processes that hang.
#![cfg(unix)]

use farspan_acceptance::{TINY, cell_of, farspan, results, text, write_config};
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Place {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Place {
    fn with(steps: u64) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let text = TINY.replace("steps = 150", &format!("steps = {steps}"));
        let config = write_config(folder.path(), &text);
        Place { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, out: &Path) -> Command {
        let args = ["run", self.config.to_str().unwrap(), "--jobs", "1", "--out"];
        let mut command = farspan(&args);
        command.arg(out);
        command
    }

    fn run(&self, out: &Path, more: &[&str]) -> (i32, String) {
        let output = self.command(out).args(more).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    }

    /// A run whose first cell has begun to train.
    fn training(&self, out: &Path) -> Child {
        let mut child = self.command(out).stderr(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        let trains = || {
            let cells = std::fs::read_dir(out.join("cells")).ok()?;
            cells.flatten().find_map(|cell| {
                let events = std::fs::metadata(cell.path().join("events.jsonl"));
                events.is_ok_and(|meta| meta.len() > 0).then_some(())
            })
        };
        while trains().is_none() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the run ended too early"
            );
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "nothing trains"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_lock_that_leads_elsewhere_is_refused_and_its_target_is_left_alone() {
    let place = Place::with(2);
    let out = place.path("run");
    assert_eq!(place.run(&out, &[]).0, 0);
    let expected = results(&out);
    let cell = std::fs::read_dir(out.join("cells"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let precious = place.path("thesis.tex");
    let years = "years of work, without a line break";
    for (name, found) in [
        ("lock", "symbolic link"),
        ("lock", "no run wrote"),
        ("log.txt", "symbolic link"),
    ] {
        std::fs::write(&precious, years).unwrap();
        let in_cell = name != "lock";
        let path = if in_cell {
            cell.join(name)
        } else {
            out.join(name)
        };
        let _ = std::fs::remove_file(&path);
        match found {
            "symbolic link" => std::os::unix::fs::symlink(&precious, &path).unwrap(),
            _ => std::fs::hard_link(&precious, &path).unwrap(),
        }
        if in_cell {
            std::fs::remove_file(cell.join("result.json")).unwrap();
        }
        let (code, words) = place.run(&out, &[]);
        assert!(matches!(code, 1 | 74), "{name}: {code} {words}");
        assert!(
            words.contains(found) && words.contains(name),
            "{name}: {words}"
        );
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), years, "{name}");
        std::fs::remove_file(&path).unwrap();
        let (code, words) = place.run(&out, &[]);
        assert_eq!(code, 0, "{name}: {words}");
        assert!(results(&out) == expected);
    }
}

#[test]
fn a_run_whose_folder_is_renamed_ends_and_goes_on_under_the_new_name() {
    let place = Place::with(1500);
    let (old, new) = (place.path("old"), place.path("new"));
    let child = place.training(&old);
    std::fs::rename(&old, &new).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 74)),
        "{} {words}",
        output.status
    );
    assert!(!old.exists(), "made again under its old name: {words}");
    let (code, words) = place.run(&new, &[]);
    assert_eq!(code, 0, "{words}");
    let plain = place.path("plain");
    assert_eq!(place.run(&plain, &[]).0, 0);
    assert!(results(&new) == results(&plain));
}

#[test]
fn a_scheduler_that_takes_the_machine_back_gets_exit_code_75() {
    let place = Place::with(100_000);
    let out = place.path("run");
    let child = place.training(&out);
    signal(child.id(), "USR2");
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{words}");
    assert!(
        words.contains("the same command continues from here"),
        "{words}"
    );
    let status = farspan(&["status", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        text(&status.stdout).contains("interrupted"),
        "{}",
        text(&status.stdout)
    );
}

/// A signal to the process of a base alone: its extensions are not waited for without end.
#[test]
fn a_cell_that_is_interrupted_alone_is_left_for_the_next_run() {
    let place = Place::with(100_000);
    let out = place.path("run");
    let child = place
        .command(&out)
        .args(["-k", "pi"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = cell_of(&child);
    // Long enough that it listens.
    std::thread::sleep(Duration::from_millis(1500));
    signal(pid, "INT");
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{words}");
    assert!(words.contains("3 not finished"), "{words}");
}

/// The lock of a cell stays with a process that neither works nor ends.
#[test]
fn a_cell_that_another_process_holds_is_no_failure() {
    let place = Place::with(2);
    let out = place.path("run");
    assert_eq!(place.run(&out, &[]).0, 0);
    let expected = results(&out);
    let dir = RunDir::open(&out).unwrap();
    let plan = dir.plan().unwrap();
    let rope = plan.cells.iter().find(|c| c.scheme == "rope").unwrap();
    let held = dir.hold_cell(&rope.id).unwrap();
    std::fs::remove_file(dir.cell_dir(&rope.id).join("result.json")).unwrap();
    let (code, words) = place.run(&out, &[]);
    assert_eq!(code, 75, "{words}");
    let holder = format!("in use by process {}", std::process::id());
    assert!(
        words.contains(&holder) && !words.contains("failed"),
        "{words}"
    );
    drop(held);
    let (code, words) = place.run(&out, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(results(&out) == expected);
}

#[test]
fn a_stopped_holder_is_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    // A process that holds the lock as a run does, and is stopped.
    let script = "exec 9<>\"$1\"; flock 9; printf 'process %s on %s since now\\n' $$ \"$2\" >&9; kill -STOP $$";
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let spawned = Command::new("sh")
        .args(["-c", script, "sh", lock.to_str().unwrap(), host.trim()])
        .spawn();
    let mut child = spawned.unwrap();
    let started = Instant::now();
    while !std::fs::read_to_string(&lock).is_ok_and(|words| words.contains("since")) {
        if child.try_wait().unwrap().is_some() {
            // No flock(1) on this machine.
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let place = Place::with(2);
    let out = place.path("run");
    assert_eq!(place.run(&out, &[]).0, 0);
    std::fs::remove_file(out.join("lock")).unwrap();
    std::fs::hard_link(&lock, out.join("lock")).unwrap();
    let (code, words) = place.run(&out, &[]);
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(code, 75, "{words}");
    let told = format!("kill -CONT {}", child.id());
    assert!(
        !cfg!(target_os = "linux") || words.contains(&told),
        "{words}"
    );
}

#[test]
fn what_cannot_be_kept_on_the_disk_is_refused_before_it_starts() {
    let place = Place::with(2);
    let out = place.path("run");
    // 4e14 parameters: more than a petabyte.
    let huge = ["model.layers=500", "model.width=262144", "model.heads=2048"];
    let (code, words) = place.run(&out, &huge);
    assert_eq!(code, 74, "{words}");
    assert!(
        words.contains("weights and training state") && words.contains("free"),
        "{words}"
    );
}

#[test]
fn half_written_files_of_a_killed_report_are_swept() {
    let place = Place::with(2);
    let out = place.path("run");
    assert_eq!(place.run(&out, &[]).0, 0);
    // The process of a command that has ended.
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let mut left = Vec::new();
    for folder in ["", "figures", "tables"] {
        let name = format!(".x.half-written-{}-3", gone.id());
        left.push(out.join("report").join(folder).join(name));
        std::fs::write(left.last().unwrap(), "half").unwrap();
    }
    let other = out.join(format!("report/.y.half-written-{}-3", std::process::id()));
    std::fs::write(&other, "of one that still writes").unwrap();
    let report = farspan(&["report", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(report.status.success(), "{}", text(&report.stderr));
    assert!(left.iter().all(|path| !path.exists()), "{left:?}");
    assert!(other.exists());
}

/// A cell that gets no more memory says so, with what was expected of it.
#[test]
#[cfg(target_os = "linux")]
fn a_cell_out_of_memory_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(
        folder.path(),
        r#"
name = "memory"
seeds = [0]
[schemes.shaw.shaw]
[studies.retrieval]
task = "passkey"
model = { layers = 1, width = 32, heads = 4 }
train = { length = 32, batch = 2, steps = 1, warmup = 0 }
evaluate.task = { lengths = [32, 8192], grid = { depth = 1 }, prompts = 1 }
"#,
    );
    let plan = farspan(&["plan", "--json", config.to_str().unwrap()])
        .output()
        .unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let forecast = plan["cells"][0]["memory_bytes"].as_f64().unwrap();
    // Scores of 4 heads are 1 GiB.
    assert!((4e9..12e9).contains(&forecast), "{forecast}");
    let command = farspan(&["run", config.to_str().unwrap(), "--jobs", "1", "--out"]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 1000000; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .arg(folder.path().join("run"));
    let output = limited.output().unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("failed: out of memory: memory allocation of"),
        "{words}"
    );
    assert!(
        words.contains("its forecast is") && !words.contains("RUST_BACKTRACE"),
        "{words}"
    );
}
