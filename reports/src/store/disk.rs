//! The few file operations that a run folder is made of, behind a trait, so that tests can let the nth one fail.

use super::StoreError;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Operations that change the disk. Each method is one point at which a machine may stop or refuse.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Makes a folder and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Writes a new file from start to end.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Forces the contents of a file or the entries of a folder to the disk.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Puts `from` in the place of `to` in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Adds bytes at the end of a file, with one write.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        File::create(path)?.write_all(bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        // Windows cannot open a folder as a file; there a rename needs no such step.
        if cfg!(windows) && path.is_dir() {
            Ok(())
        } else {
            File::open(path)?.sync_all()
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)?
            .write_all(bytes)
    }
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// What the name of a half-written file contains. Readers skip such files; the next holder of the folder removes them.
pub(super) const HALF_WRITTEN: &str = ".half-written-";

/// Replaces a file so that at every moment, and after a crash, it has either its old or its new contents.
///
/// The folder must exist. The bytes go to a new file beside the old one, are forced to the disk, and take its name.
///
/// # Errors
/// The system's refusal, with the path; the previous file is intact then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_atomic_on(&RealDisk, path, bytes)
}

pub(super) fn write_atomic_on(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io {
        action: "writing",
        path: path.to_path_buf(),
        source,
    };
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let half = format!(
        ".{}{HALF_WRITTEN}{}-{unique}",
        name.to_string_lossy(),
        std::process::id()
    );
    let half: PathBuf = folder.join(half);
    let written = disk
        .write(&half, bytes)
        .and_then(|()| disk.sync(&half))
        .and_then(|()| disk.rename(&half, path))
        .and_then(|()| disk.sync(folder));
    written.map_err(|source| {
        // The first refusal is the one to report. A file left behind is removed by the next holder of the folder.
        let _ = std::fs::remove_file(&half);
        failed(source)
    })
}

/// Adds one line to an append-only file. A torn last line of a process that was killed is cut off first.
pub(super) fn append_line(disk: &dyn Disk, path: &Path, line: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io {
        action: "appending to",
        path: path.to_path_buf(),
        source,
    };
    cut_torn_line(path).map_err(failed)?;
    disk.append(path, format!("{line}\n").as_bytes())
        .map_err(failed)
}

fn cut_torn_line(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let len = file.seek(SeekFrom::End(0))?;
    if len == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(len - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let keep = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    file.set_len(keep as u64)
}

/// A disk whose nth operation fails: for tests here and in other crates.
#[doc(hidden)]
#[derive(Debug)]
pub struct FaultyDisk {
    /// Which operation fails, counted from 0.
    pub nth: u64,
    /// How.
    pub kind: io::ErrorKind,
    /// Operations so far.
    pub count: AtomicU64,
}

impl FaultyDisk {
    /// A disk whose operation `nth` (from 0) fails with `kind`; writes leave half of their bytes behind.
    #[must_use]
    pub fn new(nth: u64, kind: io::ErrorKind) -> FaultyDisk {
        FaultyDisk {
            nth,
            kind,
            count: AtomicU64::new(0),
        }
    }

    /// Whether the failure has happened.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.count.load(Ordering::SeqCst) > self.nth
    }

    fn step(&self) -> io::Result<()> {
        if self.count.fetch_add(1, Ordering::SeqCst) == self.nth {
            Err(self.kind.into())
        } else {
            Ok(())
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.create_dir_all(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let step = self.step();
        if step.is_err() {
            RealDisk.write(path, &bytes[..bytes.len() / 2])?;
        }
        step?;
        RealDisk.write(path, bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let step = self.step();
        if step.is_err() {
            RealDisk.append(path, &bytes[..bytes.len() / 2])?;
        }
        step?;
        RealDisk.append(path, bytes)
    }
}
