//! What can go wrong with a run folder, and with an export of it.

use crate::store::Lost;
use std::io;
use std::path::{Path, PathBuf};

/// Reading or writing a run folder failed. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused a read or a write.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done (`writing`).
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}{}: {what}", path.display(), line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1, where one is known.
        line: Option<usize>,
        /// Expected and found.
        what: String,
    },
    /// A file was written by a newer Farspan.
    #[error("{}: newer schema: the file has version {found}, this program reads up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// The folder is not a run folder.
    #[error("{}: {}", path.display(), no_run(path))]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that should become a run folder is one already.
    #[error("{}: is a run folder already; open it to go on with it, or choose another folder", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that should become a run folder holds something else.
    #[error("{}: cannot become a run folder: it holds {found:?}, which no run wrote; choose another folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// The first foreign entry.
        found: String,
    },
}

impl StoreError {
    /// Whether the disk or the quota is full: nothing is wrong with the run, and it can be resumed once there is room.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let StoreError::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the lease that was written under was taken over: another process makes the cell now.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let StoreError::Io { source, .. } = self else {
            return false;
        };
        source.get_ref().is_some_and(|e| e.is::<Lost>())
    }
}

/// An export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Writing the result.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An encoder refused.
    #[error("writing {format}: {what}")]
    Encode {
        /// The format (`parquet`).
        format: &'static str,
        /// Its words.
        what: String,
    },
    /// No such format.
    #[error("unknown export format {found:?}; known are {known}")]
    UnknownFormat {
        /// As it was asked for.
        found: String,
        /// All formats.
        known: String,
    },
}

/// Why a path is no run folder.
fn no_run(path: &Path) -> &'static str {
    if path.exists() {
        "not a run folder (it has no plan.json)"
    } else {
        "there is no such folder"
    }
}

/// Two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// They have no study of the same name with results in both.
    #[error("no study has results in both runs: the first has {first}, the second {second}")]
    NothingShared {
        /// Studies of the first run.
        first: String,
        /// Studies of the second run.
        second: String,
    },
    /// They read different data, so that their test units are not the same.
    #[error(
        "study {study}: the runs read different data, so their test units cannot be paired: {what} is {first} in the \
         first run and {second} in the second"
    )]
    OtherData {
        /// The study.
        study: String,
        /// `data hash` or `tokenizer hash`.
        what: &'static str,
        /// In the first run.
        first: String,
        /// In the second run.
        second: String,
    },
    /// A curve that both runs planned has results in only one of them.
    #[error(
        "{study}: {label} has no result in the {side} run; give the lenient option to compare the rest"
    )]
    Missing {
        /// The study.
        study: String,
        /// The curve.
        label: String,
        /// `first` or `second`.
        side: &'static str,
    },
}
