//! The run folder: one per run, plain files, replaced atomically.
//!
//! ```text
//! plan.json  config.toml  resolved.toml
//! cells/<id>/  status.json  events.jsonl  result.json  cost.json  samples.jsonl.zst
//!              checkpoint.safetensors  log.txt  lease.N
//! report/…
//! ```
//!
//! `plan.json` is written last when a folder is made, so a folder with one is whole. Who writes into a cell's folder holds
//! its lease ([`RunDir::take_cell`]) and writes through [`RunDir::under`] it; readers need none.
//!
//! Every file that a number is read from carries its hash, which its reader checks. A file that is not what was written
//! is an error that names it; who goes on with the run sets it aside ([`RunDir::set_aside`]) and makes the cell again.
//! Whether a cell is done is decided by `result.json` alone: `status.json` speaks of what is not done.

mod cell;
mod check;
mod disk;
mod guard;
mod lease;
mod load;
mod pack;
mod process;
mod read;
mod samples;
mod seal;
#[cfg(test)]
mod tests;
pub(crate) mod upgrade;

pub use crate::error::StoreError;
#[doc(hidden)]
pub use disk::FaultyDisk;
pub use disk::{Disk, RealDisk, plain, sweep_ended, write_atomic};
pub(crate) use lease::Lost;
pub use lease::{Holder, LEASE, Lease, LeaseState, Tries};
pub use load::{LoadedCell, LoadedRun, load};
pub use pack::{PackFile, is_pack, load_pack, pack, unpack, write_pack};
pub use process::Process;
pub use read::Events;
pub use seal::{line_is_whole, seal_line};

use crate::record::RunPlan;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of a file that was set aside contains.
const SET_ASIDE: &str = ".set-aside-";

/// A run folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl RunDir {
    /// Whether `path` is a run folder (complete enough to be opened).
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join("plan.json").is_file()
    }

    /// Makes a run folder with its plan, the config as it was written and as it was resolved.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if it is a run folder already, [`StoreError::Occupied`] if it holds anything that no run
    /// wrote; the system's refusals.
    pub fn create(
        path: &Path,
        plan: &RunPlan,
        config: &str,
        resolved: &str,
    ) -> Result<RunDir, StoreError> {
        RunDir::create_on(Arc::new(RealDisk), path, plan, config, resolved)
    }

    /// [`create`](RunDir::create) on another disk.
    ///
    /// # Errors
    /// As [`create`](RunDir::create).
    pub fn create_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        plan: &RunPlan,
        config: &str,
        resolved: &str,
    ) -> Result<RunDir, StoreError> {
        refuse_foreign(path)?;
        let dir = RunDir {
            path: path.to_path_buf(),
            disk,
        };
        let cells = dir.path.join("cells");
        let made = dir.disk.create_dir_all(&cells);
        made.map_err(failed("making the folder", &cells))?;
        for cell in &plan.cells {
            dir.make_cell(&cell.id)?;
        }
        dir.write_plan(plan, config, resolved)?;
        Ok(dir)
    }

    /// Replaces the plan and the configs beside it, for what only the page uses.
    ///
    /// # Errors
    /// A plan that cannot be, or the system's refusal.
    pub fn write_plan(
        &self,
        plan: &RunPlan,
        config: &str,
        resolved: &str,
    ) -> Result<(), StoreError> {
        let path = self.path.join("plan.json");
        check::plan(plan).map_err(malformed(&path))?;
        self.write(&self.path.join("config.toml"), config.as_bytes())?;
        self.write(&self.path.join("resolved.toml"), resolved.as_bytes())?;
        self.write_json(&path, plan)
    }

    /// Opens a run folder.
    ///
    /// # Errors
    /// [`StoreError::NotARun`] if it has no plan.
    pub fn open(path: &Path) -> Result<RunDir, StoreError> {
        RunDir::open_on(Arc::new(RealDisk), path)
    }

    /// [`open`](RunDir::open) on another disk.
    ///
    /// # Errors
    /// As [`open`](RunDir::open).
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<RunDir, StoreError> {
        if RunDir::exists(path) {
            Ok(RunDir {
                path: path.to_path_buf(),
                disk,
            })
        } else {
            Err(StoreError::NotARun {
                path: path.to_path_buf(),
            })
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of a cell.
    #[must_use]
    pub fn cell_dir(&self, id: &str) -> PathBuf {
        self.path.join("cells").join(id)
    }

    /// The frozen plan.
    ///
    /// # Errors
    /// A missing, newer, changed or malformed `plan.json`, or a cell identity that is no plain file name.
    pub fn plan(&self) -> Result<RunPlan, StoreError> {
        let path = self.path.join("plan.json");
        let plan: RunPlan = read::versioned(&path)?.ok_or_else(|| StoreError::NotARun {
            path: self.path.clone(),
        })?;
        check::plan(&plan).map_err(malformed(&path))?;
        Ok(plan)
    }

    /// The config as it was written, if it is there.
    ///
    /// # Errors
    /// The system's refusal, or bytes that are not UTF-8.
    pub fn config(&self) -> Result<Option<String>, StoreError> {
        read::text(&self.path.join("config.toml"))
    }

    /// The config as it was resolved, if it is there.
    ///
    /// # Errors
    /// The system's refusal, or bytes that are not UTF-8.
    pub fn resolved(&self) -> Result<Option<String>, StoreError> {
        read::text(&self.path.join("resolved.toml"))
    }

    /// Gives a file that is not what was written another name beside it, and tells that name.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn set_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut n = 1;
        let to = loop {
            let to = path.with_file_name(format!("{name}{SET_ASIDE}{n}"));
            if to.symlink_metadata().is_err() {
                break to;
            }
            n += 1;
        };
        let moved = self.disk.rename(path, &to);
        moved.map_err(failed("setting aside", path))?;
        Ok(to)
    }

    /// Everything in the folder; what cannot be read is listed with its reason.
    ///
    /// # Errors
    /// Only if the plan itself cannot be read.
    pub fn load(&self) -> Result<LoadedRun, StoreError> {
        load(&self.path)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|e| malformed(path)(format!("cannot be written as JSON: {e}")))?;
        let sealed = seal::table(&text)
            .ok_or_else(|| malformed(path)("expected a table with entries".into()))?;
        self.write(path, sealed.as_bytes())
    }

    /// Replaces a file of the folder, as [`write_atomic`] does.
    ///
    /// # Errors
    /// The system's refusal; the previous file is intact then.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        disk::write_atomic_on(self.disk.as_ref(), path, bytes)
    }

    /// The folder of a cell, made if it is missing. The run folder itself is never made again: it may have been renamed.
    fn make_cell(&self, id: &str) -> Result<PathBuf, StoreError> {
        let dir = self.cell_dir(id);
        if !dir.is_dir() {
            let made = self.disk.create_dir(&dir);
            made.map_err(failed("making the folder", &dir))?;
        }
        Ok(dir)
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

fn malformed(path: &Path) -> impl FnOnce(String) -> StoreError {
    let path = path.to_path_buf();
    move |what| StoreError::Malformed {
        path,
        line: None,
        what,
    }
}

fn to_value(value: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(value)
        .map_err(|e| malformed(Path::new(""))(format!("cannot be written as JSON: {e}")))
}

/// A folder may become a run folder if it is empty, absent, or was left by a `create` that did not come to its end.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    if RunDir::exists(path) {
        return Err(StoreError::Exists {
            path: path.to_path_buf(),
        });
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(StoreError::Io {
                action: "reading the folder",
                path: path.to_path_buf(),
                source,
            });
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = ["cells", "config.toml", "resolved.toml", "report"].contains(&name.as_str());
        if !ours && !disk::is_half_written(&name) && !name.contains(SET_ASIDE) {
            return Err(StoreError::Occupied {
                path: path.to_path_buf(),
                found: name,
            });
        }
    }
    Ok(())
}
