//! One writer per folder: an advisory lock that the system releases when its process ends, however it ends.

use super::StoreError;
use super::disk::HALF_WRITTEN;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

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
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without its words the holder is still a holder.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process, which has not written its name yet".to_string(),
                    named => named.to_string(),
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
            "process {} on {} since {since}\n",
            std::process::id(),
            host()
        );
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(words.as_bytes()))
            .map_err(failed)?;
        sweep(folder);
        Ok(Held { _file: file })
    }
}

/// Removes what killed writers left half-written. Failing to is harmless: readers skip such files.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().contains(HALF_WRITTEN) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this machine".to_string(),
        name => name.to_string(),
    }
}
