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

mod check;
mod disk;
mod guard;
mod lease;
mod load;
mod pack;
mod process;
mod read;
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

use crate::record::{
    CellRecord, Cost, FIRST_SEALED, PlannedCell, RunPlan, SCHEMA_VERSION, State, Status,
};
use serde::Serialize;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
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

    /// Where a cell stands; `None` if it never started.
    ///
    /// # Errors
    /// A newer or malformed `status.json`.
    pub fn status(&self, id: &str) -> Result<Option<Status>, StoreError> {
        read::versioned(&self.cell_dir(id).join("status.json"))
    }

    /// Replaces a cell's status.
    ///
    /// # Errors
    /// The system's refusal; the previous status is intact then.
    pub fn write_status(&self, id: &str, status: &Status) -> Result<(), StoreError> {
        self.write_cell_json(id, "status.json", status)
    }

    /// Sets a cell's state from outside its process, keeping the steps it reported.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn mark(&self, id: &str, state: State, reason: &str) -> Result<(), StoreError> {
        // One that cannot be read has no steps to keep.
        let before = self.status(id).ok().flatten();
        let (step, steps) = before.map_or((0, 0), |s| (s.step, s.steps));
        let status = Status {
            schema_version: SCHEMA_VERSION,
            state,
            step,
            steps,
            reason: Some(reason.to_string()),
            updated: jiff::Timestamp::now().to_string(),
            now: None,
            pid: None,
        };
        self.write_status(id, &status)
    }

    /// What a cell measured; `None` if it has no result. Its hash and its invariants have been checked.
    ///
    /// # Errors
    /// A newer, changed, malformed or foreign `result.json`.
    pub fn result(&self, id: &str) -> Result<Option<CellRecord>, StoreError> {
        let path = self.cell_dir(id).join("result.json");
        let threshold = || upgrade::threshold(&self.path.join("plan.json"));
        let upgrade = |value: &mut Value| upgrade::record(value, threshold());
        let Some(record) = read::table::<CellRecord>(&path, None, Some(&upgrade))? else {
            return Ok(None);
        };
        check::record(&record, id).map_err(malformed(&path))?;
        Ok(Some(record))
    }

    /// As [`result`](RunDir::result), of a cell whose study, scheme, stage and seed are known.
    ///
    /// # Errors
    /// As [`result`](RunDir::result), or a result of another cell.
    pub fn result_of(&self, cell: &PlannedCell) -> Result<Option<CellRecord>, StoreError> {
        let result = self.result(&cell.id)?;
        match result.as_ref().and_then(|r| load::foreign(r, cell)) {
            None => Ok(result),
            Some(why) => Err(malformed(&self.cell_dir(&cell.id).join("result.json"))(why)),
        }
    }

    /// One cell with what its folder holds.
    #[must_use]
    pub fn cell(&self, cell: &PlannedCell) -> LoadedCell {
        load::load_cell(self, cell).0
    }

    /// Writes a cell's result.
    ///
    /// # Errors
    /// A record that breaks an invariant of the schema, or the system's refusal.
    pub fn write_result(&self, id: &str, record: &CellRecord) -> Result<(), StoreError> {
        let path = self.cell_dir(id).join("result.json");
        check::record(record, id).map_err(malformed(&path))?;
        self.write_cell_json(id, "result.json", record)
    }

    /// What a cell cost, if that was written.
    ///
    /// # Errors
    /// A changed or malformed `cost.json`.
    pub fn cost(&self, id: &str) -> Result<Option<Cost>, StoreError> {
        let path = self.cell_dir(id).join("cost.json");
        // Version 1 wrote it without a version.
        let Some(cost) = read::table(&path, Some(1), None)? else {
            return Ok(None);
        };
        check::cost(&cost).map_err(malformed(&path))?;
        Ok(Some(cost))
    }

    /// Writes what a cell cost.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_cost(&self, id: &str, cost: &Cost) -> Result<(), StoreError> {
        let mut value = to_value(cost)?;
        if let Some(table) = value.as_object_mut() {
            table.insert("schema_version".into(), SCHEMA_VERSION.into());
        }
        self.write_cell_json(id, "cost.json", &value)
    }

    /// Adds one event to a cell's `events.jsonl`, with one write.
    ///
    /// # Errors
    /// The system's refusal; a torn line is dropped by readers and by the next event.
    pub fn append_event(&self, id: &str, event: &Value) -> Result<(), StoreError> {
        let path = self.make_cell(id)?.join("events.jsonl");
        // serde_json escapes line breaks inside strings, so a value is one line.
        disk::append_line(self.disk.as_ref(), &path, &event.to_string())
    }

    /// A cell's events; a torn last line is set apart.
    ///
    /// # Errors
    /// A whole line that is not JSON, with its number.
    pub fn events(&self, id: &str) -> Result<Events, StoreError> {
        let path = self.cell_dir(id).join("events.jsonl");
        // A torn line may end inside a character.
        let bytes = read::bytes(&path)?.unwrap_or_default();
        read::lines(&path, &String::from_utf8_lossy(&bytes))
    }

    /// Writes a cell's samples, one JSON line each, compressed; the last line has their hash and the cell.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_samples<T: Serialize>(
        &self,
        id: &str,
        samples: impl IntoIterator<Item = T>,
    ) -> Result<(), StoreError> {
        let path = self.make_cell(id)?.join("samples.jsonl.zst");
        let compressing = || failed("compressing", &path);
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).map_err(compressing())?;
        let mut hasher = blake3::Hasher::new();
        for sample in samples {
            let mut line = to_value(&sample)?.to_string();
            line.push('\n');
            hasher.update(line.as_bytes());
            encoder.write_all(line.as_bytes()).map_err(compressing())?;
        }
        let last = seal_line(hasher.finalize().to_hex().as_str(), &of_cell(id));
        writeln!(encoder, "{last}").map_err(compressing())?;
        let bytes = encoder.finish().map_err(compressing())?;
        self.write(&path, &bytes)
    }

    /// A cell's samples; none if they were not written.
    ///
    /// # Errors
    /// A file that is not zstd, is not what was written, or is of another cell; a line that is not JSON, with its number.
    pub fn samples(&self, id: &str) -> Result<Vec<Value>, StoreError> {
        let sealed = self.plan()?.schema_version >= FIRST_SEALED;
        Ok(self.read_samples(id, sealed)?.unwrap_or_default())
    }

    /// Whether a cell's samples are what was written; `None` if there are none.
    ///
    /// # Errors
    /// As [`samples`](RunDir::samples).
    pub fn check_samples(&self, id: &str) -> Result<Option<()>, StoreError> {
        Ok(self.read_samples(id, true)?.map(|_| ()))
    }

    fn read_samples(&self, id: &str, sealed: bool) -> Result<Option<Vec<Value>>, StoreError> {
        let path = self.cell_dir(id).join("samples.jsonl.zst");
        let Some(bytes) = read::bytes(&path)? else {
            return Ok(None);
        };
        let bad = |what: String| malformed(&path)(what);
        let text = zstd::decode_all(bytes.as_slice()).map_err(|e| bad(e.to_string()))?;
        let mut text = String::from_utf8(text).map_err(|e| bad(e.to_string()))?;
        if sealed {
            let before_last = text
                .trim_end_matches('\n')
                .rfind('\n')
                .map_or(0, |end| end + 1);
            let last = text.split_off(before_last);
            let hash = blake3::hash(text.as_bytes()).to_hex();
            if !line_is_whole(hash.as_str(), last.trim_end_matches('\n')) {
                return Err(bad(read::CHANGED.into()));
            }
            if last.trim_end_matches('\n') != seal_line(hash.as_str(), &of_cell(id)) {
                return Err(bad(format!(
                    "expected the samples of cell {id}, found those of another"
                )));
            }
        }
        let events = read::lines(&path, &text)?;
        match events.torn {
            Some(_) => Err(bad("its last line is cut off".into())),
            None => Ok(Some(events.lines)),
        }
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

    /// A file that takes the words of a cell's process; what is in it already is kept.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn cell_log(&self, id: &str) -> Result<File, StoreError> {
        let path = self.make_cell(id)?.join("log.txt");
        plain(&path)?;
        let log = OpenOptions::new().append(true).create(true).open(&path);
        log.map_err(failed("opening", &path))
    }

    /// Everything in the folder; what cannot be read is listed with its reason.
    ///
    /// # Errors
    /// Only if the plan itself cannot be read.
    pub fn load(&self) -> Result<LoadedRun, StoreError> {
        load(&self.path)
    }

    fn write_cell_json(
        &self,
        id: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.write_json(&self.make_cell(id)?.join(name), value)
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

/// The last line of samples, before its hash.
fn of_cell(id: &str) -> String {
    serde_json::json!({ "cell": id }).to_string()
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
