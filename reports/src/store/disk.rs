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
    /// Makes a folder in one that is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
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

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
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

/// What the name of a half-written file contains, before its writer's process and a number. Readers skip such files; the
/// next holder of the folder removes them, and so does the next writer into a folder that nobody holds.
pub(super) const HALF_WRITTEN: &str = ".half-written-";

/// Replaces a file so that at every moment, and after a crash, it has either its old or its new contents.
///
/// The folder must exist. The bytes go to a new file beside the old one, are forced to the disk, and take its name.
///
/// # Errors
/// The system's refusal, with the path; the previous file is intact then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    sweep_ended(folder_of(path));
    write_atomic_on(&RealDisk, path, bytes)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Removes the half-written files of a folder that `left` is true for. Failing to is harmless: readers skip them.
pub(super) fn sweep(folder: &Path, left: impl Fn(&Path) -> bool) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let half = entry.file_name().to_string_lossy().contains(HALF_WRITTEN);
        if half && left(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes from a folder what writers that have ended left half-written.
pub fn sweep_ended(folder: &Path) {
    sweep(folder, is_over);
}

/// Whether the writer of a half-written file has ended: its process is gone or dead, or, where that cannot be seen, the
/// file is an hour old.
fn is_over(half: &Path) -> bool {
    /// No file takes longer to write.
    const LONG: std::time::Duration = std::time::Duration::from_secs(3600);
    let name = half.file_name().unwrap_or_default().to_string_lossy();
    let writer = name
        .rsplit_once(HALF_WRITTEN)
        .and_then(|(_, end)| end.split_once('-'))
        .and_then(|(process, _)| process.parse::<u32>().ok());
    let age = std::fs::metadata(half)
        .and_then(|meta| meta.modified())
        .map(|time| time.elapsed().unwrap_or_default());
    match writer {
        Some(process) if Path::new("/proc/self").exists() => {
            std::fs::read_to_string(format!("/proc/{process}/stat"))
                .map_or(true, |stat| is_dead(&stat))
        }
        _ => age.is_ok_and(|age| age > LONG),
    }
}

/// Whether a process with this `/proc/PID/stat` is dead and waits for its parent to take notice. The state stands behind
/// the name, which may hold anything.
fn is_dead(stat: &str) -> bool {
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// Refuses a name that leads elsewhere or to no file: what is written in place would go there.
///
/// # Errors
/// With the path and what is there.
pub fn plain(path: &Path) -> Result<(), StoreError> {
    let refused = |source| StoreError::Io {
        action: "writing",
        path: path.to_path_buf(),
        source,
    };
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(meta) => Err(refused(io::Error::other(format!(
            "expected a plain file, found {}; remove it",
            match meta.is_symlink() {
                true => "a symbolic link",
                false => "a folder, a pipe or a device",
            }
        )))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(refused(e)),
    }
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
    let folder = folder_of(path);
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
    plain(path)?;
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

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.create_dir(path)
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
