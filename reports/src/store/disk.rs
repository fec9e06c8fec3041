//! The few file operations that a run folder is made of, behind a trait, so that tests can let the nth one fail and a
//! holder of a lease is asked before each.

use super::StoreError;
use super::process::{Life, Process};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

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
    /// Whether changes are (still) allowed; where a lease is needed, whether it is held.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
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

/// What the name of a half-written file contains, before who writes it: host, machine, process and a random number.
/// Readers skip such files; once their writer has ended, the next writer into the folder removes them.
const HALF_WRITTEN: &str = ".half-written-";

/// Whether this is the name of a half-written file.
pub(super) fn is_half_written(name: &str) -> bool {
    name.contains(HALF_WRITTEN)
}

/// A name for a half-written file beside `path` that no other process of any host gives.
pub(super) fn half_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Process {
        host, machine, pid, ..
    } = Process::me();
    // Keys of the hash are drawn anew for each.
    let random = RandomState::new().hash_one(pid);
    folder_of(path).join(format!(
        ".{name}{HALF_WRITTEN}{host}-{machine}-{pid}-{random:016x}"
    ))
}

/// Who writes the half-written file of this name; `None` if the name does not tell.
fn writer_of(name: &str) -> Option<Process> {
    let (_, writer) = name.split_once(HALF_WRITTEN)?;
    let mut parts = writer.rsplitn(4, '-').skip(1);
    let (pid, machine, host) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Process {
        host: host.to_string(),
        machine: machine.to_string(),
        pid: pid.parse().ok()?,
        started: 0,
    })
}

/// The time now by the clock that the times of files in `folder` are taken from: that of the file server, whatever the
/// clock of this machine says. A new file there also lets a client of NFS read the folder anew.
///
/// # Errors
/// The system's refusal.
pub(super) fn now_of(folder: &Path) -> io::Result<SystemTime> {
    let path = half_of(&folder.join("clock"));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    // By the open file: another host may sweep its name away.
    let now = touch(&file)
        .and_then(|()| file.metadata())
        .and_then(|meta| meta.modified());
    // One that stays is swept like every half-written file.
    let _ = std::fs::remove_file(&path);
    now
}

/// Gives a file the time of the server.
#[cfg(unix)]
pub(super) fn touch(file: &File) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    Ok(futimens(file, &times)?)
}

/// Gives a file the time of this machine, where the system has no other way.
#[cfg(not(unix))]
pub(super) fn touch(file: &File) -> io::Result<()> {
    file.set_modified(SystemTime::now())
}

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

/// Removes the half-written files of a folder whose writer, if its name tells, `left` is true for. Failing to is harmless:
/// readers skip them.
pub(super) fn sweep(folder: &Path, left: impl Fn(Option<&Process>) -> bool) {
    for (path, writer) in half_written(folder) {
        if left(writer.as_ref()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn half_written(folder: &Path) -> Vec<(PathBuf, Option<Process>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let half = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let half = name.contains(HALF_WRITTEN);
        half.then(|| (entry.path(), writer_of(&name)))
    });
    half.collect()
}

/// Removes from a folder what writers that have ended left half-written: their process is gone or dead, or, where that
/// cannot be seen, the file is an hour old by the clock of the file server.
pub fn sweep_ended(folder: &Path) {
    /// No file takes longer to write.
    const LONG: Duration = Duration::from_secs(3600);
    let mut now = None;
    for (path, writer) in half_written(folder) {
        let life = writer.map_or(Life::Unknown, |writer| writer.life());
        let over = match life {
            Life::Ended => true,
            Life::Lives => false,
            Life::Unknown => {
                let now = now.get_or_insert_with(|| now_of(folder).ok());
                let changed = std::fs::metadata(&path).and_then(|meta| meta.modified());
                let age = now
                    .zip(changed.ok())
                    .and_then(|(now, then)| now.duration_since(then).ok());
                age.is_some_and(|age| age > LONG)
            }
        };
        if over {
            let _ = std::fs::remove_file(path);
        }
    }
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
    if path.file_name().is_none() {
        return Err(failed(io::ErrorKind::InvalidFilename.into()));
    }
    let (folder, half) = (folder_of(path), half_of(path));
    let written = disk
        .write(&half, bytes)
        .and_then(|()| disk.sync(&half))
        .and_then(|()| disk.rename(&half, path))
        .and_then(|()| disk.sync(folder));
    written.map_err(|source| {
        // The first refusal is the one to report. A file left behind is swept by a later writer.
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
