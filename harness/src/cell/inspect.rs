//! What a cell's folder holds before the cell runs. Every file that a number is read from is checked; what is not what
//! was written is set aside under another name, and the cell is made again from what is whole.

use super::{CellConfig, Finished, config_of};
use crate::checkpoint::{self, Owner};
use crate::search;
use crate::train::Progress;
use crate::{Error, Result};
use farspan_reports::record::{PlannedCell, State, Status};
use farspan_reports::store::{RunDir, StoreError, sweep_ended};
use std::path::PathBuf;

/// Where a cell stands before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its result is whole.
    Done,
    /// Its training diverged, and would again.
    Diverged,
    /// There is something left to do.
    ToMake,
}

/// A cell's folder, looked through.
#[derive(Debug)]
pub struct Inspected {
    /// Where the cell stands.
    pub found: Found,
    /// What was wrong and what was done about it, in sentences.
    pub words: Vec<String>,
}

/// Looks through the folder of `cell` and mends it; `dir` is written, so the cell's lease must be held. `wanted` tells
/// whether an extension will read its weights.
pub fn inspect(dir: &RunDir, cell: &PlannedCell, wanted: bool) -> Result<Inspected> {
    examine(dir, cell, wanted)?.mend(dir, cell)
}

/// Whether nothing is left to do in the folder of `cell`, not even to mend it. Reads only.
pub fn is_done(dir: &RunDir, cell: &PlannedCell, wanted: bool) -> Result<bool> {
    let found = examine(dir, cell, wanted)?;
    let told = found.status.as_ref();
    let told = told.is_none_or(|status| status.state == State::Done);
    Ok(found.result && told && found.is_whole() && !found.both && found.unreadable.is_empty())
}

/// What a look through a cell's folder showed.
struct Examined {
    status: Option<Status>,
    result: bool,
    /// Files that are not what was written, and why.
    damaged: Vec<(PathBuf, String)>,
    /// The same for the status, which decides nothing.
    unreadable: Vec<(PathBuf, String)>,
    /// There are weights and a state of training: a process was killed between the two.
    both: bool,
}

fn examine(dir: &RunDir, cell: &PlannedCell, wanted: bool) -> Result<Examined> {
    let config = config_of(dir, cell)?;
    let id = &cell.id;
    let file = |name: &str| dir.cell_dir(id).join(name);
    sweep_ended(&dir.cell_dir(id));
    let mut damaged = Vec::new();
    let status = look(&mut damaged, file("status.json"), dir.status(id))?;
    let unreadable = std::mem::take(&mut damaged);
    let result = look(&mut damaged, file("result.json"), dir.result_of(cell))?;
    look(&mut damaged, file("cost.json"), dir.cost(id))?;
    let samples = file("samples.jsonl.zst");
    look(&mut damaged, samples, dir.check_samples(id))?;
    let base = base_weights(dir, &config)?;
    let owner = Owner {
        cell: id.clone(),
        base,
    };
    let path = file("checkpoint.safetensors");
    let weights = look(
        &mut damaged,
        path.clone(),
        stored::<Finished>(&path, &owner),
    )?;
    let path = file("state.safetensors");
    let both = weights.is_some() && path.symlink_metadata().is_ok();
    if weights.is_none() {
        look(
            &mut damaged,
            path.clone(),
            stored::<Progress>(&path, &owner),
        )?;
    }
    let path = file("search.jsonl");
    look(&mut damaged, path.clone(), search::read(&path, &owner))?;
    if let Some(result) = &result
        && owner.base.is_some()
        && result.train.base_weights != owner.base
    {
        let why = "the weights of its base that it was measured with are no longer there";
        damaged.push((file("result.json"), format!("{id}/result.json: {why}")));
    }
    let trains = config.train.steps > 0 && config.checkpoint.is_none();
    if wanted && trains && result.is_some() && weights.is_none() && damaged.is_empty() {
        let why = "its weights are missing, and its extensions need them";
        damaged.push((file("result.json"), format!("{id}: {why}")));
    }
    Ok(Examined {
        status,
        result: result.is_some(),
        damaged,
        unreadable,
        both,
    })
}

impl Examined {
    fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }

    /// Sets aside what is not what was written.
    fn mend(mut self, dir: &RunDir, cell: &PlannedCell) -> Result<Inspected> {
        let id = &cell.id;
        let file = |name: &str| dir.cell_dir(id).join(name);
        let whole = self.is_whole();
        let mut words = Vec::new();
        if self.both {
            dir.check()?;
            remove(file("state.safetensors"))?;
        }
        // The result first: without it the cell is not done, whatever happens next.
        let has_result = file("result.json").symlink_metadata().is_ok();
        let is_result = |path: &PathBuf| path.ends_with("result.json");
        let listed = self.damaged.iter().any(|(path, _)| is_result(path));
        if !whole && has_result && !listed {
            let to = dir.set_aside(&file("result.json"))?;
            words.push(format!("result.json is now {}", name(&to)));
        }
        self.damaged.sort_by_key(|(path, _)| !is_result(path));
        for (path, why) in self.unreadable.iter().chain(&self.damaged) {
            let to = dir.set_aside(path)?;
            words.push(format!("{why}; set aside as {}", name(&to)));
        }
        if !whole {
            let why = "a file of it was damaged; it is made again";
            dir.mark(id, State::Waiting, why)?;
            words.push("the cell is made again".into());
        }
        let status = self.status;
        let diverged = status.as_ref().is_some_and(|s| s.state == State::Diverged);
        let done = self.result && whole;
        if let Some(mut status) = status.filter(|s| done && s.state != State::Done) {
            // For people who read it; it decides nothing.
            (status.state, status.reason) = (State::Done, None);
            dir.write_status(id, &status)?;
        }
        let found = match diverged && whole {
            _ if done => Found::Done,
            true => Found::Diverged,
            false => Found::ToMake,
        };
        Ok(Inspected { found, words })
    }
}

fn name(path: &std::path::Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What was read, if it is there and whole. What is not whole is noted; the system's refusals are errors.
fn look<T, E: Into<Error>>(
    damaged: &mut Vec<(PathBuf, String)>,
    path: PathBuf,
    read: std::result::Result<Option<T>, E>,
) -> Result<Option<T>> {
    match read.map_err(Into::into) {
        Ok(found) => Ok(found),
        Err(
            e @ (Error::Data(_)
            | Error::Store(StoreError::Malformed { .. } | StoreError::Newer { .. })),
        ) => {
            damaged.push((path, e.to_string()));
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Whether weights or a state lie at `path`, whole.
fn stored<M: serde::de::DeserializeOwned>(
    path: &std::path::Path,
    owner: &Owner,
) -> Result<Option<()>> {
    match path.symlink_metadata() {
        Ok(_) => checkpoint::load::<M>(path, owner).map(|_| Some(())),
        Err(_) => Ok(None),
    }
}

/// Hash of the weights of the base, if they are there; damage to them is told where the base is looked through.
fn base_weights(dir: &RunDir, config: &CellConfig) -> Result<Option<String>> {
    let Some(base) = config.base.as_ref().filter(|_| config.checkpoint.is_none()) else {
        return Ok(None);
    };
    let path = dir.cell_dir(base).join("checkpoint.safetensors");
    let owner = Owner {
        cell: base.clone(),
        base: None,
    };
    match checkpoint::load::<Finished>(&path, &owner) {
        Ok(loaded) => Ok(Some(loaded.weights)),
        Err(Error::Data(_)) => Ok(None),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn remove(path: PathBuf) -> Result<()> {
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing {}", path.display()), e))
        }
        _ => Ok(()),
    }
}
