//! Facts about this machine and this program: for provenance, and for deciding how many cells run at once.

use std::path::PathBuf;

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

/// The machine in words: `Linux x86_64, 2 × Intel Xeon, 24 GiB`.
pub fn machine() -> String {
    let mut system = std::env::consts::OS.to_string();
    if let Some(first) = system.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let processor = processor().unwrap_or_else(|| "processor of unknown model".into());
    let memory =
        memory_bytes().map(|bytes| format!(", {:.0} GiB", bytes as f64 / (1u64 << 30) as f64));
    let (arch, cores) = (std::env::consts::ARCH, cores());
    format!(
        "{system} {arch}, {cores} × {processor}{}",
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

/// Memory of the machine in bytes, where the system tells.
pub fn memory_bytes() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Largest resident memory of this process so far, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kibibytes(&status, "VmHWM").unwrap_or(0)
}

/// Processes that the system has ended for want of memory since it started; 0 where it does not tell.
pub fn kills_for_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Bytes that a user may still write into the folder at `path`, where the system tells.
#[cfg(unix)]
pub fn free_space(path: &std::path::Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Bytes that a user may still write into the folder at `path`, where the system tells.
#[cfg(not(unix))]
pub fn free_space(_: &std::path::Path) -> Option<u64> {
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
        assert!(memory_bytes().is_some_and(|bytes| bytes > peak_memory()));
        let words = machine();
        assert!(
            words.starts_with("Linux ") && words.contains(" × ") && words.ends_with("GiB"),
            "{words}"
        );
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
