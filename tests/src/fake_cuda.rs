//! A machine with a card of NVIDIA that is made of C++: `tests/fake_cuda/` has a driver, an NVRTC and a cuBLAS whose card is
//! the processor. They are built once into `target/`, and found by processes that are told where they lie.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// In which order threads of a block take turns.
pub const ORDERS: [&str; 3] = ["forward", "reverse", "shuffled"];

/// Set where a test runs in the process that has the card.
const INSIDE: &str = "FAKE_CUDA_INSIDE";

/// The folder with the libraries, and why there are none.
pub fn folder() -> Result<&'static Path, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(build);
    built.as_deref().map_err(String::clone)
}

/// Says in words that a test does not run.
pub fn skipped(why: &str) {
    eprintln!("skipped: no fake card: {why}");
}

fn build() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("it is one for Linux".into());
    }
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let version = Command::new(&compiler).arg("--version").output();
    let version = version.map_err(|e| format!("{compiler}: {e}"))?.stdout;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("fake_cuda");
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    let mut files: Vec<_> = fs::read_dir(&sources)
        .expect("the sources of the fake card")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    for file in &files {
        fs::read(file).expect("a source").hash(&mut hasher);
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let target = test
        .ancestors()
        .nth(3)
        .expect("target/<profile>/deps/<test>");
    let all = target.join("fake_cuda");
    let folder = all.join(format!("{:016x}", hasher.finish()));
    if folder.exists() {
        return Ok(folder);
    }
    // Another process may build it too; whoever is first wins.
    let beside = all.join(format!("{:016x}.{}", hasher.finish(), std::process::id()));
    fs::create_dir_all(&beside).expect("target can be written");
    let library = |source: &str, name: &str, more: &[String]| {
        let out = Command::new(&compiler)
            .args(["-std=c++17", "-O2", "-shared", "-fPIC", "-pthread"])
            .arg(sources.join(source))
            .arg("-o")
            .arg(beside.join(name))
            .args(more)
            .output()
            .expect("the compiler starts");
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{source}: {words}");
    };
    let soname = ["-Wl,-soname,libcuda.so.1", "-ldl"].map(String::from);
    library("cuda.cpp", "libcuda.so.1", &soname);
    // The first name that is looked for.
    fs::copy(beside.join("libcuda.so.1"), beside.join("libcuda.so")).expect("a copy");
    let defined = [
        format!("-DFAKE_SOURCES=\"{}\"", sources.display()),
        format!("-DFAKE_COMPILER=\"{compiler}\""),
    ];
    library("nvrtc.cpp", "libnvrtc.so.12", &defined);
    let driver = format!("-l:{}", "libcuda.so.1");
    let driver = ["-L".to_string() + &beside.display().to_string(), driver];
    library("cublas.cpp", "libcublas.so.12", &driver);
    if fs::rename(&beside, &folder).is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
    Ok(folder)
}

/// Where compiled kernels of all tests are kept: from one run of the tests to the next.
pub fn kernels(folder: &Path) -> PathBuf {
    folder.join("kernels")
}

/// A command on a machine with the card.
pub fn with_card(folder: &Path, mut command: Command) -> Command {
    command
        .env("LD_LIBRARY_PATH", folder)
        .env("FARSPAN_NVRTC", folder.join("libnvrtc.so.12"))
        .env("FARSPAN_CUBLAS", folder.join("libcublas.so.12"))
        .env("FARSPAN_CACHE", folder);
    command
}

/// Whether this is the process that [`inside`] started for a test.
pub fn is_inside(test: &str) -> bool {
    std::env::var(INSIDE).as_deref() == Ok(test)
}

/// Runs `body` in a process of its own that has the card and these variables: this program once more, for this test alone.
/// `test` is the test's name.
pub fn inside(test: &str, variables: &[(&str, &str)], body: &dyn Fn()) {
    if is_inside(test) {
        return body();
    }
    let folder = match folder() {
        Ok(folder) => folder,
        Err(why) => return skipped(&why),
    };
    let output = once_more(folder, test, variables);
    let told = [output.stdout, output.stderr].map(|x| String::from_utf8_lossy(&x).into_owned());
    assert!(
        output.status.success(),
        "{variables:?}:\n{}\n{}",
        told[0],
        told[1]
    );
}

fn once_more(folder: &Path, test: &str, variables: &[(&str, &str)]) -> Output {
    let program = std::env::current_exe().expect("a test knows its own path");
    let mut command = with_card(folder, Command::new(program));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .envs(variables.iter().copied());
    command.output().expect("the test starts once more")
}
