//! Reading a whole run. Every cell is there or listed with a reason; nothing is guessed.

use super::{RunDir, StoreError};
use crate::record::{CellRecord, Cost, PlannedCell, RunPlan, State, Status};
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
    /// Why a file of it could not be read.
    pub unreadable: Option<String>,
}

impl LoadedCell {
    /// Where the cell stands. A readable result counts for more than the status file, which may be older; a cell that
    /// says done but has no readable result counts as failed.
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

/// Reads a run folder.
///
/// # Errors
/// Only if the plan cannot be read: without it nothing is known about the rest.
pub fn load(path: &Path) -> Result<LoadedRun, StoreError> {
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
    let cells: Vec<LoadedCell> = plan
        .cells
        .iter()
        .map(|cell| load_cell(&dir, cell))
        .collect();
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

fn load_cell(dir: &RunDir, planned: &PlannedCell) -> LoadedCell {
    let id = &planned.id;
    let mut reasons = Vec::new();
    let status = keep(dir.status(id), &mut reasons);
    let mut result = keep(dir.result(id), &mut reasons);
    let cost = keep(dir.cost(id), &mut reasons);
    if let Some(why) = result.as_ref().and_then(|r| foreign(r, planned)) {
        reasons.push(why);
        result = None;
    }
    let done = status.as_ref().is_some_and(|s| s.state == State::Done);
    if done && result.is_none() && reasons.is_empty() {
        reasons.push("its status says done, but it has no result.json".into());
    }
    let unreadable = (!reasons.is_empty()).then(|| reasons.join("; "));
    LoadedCell {
        planned: planned.clone(),
        status,
        result,
        cost,
        unreadable,
    }
}

fn keep<T>(read: Result<Option<T>, StoreError>, reasons: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|e| {
        reasons.push(e.to_string());
        None
    })
}

/// Why a result does not belong to the cell whose folder it lies in.
fn foreign(record: &CellRecord, planned: &PlannedCell) -> Option<String> {
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

/// The invariants of a record that everything downstream relies on; in words what is broken.
pub(super) fn check(record: &CellRecord, id: &str) -> Result<(), String> {
    if record.id != id {
        return Err(format!(
            "expected the result of cell {id}, found {}",
            record.id
        ));
    }
    if record.trained_length == 0 {
        return Err("trained_length is 0".into());
    }
    let mut seen = Vec::new();
    for p in &record.perplexity {
        let at = format!("perplexity ({:?}, length {})", p.protocol, p.length);
        if p.length == 0 || p.nll.is_empty() {
            return Err(format!("{at}: no length or no units"));
        }
        if p.tokens.len() != p.nll.len() || p.bytes.len() != p.nll.len() {
            return Err(format!(
                "{at}: expected one entry per unit, found {} losses, {} token counts, {} byte counts",
                p.nll.len(),
                p.tokens.len(),
                p.bytes.len()
            ));
        }
        if p.tokens.contains(&0) {
            return Err(format!("{at}: a unit has no scored token"));
        }
        if seen.contains(&(p.protocol, p.length)) {
            return Err(format!("{at}: recorded twice"));
        }
        seen.push((p.protocol, p.length));
    }
    if let Some(p) = &record.position {
        let ascending = p.starts.windows(2).all(|w| w[0] < w[1]);
        if !ascending || p.starts.last().is_none_or(|&last| last >= p.length) {
            return Err(format!(
                "position: bucket starts do not ascend below length {}",
                p.length
            ));
        }
        if let Some(row) = p.nll.iter().position(|row| row.len() != p.starts.len()) {
            return Err(format!(
                "position: unit {row} does not have {} buckets",
                p.starts.len()
            ));
        }
    }
    let mut cells = Vec::new();
    for p in &record.passkey {
        let at = format!("passkey (length {}, depth {})", p.length, p.depth);
        if !(0.0..=1.0).contains(&p.depth) || p.length == 0 {
            return Err(format!("{at}: depth outside 0..=1 or no length"));
        }
        if p.hits.is_empty() || p.symbols.len() != p.hits.len() || p.log_prob.len() != p.hits.len()
        {
            return Err(format!(
                "{at}: expected one entry per trial, found {} hits, {} symbol counts, {} log-probabilities",
                p.hits.len(),
                p.symbols.len(),
                p.log_prob.len()
            ));
        }
        if cells.contains(&(p.length, p.depth.to_bits())) {
            return Err(format!("{at}: recorded twice"));
        }
        cells.push((p.length, p.depth.to_bits()));
    }
    Ok(())
}
