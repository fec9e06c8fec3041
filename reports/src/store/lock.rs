//! One writer per folder: an advisory lock that the system releases when its process ends, however it ends.

use super::StoreError;
use super::disk::{plain, sweep};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How the words of every holder begin.
const FIRST_WORD: &str = "process ";
/// Longer than any holder's words.
const LONGEST: u64 = 1000;

/// The right to write a folder, until dropped.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

impl Held {
    /// Takes the lock of `folder`, or says who has it.
    pub(super) fn take(folder: &Path) -> Result<Held, StoreError> {
        let path = folder.join("lock");
        let failed = |source| StoreError::Io {
            action: "locking",
            path: path.clone(),
            source,
        };
        plain(&path)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        // Without its words the holder is still a holder.
        let _ = Read::by_ref(&mut file)
            .take(LONGEST)
            .read_to_end(&mut bytes);
        let words = String::from_utf8_lossy(&bytes);
        let ours = words.starts_with(FIRST_WORD) || FIRST_WORD.starts_with(&*words);
        match file.try_lock() {
            // It may be another name of a file that somebody needs.
            Ok(()) if !ours => {
                return Err(failed(std::io::Error::other(
                    "it holds something that no run wrote; remove it",
                )));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = match words.trim() {
                    "" => "another process, which has not written its name yet".to_string(),
                    named => format!("{named}{}", stopped(named)),
                };
                return Err(StoreError::Held {
                    path: folder.to_path_buf(),
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let since = jiff::Timestamp::now()
            .round(jiff::Unit::Second)
            .unwrap_or_default();
        let words = format!(
            "{FIRST_WORD}{} on {} since {since}\n",
            std::process::id(),
            host()
        );
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(words.as_bytes()))
            .map_err(failed)?;
        // What killed writers left: nobody else may write here now.
        sweep(folder, |_| true);
        Ok(Held { _file: file })
    }
}

/// What to do about a holder that neither works nor ends, where that can be seen.
fn stopped(holder: &str) -> String {
    let words: Vec<&str> = holder.split_whitespace().collect();
    let ["process", process, "on", machine, ..] = words.as_slice() else {
        return String::new();
    };
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    if *machine == host() && state.starts_with(['T', 't']) {
        format!(
            ", which was stopped by a signal: `kill -CONT {process}` lets it save its state and end, \
             `kill -KILL {process}` ends it at once"
        )
    } else {
        String::new()
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this machine".to_string(),
        name => name.to_string(),
    }
}
