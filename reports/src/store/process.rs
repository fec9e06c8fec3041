//! Which process on which machine: enough for others to name a writer, and on the same machine to see that it has ended.

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A process, as others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Name of its host, for people.
    pub host: String,
    /// Hash of the boot of its machine and of its namespace of processes: where it is ours, its number means the same to us.
    /// Empty where the system does not tell.
    pub machine: String,
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since the boot: numbers are given again. 0 where the system does not tell.
    pub started: u64,
}

/// What can be seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Lives,
    Ended,
    /// It is of another machine, or the system does not tell.
    Unknown,
}

impl Process {
    /// This one.
    #[must_use]
    pub fn me() -> Process {
        let pid = std::process::id();
        Process {
            host: HOST.clone(),
            machine: MACHINE.clone(),
            pid,
            started: stat(pid).map_or(0, |stat| stat.started),
        }
    }

    /// Whether it lives on this machine and computes on the same processors as this one. Jobs of a scheduler on one machine
    /// mostly have processors of their own.
    #[must_use]
    pub fn shares_processors(&self) -> bool {
        let theirs = processors(self.pid);
        self.life() == Life::Lives && theirs.is_some() && theirs == processors(std::process::id())
    }

    pub(super) fn life(&self) -> Life {
        if self.machine.is_empty() || self.machine != *MACHINE {
            return Life::Unknown;
        }
        match stat(self.pid) {
            // One that is dead and waits for its parent to take notice writes no more.
            Some(stat) if !stat.dead && (self.started == 0 || stat.started == self.started) => {
                Life::Lives
            }
            _ => Life::Ended,
        }
    }
}

/// Name of this host.
static HOST: LazyLock<String> = LazyLock::new(|| {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = |name: &str| std::env::var(name).ok();
    let host = told
        .or_else(|| named("HOSTNAME"))
        .or_else(|| named("COMPUTERNAME"));
    match host.as_deref().map(str::trim) {
        None | Some("") => "this-machine".to_string(),
        Some(name) => name.to_string(),
    }
});

/// See [`Process::machine`].
static MACHINE: LazyLock<String> = LazyLock::new(|| {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let space = std::fs::read_link("/proc/self/ns/pid");
    match (boot, space) {
        (Ok(boot), Ok(space)) => {
            let text = format!("{} {}", boot.trim(), space.display());
            blake3::hash(text.as_bytes()).to_hex()[..12].to_string()
        }
        _ => String::new(),
    }
});

/// Processors that a process may use, as the system writes them.
fn processors(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_string())
}

struct Stat {
    dead: bool,
    started: u64,
}

/// What `/proc/PID/stat` says. The state stands behind the name of the program, which may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let dead = matches!(fields.next(), Some("Z" | "X"));
    // The 22nd field of all; the state is the third.
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { dead, started })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_until_it_ends_and_its_number_alone_is_not_it() -> std::io::Result<()> {
        let me = Process::me();
        assert_eq!(me.life(), Life::Lives);
        assert!(me.started > 0 && !me.host.is_empty());
        let other = Process {
            started: me.started + 1,
            ..me.clone()
        };
        assert_eq!(other.life(), Life::Ended);
        let elsewhere = Process {
            machine: "another".into(),
            ..me.clone()
        };
        assert_eq!(elsewhere.life(), Life::Unknown);
        let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
        let process = Process {
            pid: child.id(),
            started: 0,
            ..me
        };
        assert_eq!(process.life(), Life::Lives);
        assert!(process.shares_processors() && !elsewhere.shares_processors());
        child.kill()?;
        // Dead, although nobody has waited for it.
        let started = std::time::Instant::now();
        while process.life() == Life::Lives {
            assert!(started.elapsed().as_secs() < 10, "it still lives");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait()?;
        assert_eq!(process.life(), Life::Ended);
        Ok(())
    }
}
