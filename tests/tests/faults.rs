//! A run whose nth file operation goes wrong, for every n: the next healthy run ends well, with the same bytes.
//!
//! The test command tries a sample of what happens outside of the page. `FARSPAN_FAULTS=3600 cargo test --release -p
//! farspan-acceptance --test faults -- --nocapture` tries for an hour, the page as well. Everything takes about three, most
//! of it waiting: `FARSPAN_FAULTS_PART=2/8` is the second of eight parts that can go side by side,
//! `FARSPAN_FAULTS_FROM=500` leaves out what comes before case 500.
#![cfg(target_os = "linux")]

use farspan_acceptance::{farspan, program, results, text, write_config};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Six cells of every kind: trained, zero-shot, fine-tuned, and one that searches.
const SIX: &str = r#"
name = "six"
seeds = [0]
[schemes.rope.rope]
[schemes.nope.nope]
[schemes.alibi.alibi]
[schemes.pi.pi]
base = "rope"
factor = 2
finetune = { steps = 3, times = 2 }
[schemes.found.longrope]
base = "rope"
factor = 2
search = { windows = 1, population = 3, parents = 2, mutations = 1, crossovers = 1, iterations = 1 }
[studies.retrieval]
task = "passkey"
model = { layers = 1, width = 16, heads = 2 }
train = { length = 32, batch = 4, steps = 6, warmup = 2, validate_every = 3 }
evaluate.task = { lengths = [32, 64], grid = { depth = 2 }, prompts = 2 }
"#;

/// The ways of `fixtures/fault.c`, each once and for good.
const WAYS: [(&str, bool); 8] = [
    ("full", false),
    ("error", false),
    ("short", false),
    ("kill", false),
    ("full", true),
    ("error", true),
    ("short", true),
    ("kill", true),
];

/// Which part of the cases is asked for, from 0, and of how many.
fn part() -> (u64, u64) {
    let Ok(text) = std::env::var("FARSPAN_FAULTS_PART") else {
        return (0, 1);
    };
    let numbers = text.split_once('/');
    let numbers = numbers.and_then(|(k, n)| Some((k.parse::<u64>().ok()?, n.parse().ok()?)));
    match numbers {
        Some((k, n)) if 1 <= k && k <= n => (k - 1, n),
        _ => panic!("FARSPAN_FAULTS_PART: expected K/N, found {text:?}"),
    }
}

/// Seconds that the sample may take.
const SAMPLE: u64 = 25;

struct Faults {
    folder: tempfile::TempDir,
    library: PathBuf,
    config: PathBuf,
    /// Whether operations on the page go wrong, too.
    page: bool,
}

impl Faults {
    /// `None` without a C compiler.
    fn prepare(page: bool) -> Option<Faults> {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("fault.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fault.c");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .ok()?;
        assert!(made.status.success(), "{}", text(&made.stderr));
        let config = write_config(folder.path(), SIX);
        Some(Faults {
            folder,
            library,
            config,
            page,
        })
    }

    /// One more worker.
    fn worker(&self, out: &Path) -> Command {
        let mut command = farspan(&["work"]);
        command.arg(out).args(["--jobs", "1", "--lease", "3s"]);
        command
    }

    fn command(&self, out: &Path) -> Command {
        let args = ["run", self.config.to_str().unwrap(), "--jobs", "2", "--out"];
        let mut command = farspan(&args);
        command.arg(out);
        command
    }

    /// A run in which operation `at` goes wrong; its output, the number of operations and of faults.
    fn faulty(&self, out: &Path, at: u64, way: (&str, bool)) -> (Output, u64, u64) {
        self.with_fault(self.command(out), out, at, way)
    }

    fn with_fault(
        &self,
        mut command: Command,
        out: &Path,
        at: u64,
        (how, for_good): (&str, bool),
    ) -> (Output, u64, u64) {
        let counter = self.folder.path().join("counter");
        std::fs::write(&counter, [0; 16]).unwrap();
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAULT_BELOW", out)
            .env("FAULT_COUNTER", &counter)
            .env("FAULT_AT", at.to_string())
            .env("FAULT_HOW", how);
        if !self.page {
            command.env("FAULT_BESIDE", out.join("report"));
        }
        if for_good {
            command.env("FAULT_FOR_GOOD", "1");
        }
        let output = command.output().unwrap();
        let counts = std::fs::read(&counter).unwrap();
        let count = |i: usize| u64::from_le_bytes(counts[8 * i..][..8].try_into().unwrap());
        (output, count(0), count(1))
    }

    fn healthy(&self, out: &Path) -> Vec<(String, Vec<u8>)> {
        let output = self.command(out).output().unwrap();
        assert!(
            output.status.success(),
            "{}\n{}",
            output.status,
            text(&output.stderr)
        );
        assert_eq!(half_written(out), Vec::<PathBuf>::new());
        results(out)
    }
}

/// Half-written files anywhere below a folder.
fn half_written(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => half_written(&path),
        false => vec![path],
    });
    found
        .filter(|path| path.to_string_lossy().contains(".half-written-"))
        .collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "says what was tried")]
fn whatever_operation_goes_wrong_the_next_run_ends_with_the_same_bytes() {
    assert!(program().exists());
    let asked = std::env::var("FARSPAN_FAULTS").ok();
    let asked: Option<u64> = asked.and_then(|seconds| seconds.parse().ok());
    let Some(faults) = Faults::prepare(asked.is_some()) else {
        eprintln!("skipped: no C compiler (cc) to build fixtures/fault.c with");
        return;
    };
    let plain = faults.folder.path().join("plain");
    let (output, operations, _) = faults.faulty(&plain, 0, ("full", false));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = results(&plain);
    assert_eq!(expected.len(), 6);
    assert!(operations > 50, "{operations} operations counted");

    let time = Duration::from_secs(asked.unwrap_or(SAMPLE));
    let started = Instant::now();
    // A walk over all (way, n) in steps that share no factor with their number.
    let cases = operations * WAYS.len() as u64;
    let step = (cases * 618 / 1000..)
        .find(|step| gcd(*step, cases) == 1)
        .unwrap();
    let (mut tried, mut struck) = (0, 0);
    let (first, parts) = part();
    let from = std::env::var("FARSPAN_FAULTS_FROM").map_or(0, |text| text.parse().unwrap());
    for i in (first..cases)
        .step_by(parts as usize)
        .filter(|i| *i >= from)
    {
        if started.elapsed() > time {
            break;
        }
        let case = i * step % cases;
        let (at, way) = (
            1 + case / WAYS.len() as u64,
            WAYS[(case % WAYS.len() as u64) as usize],
        );
        let out = faults.folder.path().join(format!("run-{i}"));
        let (output, _, faults_seen) = faults.faulty(&out, at, way);
        let found = std::panic::catch_unwind(|| faults.healthy(&out));
        let same = found.as_ref().is_ok_and(|found| *found == expected);
        assert!(
            same,
            "operation {at}, {way:?}: the run after it differs; the run said\n{}",
            text(&output.stderr)
        );
        tried += 1;
        struck += u64::from(faults_seen > 0);
        std::fs::remove_dir_all(&out).unwrap();
    }
    eprintln!("{tried} of {cases} cases over {operations} operations, {struck} struck");
    assert!(struck >= 3, "{struck} of {tried} faults struck");
}

/// The disk of one of two workers fails: what the other makes beside it is whole, and nothing that the first wrote stands
/// in its way.
#[test]
#[expect(clippy::print_stderr, reason = "says what was tried")]
fn a_worker_whose_disk_fails_does_not_spoil_what_others_make() {
    let Some(faults) = Faults::prepare(false) else {
        eprintln!("skipped: no C compiler (cc) to build fixtures/fault.c with");
        return;
    };
    let expected = faults.healthy(&faults.folder.path().join("plain"));
    let planned = faults.folder.path().join("planned");
    let args = ["plan", faults.config.to_str().unwrap(), "--out"];
    let output = farspan(&args).arg(&planned).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = faults.folder.path().join("shared");
    let fresh = || {
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir_all(out.join("cells")).unwrap();
        for cell in std::fs::read_dir(planned.join("cells")).unwrap().flatten() {
            std::fs::create_dir(out.join("cells").join(cell.file_name())).unwrap();
        }
        std::fs::copy(planned.join("plan.json"), out.join("plan.json")).unwrap();
    };
    fresh();
    let whole = faults.with_fault(faults.worker(&out), &out, 0, WAYS[0]);
    assert!(whole.0.status.success(), "{}", text(&whole.0.stderr));
    let (mut tried, mut struck) = (0, 0);
    let started = Instant::now();
    let cases = (0..).map(|i: u64| (1 + i * 618 / 100 % whole.1, WAYS[(i % 8) as usize]));
    for (at, way) in cases.take_while(|_| started.elapsed() < Duration::from_secs(SAMPLE)) {
        fresh();
        let mut other = faults.worker(&out);
        other.stderr(std::process::Stdio::null());
        let mut other = other.spawn().unwrap();
        let (output, _, faults_seen) = faults.with_fault(faults.worker(&out), &out, at, way);
        let ended = other.wait().unwrap();
        // Cells that failed under the first may have been given up; a cell without a result would be told.
        assert!(matches!(ended.code(), Some(0 | 1)), "{ended}");
        let found = faults.healthy(&out);
        assert!(
            found == expected,
            "operation {at}, {way:?}: results differ; the worker said\n{}",
            text(&output.stderr)
        );
        tried += 1;
        struck += u64::from(faults_seen > 0);
    }
    eprintln!("{tried} cases over {} operations, {struck} struck", whole.1);
    assert!(struck >= 3, "{struck} of {tried} faults struck");
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
