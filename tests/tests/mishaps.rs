//! What happens to runs besides being killed: links in the place of files, folders that move, schedulers, full disks,
//! cells that others hold.
#![cfg(unix)]

use farspan_acceptance::{TINY, cell_of, farspan, results, text, write_config};
use farspan_reports::store::{Holder, LEASE, Process, RunDir};
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
fn a_log_that_leads_elsewhere_is_refused_and_its_target_is_left_alone() {
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
    std::fs::write(&precious, years).unwrap();
    let path = cell.join("log.txt");
    let _ = std::fs::remove_file(&path);
    std::os::unix::fs::symlink(&precious, &path).unwrap();
    std::fs::remove_file(cell.join("result.json")).unwrap();
    let (code, words) = place.run(&out, &[]);
    assert_eq!(code, 1, "{words}");
    assert!(
        words.contains("symbolic link") && words.contains("log.txt"),
        "{words}"
    );
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), years);
    std::fs::remove_file(&path).unwrap();
    let (code, words) = place.run(&out, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(results(&out) == expected);
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

/// A signal to the process of a cell alone: the cell saves, and is gone on with.
#[test]
fn a_cell_that_is_interrupted_alone_goes_on() {
    let place = Place::with(3000);
    let out = place.path("run");
    let child = place
        .command(&out)
        .args(["-k", "alibi"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = cell_of(&child);
    // Long enough that it listens.
    std::thread::sleep(Duration::from_millis(1500));
    signal(pid, "INT");
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let plain = place.path("plain");
    assert_eq!(place.run(&plain, &["-k", "alibi"]).0, 0);
    let cell = |out: &Path| {
        let dir = RunDir::open(out).unwrap();
        let cells = dir.plan().unwrap().cells;
        let id = cells
            .into_iter()
            .find(|cell| cell.scheme == "alibi")
            .unwrap()
            .id;
        std::fs::read(dir.cell_dir(&id).join("result.json")).unwrap()
    };
    assert!(cell(&out) == cell(&plain));
}

/// Who holds a cell on another machine is waited for, or left with it.
#[test]
fn a_cell_that_another_process_holds_is_no_failure() {
    let place = Place::with(2);
    let out = place.path("run");
    assert_eq!(place.run(&out, &[]).0, 0);
    let expected = results(&out);
    let dir = RunDir::open(&out).unwrap();
    let plan = dir.plan().unwrap();
    let rope = plan.cells.iter().find(|c| c.scheme == "rope").unwrap();
    let mut holder = Holder::me(&plan.version, Some("slurm 7_3".into()), LEASE);
    holder.process.host = "node17".into();
    holder.process.machine = "another".into();
    let held = dir.take_cell(&rope.id, holder).unwrap().unwrap();
    std::fs::remove_file(dir.cell_dir(&rope.id).join("result.json")).unwrap();
    let (code, words) = place.run(&out, &["--patience", "1s"]);
    assert_eq!(code, 75, "{words}");
    let told = format!(
        "process {} on node17, slurm 7_3 makes it",
        std::process::id()
    );
    assert!(
        words.contains(&told) && !words.contains("failed"),
        "{words}"
    );
    let status = farspan(&["status", out.to_str().unwrap()])
        .output()
        .unwrap();
    let status = text(&status.stdout);
    assert!(
        status.contains("node17") && status.contains("slurm 7_3"),
        "{status}"
    );
    held.release(Default::default()).unwrap();
    let (code, words) = place.run(&out, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(results(&out) == expected);
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

/// The name of a file that this process of this machine writes.
fn half_written(pid: u32) -> String {
    let me = Process::me();
    format!(".x.half-written-{}-{}-{pid}-0123", me.host, me.machine)
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
        let name = half_written(gone.id());
        left.push(out.join("report").join(folder).join(name));
        std::fs::write(left.last().unwrap(), "half").unwrap();
    }
    let other = out.join("report").join(half_written(std::process::id()));
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
    let args = [
        "run",
        config.to_str().unwrap(),
        "--jobs",
        "1",
        "--tries",
        "1",
        "--out",
    ];
    let command = farspan(&args);
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
