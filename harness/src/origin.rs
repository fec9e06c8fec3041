//! Where a model comes from: a checkpoint folder, an id in the Hugging Face cache, or a finished cell of a run
//! (`RUN:CELL`), which is written out as a checkpoint folder of Farspan's own form once and kept with what can be made
//! again.

use crate::cell::{self, CellConfig, Measured};
use crate::checkpoint::hub;
use crate::checkpoint::save::{Beside, Form, Plain, write_own};
use crate::config::suggest;
use crate::config::types::Reads;
use crate::source::Source;
use crate::{Error, Result, machine};
use farspan_reports::record::{PlannedCell, SCHEMA_VERSION};
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};

/// The checkpoint folder that `model` means.
pub fn folder(model: &str) -> Result<PathBuf> {
    folder_from(Path::new(""), model)
}

/// As [`folder`], with relative paths that start from `root`.
pub(crate) fn folder_from(root: &Path, model: &str) -> Result<PathBuf> {
    let placed = |name: &str| {
        let path = root.join(name);
        let text = path.to_str().map(str::to_string);
        text.filter(|_| path.exists())
            .unwrap_or_else(|| name.to_string())
    };
    match model.rsplit_once(':') {
        Some((run, cell)) if Path::new(&placed(run)).join("plan.json").is_file() => {
            of_cell(&placed(run), cell)
        }
        _ => hub::folder(&placed(model)),
    }
}

/// What the model of a cell reads, if `model` means a cell (`RUN:CELL`).
pub(crate) fn source(model: &str) -> Result<Option<Source>> {
    let Some((run, cell)) = model.rsplit_once(':') else {
        return Ok(None);
    };
    if !Path::new(run).join("plan.json").is_file() {
        return Ok(None);
    }
    let config = finished(run, cell)?.config;
    Ok(Some(Source::open(&config.reads, &config.data_root)?))
}

/// A finished cell, by its label or identity.
fn finished(run: &str, name: &str) -> Result<Measured> {
    let dir = RunDir::open(Path::new(run))?;
    let plan = dir.plan()?;
    if plan.schema_version < SCHEMA_VERSION {
        return Err(Error::Config(format!(
            "{run}: a run of version {} of the files, whose cells cannot be opened as models (version {SCHEMA_VERSION} can)",
            plan.schema_version
        )));
    }
    let named = |cell: &&PlannedCell| cell.label == name || cell.id == name;
    let Some(planned) = plan.cells.iter().find(named) else {
        let labels: Vec<&str> = plan.cells.iter().map(|cell| cell.label.as_str()).collect();
        let hint = suggest::hint(name, labels.iter().copied());
        let some = labels
            .iter()
            .take(8)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Error::Config(format!(
            "{run}: no cell {name:?}{hint}; there are {} cells, among them {some}",
            labels.len()
        )));
    };
    cell::measured(&dir, planned)
}

/// The folder of a finished cell.
fn of_cell(run: &str, name: &str) -> Result<PathBuf> {
    let found = finished(run, name)?;
    let (config, hash) = (found.config, found.hash);
    let architecture = config.architecture.clone().under(found.scheme);
    let key = format!("{hash} {architecture:?} {}", config.tokenizer_hash);
    let key = &blake3::hash(key.as_bytes()).to_hex()[..24];
    let out = machine::cache_dir().join("models").join(key);
    if out.join("config.json").exists() {
        return Ok(out);
    }
    let beside = beside(&config)?;
    let plain = Plain {
        architecture: &architecture,
        weights: found.weights,
    };
    write_own(plain, &beside, Form::default(), &out)?;
    Ok(out)
}

/// The tokenizer of a cell.
fn beside(config: &CellConfig) -> Result<Beside> {
    if let Some(checkpoint) = &config.checkpoint {
        return Ok(Beside::Folder(checkpoint.dir(&config.data_root)?));
    }
    Ok(match &config.reads {
        Reads::Task(_) => Beside::Tokenizer(None),
        Reads::Text(_) => match Source::open(&config.reads, &config.data_root)? {
            Source::Text(text) => Beside::Tokenizer(Some(text.tokenizer_json()?)),
            Source::Task(..) => Beside::Tokenizer(None),
        },
    })
}
