//! The files of one cell in its folder: its status, its result, its cost, its events and its log.

use super::{
    Events, LoadedCell, RunDir, StoreError, check, disk, failed, load, malformed, plain, read,
    to_value, upgrade,
};
use crate::record::{CellRecord, Cost, PlannedCell, SCHEMA_VERSION, State, Status};
use serde::Serialize;
use serde_json::Value;
use std::fs::{File, OpenOptions};

impl RunDir {
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

    fn write_cell_json(
        &self,
        id: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.write_json(&self.make_cell(id)?.join(name), value)
    }
}
