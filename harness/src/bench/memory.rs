//! Peak memory of a call, as the system counts it.
//!
//! Linux keeps the largest resident size of a process (`VmHWM`) and forgets it when 5 is written to `clear_refs`. The
//! peak of a call is that largest size after it, less the resident size before it. A process that has worked before
//! holds freed memory which a call may use again, so each figure comes from a fresh process.

use crate::{Error, Result};
use std::path::PathBuf;
use std::process::Command;

/// Bytes by which the resident memory of this process rose above what it was before `call`, at the highest.
pub fn peak_of(call: impl FnOnce() -> Result<()>) -> Result<u64> {
    let clear = "/proc/self/clear_refs";
    std::fs::write(clear, "5")
        .map_err(|e| Error::io(format!("resetting peak memory through {clear}"), e))?;
    let before = resident("VmRSS")?;
    call()?;
    Ok(resident("VmHWM")?.saturating_sub(before))
}

/// The same, of this program called with `arguments` in a process of its own, which prints the number alone.
pub fn peak_of_child(arguments: &[String]) -> Result<u64> {
    let program: PathBuf =
        std::env::current_exe().map_err(|e| Error::io("finding this program's own file", e))?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|e| Error::io("starting a process to measure memory in", e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| {
        let words = String::from_utf8_lossy(&output.stderr);
        let text = format!("measuring memory in a process of its own: {}", words.trim());
        Error::Data(text)
    })
}

fn resident(key: &str) -> Result<u64> {
    let path = "/proc/self/status";
    let status =
        std::fs::read_to_string(path).map_err(|e| Error::io(format!("reading {path}"), e))?;
    crate::machine::kibibytes(&status, key)
        .ok_or_else(|| Error::Data(format!("{path} has no line {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_touched_buffer_is_seen_even_after_it_is_freed() {
        let size = 64 << 20;
        let peak = peak_of(|| {
            std::hint::black_box(vec![1u8; size]);
            Ok(())
        });
        let peak = peak.expect("Linux tells") as usize;
        // Other tests of this process may take or free some meanwhile.
        assert!(peak > size / 2, "{peak}");
    }
}
