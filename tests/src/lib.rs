//! What the acceptance tests share: finding and running the program, and tiny configs.
#![expect(missing_docs, reason = "helpers of tests, named for what they do")]

pub mod checkpoints;
pub mod fake_cuda;
pub mod mutants;
pub mod parity;
pub mod spelling;
pub mod tiny;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// The `farspan` program beside the test executables. `cargo build` of the same profile makes it.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps/<test>");
    let program = folder.join(format!("farspan{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not there: run `cargo build` with the profile of the tests first (./test.sh does)",
        program.display()
    );
    program
}

pub fn farspan(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env("NO_COLOR", "1");
    command
}

pub fn run(args: &[&str]) -> Output {
    farspan(args).output().expect("the program starts")
}

/// What a command that succeeds prints.
pub fn printed(args: &[&str]) -> String {
    let output = run(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The process of the first cell that a running `farspan run` has started.
pub fn cell_of(run: &Child) -> u32 {
    let started = Instant::now();
    loop {
        let found = Command::new("pgrep")
            .args(["-P", &run.id().to_string()])
            .output()
            .expect("pgrep starts");
        if let Ok(pid) = text(&found.stdout).trim().parse() {
            return pid;
        }
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(60), "no cell process appeared");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run that needs no text and ends in seconds: two trained schemes, an extension zero-shot and fine-tuned.
pub const TINY: &str = r#"
name = "tiny"
seeds = [0]
[schemes.rope.rope]
[schemes.alibi.alibi]
[schemes.pi.pi]
base = "rope"
factor = 2
finetune = { steps = 20, times = 2 }
[studies.retrieval]
task = "passkey"
model = { layers = 1, width = 32, heads = 2 }
train = { length = 32, batch = 8, steps = 150, warmup = 10, validate_every = 50 }
evaluate.task = { lengths = [32, 64], grid = { depth = 3 }, prompts = 4 }
"#;

pub fn write_config(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("config.toml");
    std::fs::write(&path, text).expect("a temporary file can be written");
    path
}

/// Every `result.json` of a run folder, by cell.
pub fn results(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(run.join("cells"))
        .expect("a run folder has cells")
        .map(|entry| entry.expect("readable").path())
        .map(|cell| {
            let name = cell
                .file_name()
                .expect("a cell has a name")
                .to_string_lossy()
                .into_owned();
            let bytes = std::fs::read(cell.join("result.json"));
            (
                name,
                bytes.unwrap_or_else(|e| panic!("{}: {e}", cell.display())),
            )
        })
        .collect();
    found.sort();
    found
}
