//! Where a model comes from: a checkpoint folder, an id in the Hugging Face cache, or a finished cell of a run
//! (`RUN:CELL`), which is written out as a checkpoint folder of Farspan's own form once and kept with what can be made
//! again.

use crate::cell::{self, CellConfig, Finished};
use crate::checkpoint::save::{Beside, Form, Plain, write_own};
use crate::checkpoint::{self, Loaded, Owner, hub};
use crate::config::suggest;
use crate::config::types::Reads;
use crate::model::{Values, Weights, merged, weights_of};
use crate::scheme::Positional;
use crate::source::Source;
use crate::{Error, Result, machine};
use farspan_attention::Device;
use farspan_reports::record::{PlannedCell, SCHEMA_VERSION, Stage};
use farspan_reports::store::RunDir;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The checkpoint folder that `model` means.
pub fn folder(model: &str) -> Result<PathBuf> {
    match model.rsplit_once(':') {
        Some((run, cell)) if Path::new(run).join("plan.json").is_file() => of_cell(run, cell),
        _ => hub::folder(model),
    }
}

/// The folder of a finished cell, by its label or identity.
fn of_cell(run: &str, name: &str) -> Result<PathBuf> {
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
    let Some(record) = dir.result_of(planned)? else {
        let label = &planned.label;
        return Err(Error::Data(format!(
            "{run}: cell {label} is not finished; `farspan run` on its config goes on with it"
        )));
    };
    let config = cell::config_of(planned)?;
    let (weights, hash) = weights(&dir, planned, &config)?;
    let settings = match record.scheme.settings {
        Value::Object(settings) => settings,
        _ => Default::default(),
    };
    let mut architecture = config.architecture.clone();
    // Under the scheme that measured it, settings found by a search among them.
    architecture.positional = Positional::new(&record.scheme.id, settings);
    let key = format!("{hash} {architecture:?} {}", config.tokenizer_hash);
    let key = &blake3::hash(key.as_bytes()).to_hex()[..24];
    let out = machine::cache_dir().join("models").join(key);
    if out.join("config.json").exists() {
        return Ok(out);
    }
    let beside = beside(&config)?;
    let plain = Plain {
        architecture: &architecture,
        weights,
    };
    write_own(plain, &beside, Form::default(), &out)?;
    Ok(out)
}

/// All weights of a finished cell, adapters merged, and a hash of what they are made of.
fn weights(dir: &RunDir, planned: &PlannedCell, config: &CellConfig) -> Result<(Weights, String)> {
    let device = Device::cpu();
    let load = |id: &str, base: Option<String>| -> Result<Option<Loaded<Finished>>> {
        let path = dir.cell_dir(id).join("checkpoint.safetensors");
        let owner = Owner {
            cell: id.to_string(),
            base,
        };
        match path.exists() {
            true => checkpoint::load(&path, &owner).map(Some),
            false => Ok(None),
        }
    };
    let base = match (&config.base, &config.checkpoint) {
        (Some(base), None) => load(base, None)?,
        _ => None,
    };
    let own = load(&planned.id, base.as_ref().map(|base| base.weights.clone()))?;
    let start = |base: Option<&Loaded<Finished>>| -> Result<(Weights, String)> {
        match (&config.checkpoint, base) {
            (Some(found), _) => {
                let weights = found.weights(&config.architecture, &device)?;
                Ok((weights, found.hash.clone()))
            }
            (None, Some(base)) => Ok((weights_of(&base.values, &device)?, base.weights.clone())),
            (None, None) => {
                let label = &planned.label;
                Err(Error::Data(format!("cell {label} has no weights")))
            }
        }
    };
    let trained = |values: &Values| weights_of(values, &device);
    match (own, &config.lora) {
        (Some(own), None) if config.stage != Stage::ZeroShot => {
            Ok((trained(&own.values)?, own.weights))
        }
        (Some(own), Some(lora)) => {
            let (frozen, hash) = start(base.as_ref())?;
            let learned = trained(&own.values)?;
            let scale = lora.alpha / lora.rank as f64;
            let hash = format!("{hash} {}", own.weights);
            Ok((merged(&frozen, &learned, scale)?, hash))
        }
        _ => start(base.as_ref()),
    }
}

/// The tokenizer of a cell.
fn beside(config: &CellConfig) -> Result<Beside> {
    if let Some(checkpoint) = &config.checkpoint {
        return Ok(Beside::Folder(checkpoint.dir.clone()));
    }
    Ok(match &config.reads {
        Reads::Task(_) => Beside::Tokenizer(None),
        Reads::Text(_) => match Source::open(&config.reads, &config.data_root)? {
            Source::Text(text) => Beside::Tokenizer(Some(text.tokenizer_json()?)),
            Source::Task(..) => Beside::Tokenizer(None),
        },
    })
}
