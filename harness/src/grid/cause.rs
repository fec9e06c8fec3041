//! Why a process ended without a result, from how it ended and what it said.

use std::process::ExitStatus;

/// Bytes of a log that are looked at, from its end.
const LOG: u64 = 1 << 16;
/// Characters of a message that are told.
const MESSAGE: usize = 400;
/// Words of the system, of the allocator and of drivers for memory that is not there.
const OUT_OF_MEMORY: [&str; 5] = [
    "memory allocation of",
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "cannot allocate memory",
];

/// What a process added to its log, from byte `start` on.
pub(super) fn said(log: &std::path::Path, start: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(LOG)).min(end)))?;
        let mut bytes = Vec::new();
        file.take(LOG).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // Without its words there is still the way it ended.
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The reason for a person. `killed_for_memory`: the system ended processes for want of memory meanwhile; `forecast`: what
/// the cell was expected to take, in words.
pub(super) fn reason(
    exit: ExitStatus,
    said: &str,
    killed_for_memory: bool,
    forecast: &str,
) -> String {
    let message = message(said);
    let lower = message.as_deref().unwrap_or_default().to_lowercase();
    let memory = OUT_OF_MEMORY.iter().any(|words| lower.contains(words));
    let hint = format!(
        "its forecast is {forecast}; shorter lengths, a smaller batch or fewer jobs at once (--jobs) take less"
    );
    let by_force = is_killed(exit);
    match message {
        Some(message) if memory => format!("out of memory: {message} ({exit}); {hint}"),
        _ if by_force && killed_for_memory => {
            format!("out of memory: the system ended its process ({exit}); {hint}")
        }
        _ if by_force => format!(
            "its process was ended from outside ({exit}), as systems do when memory runs out; {hint}"
        ),
        Some(message) => format!("its process ended without a result ({exit}): {message}"),
        None => {
            format!("its process ended without a result ({exit}), and its log has no word of it")
        }
    }
}

/// The first thing that went wrong, by what the process said: memory that was not there, a panic, an error.
fn message(said: &str) -> Option<String> {
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let memory = |line: &&&str| {
        let line = line.to_lowercase();
        OUT_OF_MEMORY.iter().any(|words| line.contains(words))
    };
    let found = lines.iter().find(memory).map(|line| line.to_string());
    let found = found.or_else(|| panic(&lines));
    let found = found.or_else(|| {
        let mut errors = lines.iter().rev();
        let error = errors.find_map(|line| line.strip_prefix("error: "));
        error.map(str::to_string)
    });
    let found = found.or_else(|| {
        let told = |line: &&&str| !line.is_empty() && !line.starts_with("note: ");
        lines.iter().rev().find(told).map(|line| line.to_string())
    });
    found.map(|text| text.chars().take(MESSAGE).collect())
}

/// The message of the first panic, with its place: it stands between `panicked at` and a note or an empty line.
fn panic(lines: &[&str]) -> Option<String> {
    let start = lines
        .iter()
        .position(|line| line.contains("panicked at "))?;
    let (_, place) = lines[start].split_once("panicked at ")?;
    let end = |line: &&&str| {
        !line.is_empty() && !line.starts_with("note: ") && !line.starts_with("stack backtrace")
    };
    let words: Vec<&str> = lines[start + 1..].iter().take_while(end).copied().collect();
    Some(format!(
        "panicked at {}: {}",
        place.trim_end_matches(':'),
        words.join(" ")
    ))
}

/// Whether a process was ended by force.
pub(super) fn is_killed(exit: ExitStatus) -> bool {
    signal(exit) == Some(9)
}

#[cfg(unix)]
fn signal(exit: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&exit)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn told(status: i32, said: &str, killed: bool) -> String {
        reason(ExitStatus::from_raw(status), said, killed, "637 MiB")
    }

    #[test]
    fn the_reason_is_what_went_wrong_and_no_note() {
        let panic = "\nthread 'main' (71) panicked at harness/src/model.rs:7:9:\nindex 3 is out of\nrange\nnote: run with \
                     `RUST_BACKTRACE=1` environment variable to display a backtrace\nerror: this is a bug in farspan\n";
        assert_eq!(
            told(70 << 8, panic, false),
            "its process ended without a result (exit status: 70): panicked at harness/src/model.rs:7:9: index 3 is out \
             of range"
        );
        let allocation = "memory allocation of 268435456 bytes failed\nnote: run with `RUST_BACKTRACE=1` environment \
                          variable to display a backtrace\n";
        let found = told(6, allocation, false);
        assert!(
            found.starts_with(
                "out of memory: memory allocation of 268435456 bytes failed (signal: 6"
            ) && found.contains("forecast is 637 MiB"),
            "{found}"
        );
        let found = told(9, "", true);
        assert!(
            found.starts_with("out of memory: the system ended"),
            "{found}"
        );
        let found = told(9, "something unrelated", false);
        assert!(found.contains("ended from outside (signal: 9"), "{found}");
        let found = told(
            74 << 8,
            "error: writing a: No space left on device\n",
            false,
        );
        assert!(
            found.ends_with("74): writing a: No space left on device"),
            "{found}"
        );
        let found = told(0, "", false);
        assert!(found.contains("no word of it"), "{found}");
    }
}
