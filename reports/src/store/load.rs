//! Reading a whole run. Every cell is there or listed with a reason; nothing is guessed.

use super::{RunDir, StoreError, is_pack, load_pack};
use crate::record::{CellRecord, Cost, FIRST_SEALED, PlannedCell, RunPlan, State, Status};
use std::path::{Path, PathBuf};

/// A run folder as data.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRun {
    /// Where it was read.
    pub path: PathBuf,
    /// Its plan.
    pub plan: RunPlan,
    /// The config as written, if it is there.
    pub config: Option<String>,
    /// The config as resolved, if it is there.
    pub resolved: Option<String>,
    /// One entry per planned cell, in the order of the plan.
    pub cells: Vec<LoadedCell>,
    /// What could not be read, in sentences.
    pub problems: Vec<String>,
}

/// One planned cell with what its folder holds.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedCell {
    /// From the plan.
    pub planned: PlannedCell,
    /// Where it stands, if it ever started.
    pub status: Option<Status>,
    /// What it measured, if it did.
    pub result: Option<CellRecord>,
    /// What it cost, if that was written.
    pub cost: Option<Cost>,
    /// Why it has no result although it seems to have ended: which file could not be read, and why.
    pub unreadable: Option<String>,
}

impl LoadedCell {
    /// Where the cell stands. A result that is whole decides that it is done, and nothing else does: the status file
    /// speaks of what is not done, and one that says done without such a result counts as failed.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.result, &self.status) {
            (Some(_), _) => State::Done,
            (None, Some(status)) if status.state == State::Done => State::Failed,
            (None, Some(status)) => status.state,
            (None, None) => State::Waiting,
        }
    }
}

impl LoadedRun {
    /// Results with their cells, in the order of the plan.
    pub fn results(&self) -> impl Iterator<Item = (&LoadedCell, &CellRecord)> {
        self.cells
            .iter()
            .filter_map(|cell| cell.result.as_ref().map(|result| (cell, result)))
    }
}

/// Reads a run folder, or a pack of one.
///
/// # Errors
/// Of a run folder, only if the plan cannot be read: without it nothing is known about the rest. Of a pack, as
/// [`load_pack`].
pub fn load(path: &Path) -> Result<LoadedRun, StoreError> {
    if is_pack(path) {
        return load_pack(path);
    }
    let dir = RunDir::open(path)?;
    let plan = dir.plan()?;
    let mut problems = Vec::new();
    let mut optional = |read: Result<Option<String>, StoreError>| {
        read.unwrap_or_else(|e| {
            problems.push(e.to_string());
            None
        })
    };
    let (config, resolved) = (optional(dir.config()), optional(dir.resolved()));
    if plan.schema_version < FIRST_SEALED {
        problems.push(format!(
            "This run was made by version {}, whose files carry no hashes: damage that leaves them readable cannot be seen.",
            plan.version
        ));
    }
    let mut cells = Vec::new();
    for planned in &plan.cells {
        let (cell, beside) = load_cell(&dir, planned);
        problems.extend(
            beside
                .iter()
                .map(|why| format!("{}: {why}.", planned.label)),
        );
        cells.push(cell);
    }
    let unreadable: Vec<&LoadedCell> = cells.iter().filter(|c| c.unreadable.is_some()).collect();
    if !unreadable.is_empty() {
        problems.push(format!(
            "{} of {} cells unreadable.",
            unreadable.len(),
            cells.len()
        ));
    }
    for cell in unreadable {
        let reason = cell.unreadable.as_deref().unwrap_or_default();
        problems.push(format!("{}: {reason}", cell.planned.label));
    }
    Ok(LoadedRun {
        path: path.to_path_buf(),
        plan,
        config,
        resolved,
        cells,
        problems,
    })
}

/// One cell, and what is wrong beside a result that is whole.
pub(super) fn load_cell(dir: &RunDir, planned: &PlannedCell) -> (LoadedCell, Vec<String>) {
    let id = &planned.id;
    let mut reasons = Vec::new();
    let result = keep(dir.result_of(planned), &mut reasons);
    let mut status = keep(dir.status(id), &mut reasons);
    let cost = keep(dir.cost(id), &mut reasons);
    let done = status.as_ref().is_some_and(|s| s.state == State::Done);
    if result.is_some() && !done {
        // Older than the result.
        status = None;
    }
    if done && result.is_none() && reasons.is_empty() {
        reasons.push("its status says done, but it has no result.json".into());
    }
    let (unreadable, beside) = match result {
        None if !reasons.is_empty() => (Some(reasons.join("; ")), Vec::new()),
        _ => (None, reasons),
    };
    let cell = LoadedCell {
        planned: planned.clone(),
        status,
        result,
        cost,
        unreadable,
    };
    (cell, beside)
}

fn keep<T>(read: Result<Option<T>, StoreError>, reasons: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|e| {
        reasons.push(e.to_string());
        None
    })
}

/// Why a result does not belong to the cell whose folder it lies in.
pub(super) fn foreign(record: &CellRecord, planned: &PlannedCell) -> Option<String> {
    let expected = (&planned.study, &planned.scheme, planned.stage, planned.seed);
    let found = (
        &record.study,
        &record.scheme.name,
        record.scheme.stage,
        record.seed,
    );
    (expected != found).then(|| {
        format!(
            "its result is of another cell: expected study {}, scheme {}, stage {:?}, seed {}, found study {}, scheme \
             {}, stage {:?}, seed {}",
            expected.0, expected.1, expected.2, expected.3, found.0, found.1, found.2, found.3
        )
    })
}
