//! The standard study: its protocol, and what every scheme measured under it, both in the program itself.

use crate::config::{self, ConfigError, Loaded};
use crate::{Error, Result};
use farspan_pe::Registry;
use farspan_reports::record::{CellRecord, PlannedCell, Stage, State};
use farspan_reports::store::{LoadedCell, LoadedRun, PackFile, load, unpack};
use std::path::Path;

/// Name of the protocol, and of the run.
pub const NAME: &str = "standard-1";

/// The protocol: a config. `docs/standard.md` tells what was chosen, and why.
pub const PROTOCOL: &str = include_str!("../configs/standard-1.toml");

// `FILES`: the packed records.
include!(concat!(env!("OUT_DIR"), "/standard.rs"));

/// Parts of a cell's config that make two cells comparable.
const SHARED: [&str; 4] = ["reads", "train", "evaluate", "architecture"];

/// What the schemes measured that have been run so far.
///
/// # Errors
/// A program without records, or with damaged ones.
pub fn records() -> Result<LoadedRun> {
    if FILES.is_empty() {
        return Err(Error::Data(format!(
            "this program was built without the records of {NAME} (results/{NAME} in the repository)"
        )));
    }
    let files = FILES.iter();
    let files: Vec<PackFile<'_>> = files
        .map(|(name, bytes)| ((*name).into(), (*bytes).into()))
        .collect();
    Ok(unpack(Path::new(NAME), &files)?)
}

/// The same from a run folder or a pack: what has come to an end.
///
/// # Errors
/// A folder that cannot be read.
pub fn records_in(dir: &Path) -> Result<LoadedRun> {
    let mut run = load(dir)?;
    let ended = |c: &LoadedCell| matches!(c.state(), State::Done | State::Failed | State::Diverged);
    run.cells.retain(ended);
    run.plan.cells = run.cells.iter().map(|c| c.planned.clone()).collect();
    Ok(run)
}

/// The protocol with schemes of one's own: `schemes` is the text of their tables, `arguments` are `KEY=VALUE`.
///
/// # Errors
/// What is wrong with a scheme.
pub fn protocol(
    schemes: &str,
    arguments: &[String],
    registry: &Registry,
) -> std::result::Result<Loaded, ConfigError> {
    let text = match schemes {
        "" => PROTOCOL.to_string(),
        schemes => format!("{PROTOCOL}\n# Schemes that are ranked.\n\n{schemes}"),
    };
    config::parse(&text, NAME, arguments, registry, usize::MAX)
}

/// Puts what `mine` measured of some schemes in the place of what `field` has of them.
///
/// # Errors
/// Cells of another protocol or over other data: nothing could be compared.
pub fn joined(mut field: LoadedRun, mine: LoadedRun, schemes: &[String]) -> Result<LoadedRun> {
    for name in schemes {
        let new: Vec<_> = mine
            .cells
            .iter()
            .filter(|c| c.planned.scheme == *name)
            .cloned()
            .collect();
        if new.iter().all(|c| c.result.is_none()) {
            continue;
        }
        for cell in &new {
            if let Some(result) = &cell.result {
                same_protocol(&cell.planned, result, &field)?;
            }
        }
        field.plan.cells.retain(|c| c.scheme != *name);
        field.cells.retain(|c| c.planned.scheme != *name);
        field
            .plan
            .cells
            .extend(new.iter().map(|c| c.planned.clone()));
        field.cells.extend(new);
    }
    Ok(field)
}

/// Whether a cell can stand beside those of the same study and stage. Fine-tunings may differ: PoSE's windows are short.
fn same_protocol(cell: &PlannedCell, result: &CellRecord, field: &LoadedRun) -> Result<()> {
    let mut others = field.results().map(|(c, record)| (&c.planned, record));
    let alike = |c: &PlannedCell| c.study == cell.study && c.stage == cell.stage;
    let Some((other, record)) = others.find(|(c, _)| alike(c)) else {
        return Ok(());
    };
    let tuned = cell.stage == Stage::FineTuned;
    let keys = SHARED.into_iter().filter(|key| !(tuned && *key == "train"));
    let differing = keys.filter(|key| cell.config.get(key) != other.config.get(key));
    let data = (result.data.hash != record.data.hash).then_some("data");
    let found = differing.chain(data).next();
    match found {
        None => Ok(()),
        Some(key) => Err(Error::Data(format!(
            "{}: its {key} differs from that of the records of {NAME}, so that it cannot be ranked among them",
            cell.label
        ))),
    }
}
