//! The checkpoint of a study.

use crate::Result;
use crate::cell::CheckpointConfig;
use crate::checkpoint::config::Reading;
use crate::checkpoint::files::Files;
use crate::checkpoint::weights;
use crate::model::Architecture;
use crate::origin;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A checkpoint of a config.
pub(super) struct Pretrained {
    pub(super) config: CheckpointConfig,
    pub(super) dir: PathBuf,
    /// Shapes of its weights.
    pub(super) held: BTreeMap<String, Vec<usize>>,
}

/// A checkpoint of the config, if it holds what `architecture` says.
pub(super) fn pretrained(
    name: &str,
    reading: Reading,
    architecture: &Architecture,
) -> Result<Pretrained> {
    let dir = origin::folder(name)?;
    let files = Files::open(&dir)?;
    let held = weights::held(&files, architecture)?;
    let (name, hash) = (name.to_string(), files.hash()?);
    let config = CheckpointConfig {
        name,
        hash,
        reading,
    };
    Ok(Pretrained { config, dir, held })
}
