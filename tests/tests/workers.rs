//! Many workers on one run folder: they are killed, put to sleep past their leases and woken, their clocks differ; the
//! bytes of every result stay those of a plain run.
//!
//! `FARSPAN_KILLS=200 cargo test --release -p farspan-acceptance --test workers -- --nocapture` kills for longer.
#![cfg(target_os = "linux")]

#[path = "workers/folders.rs"]
mod folders;

use farspan_acceptance::{TINY, farspan, results, text, write_config};
use farspan_datasets::rng::Stream;
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time that leases last where workers sleep through them; where nobody does, it is long enough for any machine.
const LEASE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(120);

struct Place {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Place {
    fn with(text: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let config = write_config(folder.path(), text);
        Place { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A finished run, for its results.
    fn plain(&self) -> Vec<(String, Vec<u8>)> {
        let out = self.path("plain");
        assert_eq!(self.verb("run", &out, &["--jobs", "2"]).0, 0);
        results(&out)
    }

    /// A folder that nobody has worked in.
    fn planned(&self, name: &str) -> PathBuf {
        let out = self.path(name);
        let (code, words) = self.verb("plan", &out, &[]);
        assert_eq!(code, 0, "{words}");
        out
    }

    fn verb(&self, verb: &str, out: &Path, more: &[&str]) -> (i32, String) {
        let args = [verb, self.config.to_str().unwrap(), "--out"];
        let output = farspan(&args).arg(out).args(more).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    }
}

fn worker(run: &Path, lease: Duration) -> Command {
    let mut command = farspan(&["work"]);
    let lease = format!("{}s", lease.as_secs());
    command.arg(run).args(["--jobs", "1", "--lease", &lease]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn work(run: &Path, more: &[&str]) -> (i32, String) {
    let output = worker(run, LONG).args(more).output().unwrap();
    (output.status.code().unwrap(), text(&output.stderr))
}

fn signal(pids: &[u32], name: &str) {
    for pid in pids {
        // One that has just ended needs no signal.
        let _ = Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

/// Processes that a worker has started.
fn cells_of(worker: u32) -> Vec<u32> {
    let found = Command::new("pgrep")
        .args(["-P", &worker.to_string()])
        .output()
        .unwrap();
    text(&found.stdout)
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect()
}

/// Processes whose command line names this folder.
fn processes_in(run: &Path) -> Vec<String> {
    let named = run.to_string_lossy().into_owned();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| text(&line).replace('\0', " "));
    lines
        .filter(|line| line.contains(&named) && line.contains("farspan"))
        .collect()
}

/// Names of the leases of all cells.
fn leases(run: &Path) -> Vec<String> {
    let cells = std::fs::read_dir(run.join("cells")).unwrap().flatten();
    let files = cells.flat_map(|cell| std::fs::read_dir(cell.path()).unwrap().flatten());
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("lease.")).collect()
}

fn half_written(run: &Path) -> Vec<PathBuf> {
    let cells = std::fs::read_dir(run.join("cells")).unwrap().flatten();
    let folders = cells.map(|cell| cell.path()).chain([run.to_path_buf()]);
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let paths = files.map(|file| file.path());
    paths
        .filter(|path| path.to_string_lossy().contains(".half-written-"))
        .collect()
}

fn seeds(count: u64) -> String {
    let seeds: Vec<String> = (0..count).map(|i| i.to_string()).collect();
    TINY.replace("seeds = [0]", &format!("seeds = [{}]", seeds.join(", ")))
}

#[test]
fn eight_workers_make_every_cell_once() {
    let place = Place::with(&seeds(2).replace("steps = 150", "steps = 20"));
    let expected = place.plain();
    let run = place.planned("run");
    let mut workers: Vec<Child> = (0..8)
        .map(|_| worker(&run, LONG).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for worker in &mut workers {
        let ended = worker.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
    assert!(results(&run) == expected);
    // Nothing was taken from anybody: each cell has the lease that it was made under first.
    assert_eq!(leases(&run), vec!["lease.0"; expected.len()]);
    assert_eq!(half_written(&run), Vec::<PathBuf>::new());
}

#[test]
#[expect(clippy::print_stderr, reason = "says what was tried")]
fn workers_that_are_killed_and_sleep_through_their_leases_lose_nothing() {
    let asked = std::env::var("FARSPAN_KILLS").map(|n| n.parse().unwrap());
    let kills: usize = asked.unwrap_or(12);
    let config = seeds(3 + kills as u64 / 8);
    let place = Place::with(&config.replace("steps = 150", "steps = 600"));
    let expected = place.plain();
    let run = place.planned("run");
    let start = || worker(&run, LEASE).stderr(Stdio::null()).spawn().unwrap();
    let mut workers: Vec<Child> = (0..8).map(|_| start()).collect();
    let mut sleeping: Vec<(Vec<u32>, Instant)> = Vec::new();
    let mut stream = Stream::new(7, "kills");
    let (mut killed, mut slept) = (0, 0);
    let started = Instant::now();
    let done = || {
        let dir = RunDir::open(&run).unwrap();
        let cells = dir.plan().unwrap().cells;
        cells
            .iter()
            .all(|cell| dir.cell_dir(&cell.id).join("result.json").exists())
    };
    while !done() {
        let limit = Duration::from_secs(300 + 3 * kills as u64);
        assert!(started.elapsed() < limit, "not done after {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
        sleeping.retain(|(pids, since)| {
            let over = since.elapsed() > LEASE * 2;
            if over {
                signal(pids, "CONT");
            }
            !over
        });
        let victim = stream.below(workers.len() as u64) as usize;
        let pid = workers[victim].id();
        if workers[victim].try_wait().unwrap().is_some() {
            workers[victim] = start();
            continue;
        }
        let asleep = |pid: u32| sleeping.iter().any(|(pids, _)| pids.contains(&pid));
        // Each happens at once: a fast machine is done in seconds.
        let act = match (killed, slept) {
            (0, _) => 0,
            (_, 0) => 3,
            _ => stream.below(8),
        };
        match act {
            // The worker; its cell sees that it is alone.
            0 | 1 if killed < kills && !asleep(pid) => {
                signal(&[pid], "KILL");
                workers[victim].wait().unwrap();
                workers[victim] = start();
                killed += 1;
            }
            // The cell's process alone.
            2 if killed < kills && !asleep(pid) => {
                let cells = cells_of(pid);
                killed += cells.len();
                signal(&cells, "KILL");
            }
            // Both sleep through the lease, and wake up.
            3 if slept < 2 + kills / 3 && sleeping.len() < 3 && !asleep(pid) => {
                let both: Vec<u32> = [pid].into_iter().chain(cells_of(pid)).collect();
                signal(&both, "STOP");
                sleeping.push((both, Instant::now()));
                slept += 1;
            }
            _ => {}
        }
    }
    for (pids, _) in &sleeping {
        signal(pids, "CONT");
    }
    for worker in &mut workers {
        let ended = worker.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    eprintln!(
        "{killed} killed, {slept} put to sleep in {:?}",
        started.elapsed()
    );
    assert!(killed > 0 && slept > 0);
    assert!(results(&run) == expected);
    // Cells of workers that were killed late end by themselves.
    let waiting = Instant::now();
    while !processes_in(&run).is_empty() && waiting.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(processes_in(&run), Vec::<String>::new());
    let (code, words) = place.verb("run", &run, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(results(&run) == expected);
    assert_eq!(half_written(&run), Vec::<PathBuf>::new());
}

/// Two machines whose clocks are two hours apart: neither takes the other's cells.
#[test]
#[expect(clippy::print_stderr, reason = "says why it was not tried")]
fn clocks_that_differ_change_nothing() {
    let place = Place::with(&seeds(2));
    let library = place.path("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/clock.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output();
    let Ok(made) = made else {
        eprintln!("skipped: no C compiler (cc) to build fixtures/clock.c with");
        return;
    };
    assert!(made.status.success(), "{}", text(&made.stderr));
    let expected = place.plain();
    let run = place.planned("run");
    let start = |seconds: &str| {
        let mut command = worker(&run, LONG);
        command
            .env("LD_PRELOAD", &library)
            .env("CLOCK_SECONDS", seconds);
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let workers = ["3600", "-3600", "0"].map(start);
    // The shifted clock is the one that the program sees.
    let mut command = farspan(&["plan", "--out"]);
    let shifted = place.path("shifted");
    command.arg(&shifted).arg(&place.config);
    command
        .env("LD_PRELOAD", &library)
        .env("CLOCK_SECONDS", "3600");
    assert!(command.output().unwrap().status.success());
    let created = |run: &Path| {
        let created = RunDir::open(run).unwrap().plan().unwrap().created;
        created[..16].to_string()
    };
    assert_ne!(created(&shifted), created(&run));
    for mut worker in workers {
        assert_eq!(worker.wait().unwrap().code(), Some(0));
    }
    assert!(results(&run) == expected);
    assert_eq!(leases(&run), vec!["lease.0"; expected.len()]);
}

#[test]
fn a_cell_that_fails_is_tried_a_stated_number_of_times() {
    let place = Place::with(&TINY.replace("steps = 150", "steps = 2"));
    let run = place.planned("run");
    let dir = RunDir::open(&run).unwrap();
    let plan = dir.plan().unwrap();
    let rope = plan
        .cells
        .iter()
        .find(|cell| cell.scheme == "rope")
        .unwrap();
    let log = dir.cell_dir(&rope.id).join("log.txt");
    std::os::unix::fs::symlink("/nowhere", &log).unwrap();
    let (code, words) = work(&run, &["--tries", "2"]);
    assert_eq!(code, 1, "{words}");
    assert_eq!(words.matches("tried again").count(), 1, "{words}");
    assert!(
        words.contains("its base retrieval/rope/s0 failed"),
        "{words}"
    );
    let (code, words) = work(&run, &["--tries", "2"]);
    assert_eq!(code, 1, "{words}");
    assert!(
        words.contains("failed before") && !words.contains("tried again"),
        "{words}"
    );
    std::fs::remove_file(&log).unwrap();
    // Who asks for the run asks for all of it.
    let (code, words) = place.verb("run", &run, &[]);
    assert_eq!(code, 0, "{words}");
}

#[test]
fn a_worker_of_another_version_is_refused() {
    let place = Place::with(&TINY.replace("steps = 150", "steps = 2"));
    let run = place.planned("run");
    let dir = RunDir::open(&run).unwrap();
    let mut plan = dir.plan().unwrap();
    plan.version = "0.0.9 (0123456789)".into();
    dir.write_plan(&plan, "", "").unwrap();
    let (code, words) = work(&run, &[]);
    assert_eq!(code, 2, "{words}");
    assert!(
        words.contains("0.0.9 (0123456789)") && words.contains("one version"),
        "{words}"
    );
    assert!(leases(&run).is_empty());
    // Nobody is at work: `run` takes it over, and then it is of this version.
    assert_eq!(place.verb("run", &run, &["-k", "rope"]).0, 0);
    assert_eq!(work(&run, &[]).0, 0);
}

#[test]
fn a_worker_that_is_told_to_leave_saves_and_says_so_in_its_exit_code() {
    let place = Place::with(&TINY.replace("steps = 150", "steps = 100000"));
    let run = place.planned("run");
    for (name, code) in [("USR1", 75), ("TERM", 143), ("INT", 130)] {
        let mut child = worker(&run, LONG).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while cells_of(child.id()).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(2));
        let status = farspan(&["status", run.to_str().unwrap()])
            .output()
            .unwrap();
        let status = text(&status.stdout);
        let cell = cells_of(child.id())[0];
        assert!(
            status.contains("running") && status.contains(&format!(" {cell}")),
            "{status}"
        );
        signal(&[child.id()], name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        assert_eq!(processes_in(&run), Vec::<String>::new());
        let status = farspan(&["status", run.to_str().unwrap()])
            .output()
            .unwrap();
        let status = text(&status.stdout);
        assert!(
            status.contains("interrupted") && !status.contains("running"),
            "{status}"
        );
    }
    let started = Instant::now();
    let (code, words) = work(&run, &["--max-time", "3s"]);
    assert_eq!(code, 75, "{words}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let (code, words) = work(&run, &["-k", "none-of-them"]);
    assert_eq!(code, 2, "{words}");
    assert!(words.contains("no label of the 4 cells"), "{words}");
}
