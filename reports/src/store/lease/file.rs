//! The files of leases: how they are named and numbered, what they say, and how they are written and read.

use super::super::disk::write_atomic_on;
use super::super::{RealDisk, StoreError};
use super::{Holder, Tries};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How the names of leases begin, before their number.
const NAME: &str = "lease.";
/// Longer than any holder's words.
const LONGEST: u64 = 4000;

/// What a lease file says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Words {
    /// `None` once it is released.
    pub(super) holder: Option<Holder>,
    pub(super) tries: Tries,
}

pub(super) fn bytes(words: &Words) -> Vec<u8> {
    let text = serde_json::to_string(words).unwrap_or_default();
    format!("{text}\n").into_bytes()
}

pub(super) fn replace(path: &Path, words: &Words) -> Result<(), StoreError> {
    write_atomic_on(&RealDisk, path, &bytes(words))
}

pub(super) fn of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{NAME}{number}"))
}

/// The numbers of a folder's leases, in order.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME));
        found.extend(number.and_then(|n| n.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// What a lease says, if that can be read, and when it was touched; `None` if it is not there. It is opened first, which
/// lets a client of NFS ask for its times anew.
pub(super) fn read(path: &Path) -> Option<(Option<Words>, SystemTime)> {
    let meta = path.symlink_metadata().ok()?;
    if !meta.is_file() {
        return Some((None, meta.modified().ok()?));
    }
    let mut file = File::open(path).ok()?;
    let touched = file.metadata().ok()?.modified().ok()?;
    let mut text = Vec::new();
    let words = Read::by_ref(&mut file).take(LONGEST).read_to_end(&mut text);
    let words = words.ok().and_then(|_| serde_json::from_slice(&text).ok());
    Some((words, touched))
}
