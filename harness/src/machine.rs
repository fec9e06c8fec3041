//! Facts about this machine and this program: for provenance, and for deciding how many cells run at once.

use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Version of this program, with the commit it was built from where that is known.
pub fn version() -> &'static str {
    env!("FARSPAN_VERSION")
}

/// The time now, RFC 3339 in UTC, to the second.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

/// The machine in words: `Linux x86_64, 2 × Intel Xeon with AVX2, 24 GiB`.
pub fn machine() -> String {
    let mut system = std::env::consts::OS.to_string();
    if let Some(first) = system.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let processor = processor().unwrap_or_else(|| "processor of unknown model".into());
    let memory =
        memory_bytes().map(|bytes| format!(", {:.0} GiB", bytes as f64 / (1u64 << 30) as f64));
    let (arch, cores) = (std::env::consts::ARCH, cores());
    let instructions = farspan_attention::ops::instruction_set();
    format!(
        "{system} {arch}, {cores} × {processor} with {instructions}{}",
        memory.unwrap_or_default()
    )
}

/// Processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads that this process computes with: `RAYON_NUM_THREADS`, or all cores.
pub fn threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|n| n.parse().ok());
    asked.filter(|&n| n > 0).unwrap_or_else(cores)
}

/// How a runner tells a cell's process how many cells run at once; recorded with the cell's cost.
pub const JOBS_VARIABLE: &str = "FARSPAN_JOBS";

/// Cells that run at once beside and with this one, as its runner said; 1 without a runner.
pub fn jobs() -> usize {
    std::env::var(JOBS_VARIABLE)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1)
}

/// Cells that run at once unless the user says otherwise: one per core on the CPU, one on a card.
pub fn default_jobs(device: &str) -> usize {
    if device == "cpu" { cores() } else { 1 }
}

/// How a worker tells a cell's process which adapter of wgpu is its own.
pub const ADAPTER_VARIABLE: &str = "FARSPAN_WGPU_ADAPTER";
/// The folder that relative paths of a config start from, where it is another than when the run was planned.
pub const DATA_VARIABLE: &str = "FARSPAN_DATA_ROOT";

/// The device that a config names, as it is opened here: where a worker deals out adapters, `wgpu` is the one dealt.
pub(crate) fn device(name: &str) -> String {
    match std::env::var(ADAPTER_VARIABLE) {
        Ok(adapter) if name == "wgpu" && !adapter.is_empty() => format!("{name}:{adapter}"),
        _ => name.to_string(),
    }
}

/// Cards of NVIDIA that this process may use, as `CUDA_VISIBLE_DEVICES` names them.
pub(crate) fn cuda_cards() -> Vec<String> {
    if let Ok(visible) = std::env::var("CUDA_VISIBLE_DEVICES") {
        let names = visible.split(',').map(str::trim);
        return names
            .filter(|name| !name.is_empty())
            .map(String::from)
            .collect();
    }
    let found = std::fs::read_dir("/proc/driver/nvidia/gpus");
    (0..found.map_or(0, Iterator::count))
        .map(|i| i.to_string())
        .collect()
}

/// The job of a scheduler that this process is a part of: `slurm 12_3`, with the step where it runs in one, or
/// `kubernetes index 3`.
pub(crate) fn job() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    if let Some(job) = set("SLURM_JOB_ID") {
        let array = set("SLURM_ARRAY_JOB_ID").zip(set("SLURM_ARRAY_TASK_ID"));
        let job = array.map_or(job, |(array, task)| format!("{array}_{task}"));
        let step = set("SLURM_STEP_ID").map_or(String::new(), |step| format!(".{step}"));
        return Some(format!("slurm {job}{step}"));
    }
    let index = set("JOB_COMPLETION_INDEX")?;
    Some(format!("kubernetes index {index}"))
}

static DATA_ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Lets relative paths of every cell start from `folder`, here and in processes of cells that this one starts.
pub(crate) fn set_data_root(folder: PathBuf) {
    // It is set once, by the command line.
    let _ = DATA_ROOT.set(folder);
}

/// The folder that relative paths start from, if that was set.
pub(crate) fn other_data_root() -> Option<PathBuf> {
    let told = std::env::var_os(DATA_VARIABLE).filter(|path| !path.is_empty());
    DATA_ROOT.get().cloned().or(told.map(PathBuf::from))
}

/// The folder that relative paths of a cell start from: `root` as it is reached from the run folder `run`.
pub(crate) fn data_root(run: &Path, root: &Path) -> PathBuf {
    if let Some(other) = other_data_root() {
        return other;
    }
    // `..` leads out of the folder itself, wherever a link to it lies.
    run.canonicalize()
        .unwrap_or_else(|_| run.to_path_buf())
        .join(root)
}

/// The way from `folder`, which may not be there yet, to the current folder; absolute where there is no other.
pub(crate) fn way_here_from(folder: &Path) -> Result<PathBuf> {
    way_from(folder, Path::new("."))
}

/// The way from `folder`, which may not be there yet, to `to`, which is; absolute where there is no other.
pub(crate) fn way_from(folder: &Path, to: &Path) -> Result<PathBuf> {
    let io = |e| Error::io(format!("finding {}", folder.display()), e);
    let to = to.canonicalize().map_err(io)?;
    let folder = std::path::absolute(folder).map_err(io)?;
    let there = folder.ancestors().find_map(|part| {
        let rest = folder.strip_prefix(part).ok()?;
        Some(part.canonicalize().ok()?.join(rest))
    });
    Ok(way(&there.unwrap_or(folder), &to))
}

fn way(from: &Path, to: &Path) -> PathBuf {
    let (a, b): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return to.to_path_buf();
    }
    let up = a[shared..].iter().map(|_| std::path::Component::ParentDir);
    let way: PathBuf = up.chain(b[shared..].iter().copied()).collect();
    if way.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        way
    }
}

/// Memory of the machine in bytes, where the system tells.
pub fn memory_bytes() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Largest resident memory of this process so far, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kibibytes(&status, "VmHWM").unwrap_or(0)
}

/// Processor time that this process has taken so far, all threads together, in seconds; 0 where the system does not tell.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything. Behind it, user and system time are the 12th and 13th
    // field, in hundredths (proc_pid_stat(5); Linux tells programs of 100 ticks a second whatever it counts itself).
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Processes that the system has ended for want of memory since it started; 0 where it does not tell.
pub fn kills_for_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Bytes that a user may still write into the folder at `path`, where the system tells.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Bytes that a user may still write into the folder at `path`, where the system tells.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// The folder for what can be made again: `$FARSPAN_CACHE`, or `farspan` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = set("FARSPAN_CACHE") {
        return path;
    }
    let user = set("XDG_CACHE_HOME")
        .or_else(|| set("LOCALAPPDATA"))
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    user.join("farspan")
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The number of a line `name:  123 kB`, in bytes.
pub(crate) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        let text = "VmPeak:\t  9 kB\nVmHWM:\t  6132 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(kibibytes(text, "VmHWM"), Some(6132 * 1024));
        assert_eq!(kibibytes(text, "VmSwap"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn facts_are_there_on_linux() {
        assert!(peak_memory() > 100_000);
        let (before, started) = (cpu_seconds(), std::time::Instant::now());
        let mut sum = 0_u64;
        while cpu_seconds() < before + 0.05 && started.elapsed().as_secs() < 60 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let taken = cpu_seconds() - before;
        assert!((0.04..=1.0).contains(&taken), "{taken} s");
        assert!(memory_bytes().is_some_and(|bytes| bytes > peak_memory()));
        let words = machine();
        assert!(
            words.starts_with("Linux ") && words.contains(" × ") && words.ends_with("GiB"),
            "{words}"
        );
    }

    #[test]
    fn ways_lead_from_one_folder_to_another() {
        for (from, to, expected) in [
            ("/a/runs/q", "/a", "../.."),
            ("/a/b", "/a/b", "."),
            ("/a", "/a/b/c", "b/c"),
            ("/scratch/q", "/home/u", "../../home/u"),
        ] {
            assert_eq!(way(Path::new(from), Path::new(to)), Path::new(expected));
        }
    }

    #[test]
    fn versions_and_times_have_their_form() {
        assert!(
            version().starts_with(env!("CARGO_PKG_VERSION")),
            "{}",
            version()
        );
        let now = now();
        assert!(now.ends_with('Z') && now.len() == 20, "{now}");
    }
}
