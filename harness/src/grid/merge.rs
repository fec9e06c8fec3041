//! Several run folders as one: cells that were made on machines without a common disk.

use crate::{Error, Result, machine};
use farspan_reports::record::{PlannedCell, RunPlan, SCHEMA_VERSION};
use farspan_reports::store::{LeaseState, RunDir};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a merge left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Cells of the new folder.
    pub cells: usize,
    /// Those of them with a result.
    pub done: usize,
}

struct Part {
    dir: RunDir,
    plan: RunPlan,
}

/// Copies the cells of `from` into the new run folder `out`. Of a cell that several have, the one that is furthest is
/// taken; two results of one cell must be the same.
pub fn merge(from: &[PathBuf], out: &Path, command: &str) -> Result<Merged> {
    if RunDir::exists(out) {
        return Err(Error::Config(format!(
            "{} is a run folder already",
            out.display()
        )));
    }
    let parts: Vec<Part> = from.iter().map(|path| part(path)).collect::<Result<_>>()?;
    let first = parts
        .first()
        .ok_or_else(|| Error::Config("no run folder to merge".into()))?;
    let mut plan = RunPlan {
        command: command.to_string(),
        created: machine::now(),
        cells: Vec::new(),
        ..first.plan.clone()
    };
    for part in &parts {
        agree(&mut plan, part)?;
    }
    let mut chosen: BTreeMap<&str, &Part> = BTreeMap::new();
    for part in &parts {
        for cell in &part.plan.cells {
            let taken = chosen.get(cell.id.as_str()).copied();
            if taken.is_none() {
                plan.cells.push(cell.clone());
            }
            if further(part, taken, cell)? {
                chosen.insert(&cell.id, part);
            }
        }
    }
    // The plan comes last: a folder that has one is whole.
    let cells = out.join("cells");
    let io = |e| Error::io(format!("making {}", cells.display()), e);
    std::fs::create_dir_all(&cells).map_err(io)?;
    let mut done = 0;
    for cell in &mut plan.cells {
        let part = chosen[cell.id.as_str()];
        done += usize::from(part.dir.result_of(cell)?.is_some());
        copy(&part.dir.cell_dir(&cell.id), &cells.join(&cell.id))?;
        replace_root(cell, part, out)?;
    }
    let text = |read: &dyn Fn(&RunDir) -> std::result::Result<Option<String>, _>| {
        let texts = parts
            .iter()
            .map(|part| Ok((part, read(&part.dir)?.unwrap_or_default())));
        Ok::<_, Error>(joined(texts.collect::<Result<_>>()?))
    };
    let (config, resolved) = (text(&RunDir::config)?, text(&RunDir::resolved)?);
    let cells = plan.cells.len();
    RunDir::create(out, &plan, &config, &resolved)?;
    Ok(Merged { cells, done })
}

fn part(path: &Path) -> Result<Part> {
    let dir = RunDir::open(path)?;
    let plan = dir.plan()?;
    if plan.schema_version < SCHEMA_VERSION {
        return Err(Error::Config(format!(
            "{}: expected a run of schema {SCHEMA_VERSION}, found one of {}, which can be read only",
            path.display(),
            plan.schema_version
        )));
    }
    let now = dir.now()?;
    for cell in &plan.cells {
        if let LeaseState::Held(holder) = dir.lease_state(&cell.id, now)? {
            let holder = holder.map_or("another process".to_string(), |h| h.to_string());
            return Err(Error::Config(format!(
                "{}: {holder} makes {}; let it end first",
                path.display(),
                cell.label
            )));
        }
    }
    Ok(Part { dir, plan })
}

/// Folders are put together if one page can show them.
fn agree(plan: &mut RunPlan, part: &Part) -> Result<()> {
    let other = &part.plan;
    let path = part.dir.path().display();
    for (what, here, there) in [
        ("confidence", plan.confidence, other.confidence),
        ("margin", plan.margin, other.margin),
    ] {
        if here != there {
            return Err(Error::Config(format!(
                "{path}: expected the {what} of the first folder, {here}, found {there}"
            )));
        }
    }
    match (&plan.reference, &other.reference) {
        (Some(here), Some(there)) if here != there => {
            return Err(Error::Config(format!(
                "{path}: expected the reference of those before, {here}, found {there}"
            )));
        }
        (None, Some(_)) => plan.reference.clone_from(&other.reference),
        _ => {}
    }
    if plan.version != other.version {
        tracing::warn!(
            "{path} is of version {}, those before of {}",
            other.version,
            plan.version
        );
        plan.version = machine::version().to_string();
    }
    if plan.config_hash != other.config_hash {
        let both = format!("{} {}", plan.config_hash, other.config_hash);
        plan.config_hash = blake3::hash(both.as_bytes()).to_hex()[..16].to_string();
    }
    Ok(())
}

/// Whether a cell is further in `part` than in what was `taken` before.
fn further(part: &Part, taken: Option<&Part>, cell: &PlannedCell) -> Result<bool> {
    let Some(taken) = taken else {
        return Ok(true);
    };
    let results = (part.dir.result_of(cell)?, taken.dir.result_of(cell)?);
    match results {
        (Some(here), Some(there)) if here != there => Err(Error::Data(format!(
            "cell {} ({}) has other results in {} than in {}",
            cell.label,
            cell.id,
            part.dir.path().display(),
            taken.dir.path().display()
        ))),
        (Some(_), None) => Ok(true),
        (_, Some(_)) => Ok(false),
        (None, None) => {
            let step = |part: &Part| {
                let weights = part
                    .dir
                    .cell_dir(&cell.id)
                    .join("checkpoint.safetensors")
                    .exists();
                let status = part.dir.status(&cell.id).ok().flatten();
                (weights, status.map_or(0, |status| status.step))
            };
            Ok(step(part) > step(taken))
        }
    }
}

/// Copies the files of a cell; its leases, and what is half-written or was set aside, stay.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let io = |e| Error::io(format!("copying {} to {}", from.display(), to.display()), e);
    std::fs::create_dir_all(to).map_err(io)?;
    let entries = match std::fs::read_dir(from) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io)?,
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let passing =
            name.starts_with('.') || name.starts_with("lease.") || name.contains(".set-aside-");
        if !passing && entry.file_type().map_err(io)?.is_file() {
            std::fs::copy(entry.path(), to.join(name)).map_err(io)?;
        }
    }
    Ok(())
}

/// Relative paths start from the same folder as before, reached from the new run folder.
fn replace_root(cell: &mut PlannedCell, part: &Part, out: &Path) -> Result<()> {
    let Some(root) = cell.config.get_mut("data_root") else {
        return Ok(());
    };
    let old = machine::data_root(
        part.dir.path(),
        Path::new(root.as_str().unwrap_or_default()),
    );
    // Where it is not there, as after a move, there is no way to it either: who goes on says where it is.
    if let Ok(way) = machine::way_from(out, &old) {
        *root = serde_json::to_value(way).map_err(|e| Error::Bug(e.to_string()))?;
    }
    Ok(())
}

/// One text for all: the common one, or each with a line that says whose it is.
fn joined(texts: Vec<(&Part, String)>) -> String {
    match texts.as_slice() {
        [(_, first), rest @ ..] if rest.iter().all(|(_, text)| text == first) => first.clone(),
        all => {
            let named = all.iter().map(|(part, text)| {
                let name = part
                    .dir
                    .path()
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy();
                format!("# {name}\n\n{}\n", text.trim_end())
            });
            named.collect::<Vec<_>>().join("\n")
        }
    }
}
