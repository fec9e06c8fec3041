//! The run folder: one per run, plain files, replaced atomically.
//!
//! ```text
//! plan.json  config.toml  resolved.toml  lock
//! cells/<id>/  cell.json  status.json  events.jsonl  result.json  cost.json  samples.jsonl.zst
//!              checkpoint.safetensors  log.txt  lock
//! report/…
//! ```
//!
//! `plan.json` is written last when a folder is made, so a folder with one is whole. Whoever writes holds the folder's
//! lock ([`RunDir::hold`], [`RunDir::hold_cell`]); readers need none.

mod disk;
mod load;
mod lock;
mod read;
#[cfg(test)]
mod tests;

pub use crate::error::StoreError;
#[doc(hidden)]
pub use disk::FaultyDisk;
pub use disk::{Disk, RealDisk, write_atomic};
pub use load::{LoadedCell, LoadedRun, load};
pub use lock::Held;
pub use read::Events;

use crate::record::{CellRecord, Cost, RunPlan, SCHEMA_VERSION, State, Status};
use serde::Serialize;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file name made from a cell's identity.
const MAX_ID: usize = 80;

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
        check_ids(&dir.path.join("plan.json"), plan)?;
        dir.make_dir(&dir.path.join("cells"))?;
        let _held = dir.hold()?;
        for cell in &plan.cells {
            dir.make_dir(&dir.cell_dir(&cell.id))?;
            let mut value = to_value(cell)?;
            if let Some(object) = value.as_object_mut() {
                object.insert("schema_version".into(), SCHEMA_VERSION.into());
            }
            dir.write_json(&dir.cell_dir(&cell.id).join("cell.json"), &value)?;
        }
        dir.write(&dir.path.join("config.toml"), config.as_bytes())?;
        dir.write(&dir.path.join("resolved.toml"), resolved.as_bytes())?;
        dir.write_json(&dir.path.join("plan.json"), plan)?;
        Ok(dir)
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

    /// Takes the run's lock: one grid per folder.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder's host, process and time.
    pub fn hold(&self) -> Result<Held, StoreError> {
        Held::take(&self.path)
    }

    /// Takes a cell's lock: one process per cell.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder's host, process and time.
    pub fn hold_cell(&self, id: &str) -> Result<Held, StoreError> {
        let dir = self.cell_dir(id);
        self.make_dir(&dir)?;
        Held::take(&dir)
    }

    /// The frozen plan.
    ///
    /// # Errors
    /// A missing, newer or malformed `plan.json`, or a cell identity that is no plain file name.
    pub fn plan(&self) -> Result<RunPlan, StoreError> {
        let path = self.path.join("plan.json");
        let plan: RunPlan = read::versioned(&path)?.ok_or_else(|| StoreError::NotARun {
            path: self.path.clone(),
        })?;
        check_ids(&path, &plan)?;
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
    /// An unreadable previous status, or the system's refusal.
    pub fn mark(&self, id: &str, state: State, reason: &str) -> Result<(), StoreError> {
        let before = self.status(id)?;
        let (step, steps) = before.map_or((0, 0), |s| (s.step, s.steps));
        let status = Status {
            schema_version: SCHEMA_VERSION,
            state,
            step,
            steps,
            reason: Some(reason.to_string()),
            updated: jiff::Timestamp::now().to_string(),
            pid: None,
        };
        self.write_status(id, &status)
    }

    /// Whether a cell has a result. It is complete if it is there, since it is replaced atomically.
    #[must_use]
    pub fn has_result(&self, id: &str) -> bool {
        self.cell_dir(id).join("result.json").is_file()
    }

    /// What a cell measured; `None` if it has no result. Its invariants have been checked.
    ///
    /// # Errors
    /// A newer, malformed or foreign `result.json`.
    pub fn result(&self, id: &str) -> Result<Option<CellRecord>, StoreError> {
        let path = self.cell_dir(id).join("result.json");
        let Some(record) = read::versioned::<CellRecord>(&path)? else {
            return Ok(None);
        };
        load::check(&record, id).map_err(|what| StoreError::Malformed {
            path,
            line: None,
            what,
        })?;
        Ok(Some(record))
    }

    /// Writes a cell's result.
    ///
    /// # Errors
    /// A record that breaks an invariant of the schema, or the system's refusal.
    pub fn write_result(&self, id: &str, record: &CellRecord) -> Result<(), StoreError> {
        let path = self.cell_dir(id).join("result.json");
        load::check(record, id).map_err(|what| StoreError::Malformed {
            path,
            line: None,
            what,
        })?;
        self.write_cell_json(id, "result.json", record)
    }

    /// What a cell cost, if that was written.
    ///
    /// # Errors
    /// A malformed `cost.json`.
    pub fn cost(&self, id: &str) -> Result<Option<Cost>, StoreError> {
        read::json(&self.cell_dir(id).join("cost.json"))
    }

    /// Writes what a cell cost.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_cost(&self, id: &str, cost: &Cost) -> Result<(), StoreError> {
        self.write_cell_json(id, "cost.json", cost)
    }

    /// Adds one event to a cell's `events.jsonl`, with one write.
    ///
    /// # Errors
    /// The system's refusal; a torn line is dropped by readers and by the next event.
    pub fn append_event(&self, id: &str, event: &Value) -> Result<(), StoreError> {
        let dir = self.cell_dir(id);
        self.make_dir(&dir)?;
        // serde_json escapes line breaks inside strings, so a value is one line.
        disk::append_line(
            self.disk.as_ref(),
            &dir.join("events.jsonl"),
            &event.to_string(),
        )
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

    /// Writes a cell's samples, one JSON line each, compressed.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_samples<T: Serialize>(
        &self,
        id: &str,
        samples: impl IntoIterator<Item = T>,
    ) -> Result<(), StoreError> {
        let dir = self.cell_dir(id);
        let path = dir.join("samples.jsonl.zst");
        let failed = |source| StoreError::Io {
            action: "compressing",
            path: path.clone(),
            source,
        };
        self.make_dir(&dir)?;
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).map_err(failed)?;
        for sample in samples {
            let mut line = to_value(&sample)?.to_string();
            line.push('\n');
            encoder.write_all(line.as_bytes()).map_err(failed)?;
        }
        let bytes = encoder.finish().map_err(failed)?;
        self.write(&path, &bytes)
    }

    /// A cell's samples; none if they were not written.
    ///
    /// # Errors
    /// A file that is not zstd or a line that is not JSON, with its number.
    pub fn samples(&self, id: &str) -> Result<Vec<Value>, StoreError> {
        let path = self.cell_dir(id).join("samples.jsonl.zst");
        let Some(bytes) = read::bytes(&path)? else {
            return Ok(Vec::new());
        };
        let malformed = |what| StoreError::Malformed {
            path: path.clone(),
            line: None,
            what,
        };
        let text = zstd::decode_all(bytes.as_slice()).map_err(|e| malformed(e.to_string()))?;
        let text = String::from_utf8(text).map_err(|e| malformed(e.to_string()))?;
        let events = read::lines(&path, &text)?;
        match events.torn {
            Some(_) => Err(malformed("its last line is cut off".into())),
            None => Ok(events.lines),
        }
    }

    /// A file that takes the words of a cell's process; what is in it already is kept.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn cell_log(&self, id: &str) -> Result<File, StoreError> {
        let dir = self.cell_dir(id);
        self.make_dir(&dir)?;
        let path = dir.join("log.txt");
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|source| StoreError::Io {
                action: "opening",
                path,
                source,
            })
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
        let dir = self.cell_dir(id);
        self.make_dir(&dir)?;
        self.write_json(&dir.join(name), value)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
        let mut text = serde_json::to_string_pretty(value).map_err(|e| StoreError::Malformed {
            path: path.to_path_buf(),
            line: None,
            what: format!("cannot be written as JSON: {e}"),
        })?;
        text.push('\n');
        self.write(path, text.as_bytes())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        disk::write_atomic_on(self.disk.as_ref(), path, bytes)
    }

    fn make_dir(&self, path: &Path) -> Result<(), StoreError> {
        if path.is_dir() {
            return Ok(());
        }
        self.disk
            .create_dir_all(path)
            .map_err(|source| StoreError::Io {
                action: "making the folder",
                path: path.to_path_buf(),
                source,
            })
    }
}

fn to_value(value: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|e| StoreError::Malformed {
        path: PathBuf::new(),
        line: None,
        what: format!("cannot be written as JSON: {e}"),
    })
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
        let ours = ["cells", "config.toml", "resolved.toml", "lock"].contains(&name.as_str());
        if !ours && !name.contains(disk::HALF_WRITTEN) {
            return Err(StoreError::Occupied {
                path: path.to_path_buf(),
                found: name,
            });
        }
    }
    Ok(())
}

/// Identities become folder names, and a plan may come from elsewhere.
fn check_ids(path: &Path, plan: &RunPlan) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let fine = |id: &str| {
        !id.is_empty() && id.len() <= MAX_ID && !id.starts_with('.') && id.chars().all(plain)
    };
    let mut seen = std::collections::BTreeSet::new();
    for cell in &plan.cells {
        let what = if !fine(&cell.id) {
            format!(
                "expected cell ids of 1 to {MAX_ID} characters a-z 0-9 . _ -, found {:?}",
                cell.id
            )
        } else if !seen.insert(&cell.id) {
            format!("two cells have the id {:?}", cell.id)
        } else {
            continue;
        };
        return Err(StoreError::Malformed {
            path: path.to_path_buf(),
            line: None,
            what,
        });
    }
    Ok(())
}
