//! A finished cell as a model: the weights that it was measured with, and the scheme that read them.

use super::{CellConfig, Finished, config_of, learn};
use crate::checkpoint::{self, Loaded};
use crate::model::parts::specs;
use crate::model::{Values, Weights, merged, weights_of};
use crate::scheme::Positional;
use crate::{Error, Result};
use farspan_attention::Device;
use farspan_reports::record::PlannedCell;
use farspan_reports::store::RunDir;
use serde_json::Value;

/// What a finished cell was measured with.
pub(crate) struct Measured {
    pub(crate) config: CellConfig,
    /// A search may have found other settings than the config has.
    pub(crate) scheme: Positional,
    /// All of its weights, adapters merged.
    pub(crate) weights: Weights,
    /// Of what the weights are made of.
    pub(crate) hash: String,
}

/// The model of a cell that has its result.
pub(crate) fn measured(dir: &RunDir, planned: &PlannedCell) -> Result<Measured> {
    let Some(record) = dir.result_of(planned)? else {
        return Err(Error::Data(format!(
            "{}: cell {} is not finished; `farspan run` on its config goes on with it",
            dir.path().display(),
            planned.label
        )));
    };
    let settings = match record.scheme.settings {
        Value::Object(settings) => settings,
        _ => Default::default(),
    };
    let config = config_of(dir, planned)?;
    let base = learn::base(dir, &config)?;
    let path = dir.cell_dir(&planned.id).join("checkpoint.safetensors");
    let owner = learn::owner(&planned.id, base.as_ref());
    let own = match path.exists() {
        true => Some(checkpoint::load::<Finished>(&path, &owner)?),
        false => None,
    };
    let (weights, hash) = match own {
        Some(own) if whole(&config, &own.values) => {
            (weights_of(&own.values, &Device::cpu())?, own.weights)
        }
        Some(own) => {
            let (frozen, hash) = start(&config, base)?;
            let learned = weights_of(&own.values, &Device::cpu())?;
            let scale = config.lora.as_ref().map_or(0.0, |lora| lora.scale());
            let hash = format!("{hash} {}", own.weights);
            (merged(&frozen, &learned, scale)?, hash)
        }
        None => start(&config, base)?,
    };
    Ok(Measured {
        config,
        scheme: Positional::new(&record.scheme.id, settings),
        weights,
        hash,
    })
}

/// Whether `own` needs no other weights beside it: adapters do, and so do weights that no gradient moves.
fn whole(config: &CellConfig, own: &Values) -> bool {
    let specs = specs(&config.architecture);
    config.lora.is_none() && specs.iter().all(|spec| own.contains_key(&spec.name()))
}

/// The weights that a cell started from, and their hash.
fn start(config: &CellConfig, base: Option<Loaded<Finished>>) -> Result<(Weights, String)> {
    let device = Device::cpu();
    match (&config.checkpoint, base) {
        (Some(found), _) => {
            let weights = found.weights(&config.data_root, &config.architecture, &device)?;
            Ok((weights, found.hash.clone()))
        }
        (None, Some(base)) => Ok((weights_of(&base.values, &device)?, base.weights)),
        (None, None) => {
            let label = config.label();
            Err(Error::Data(format!("cell {label} has no weights")))
        }
    }
}
