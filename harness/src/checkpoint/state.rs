//! Weights and training state on disk: safetensors with one JSON metadata entry.
//!
//! A file is written whole and renamed into place, so that a killed process leaves either the old or the new state.

use crate::model::Values;
use crate::{Error, Result};
use farspan_reports::store::write_atomic;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::path::Path;

/// Key of our metadata entry.
const META: &str = "farspan";

/// Writes `values` with `meta` beside them.
pub fn save(path: &Path, values: &Values, meta: &impl Serialize) -> Result<()> {
    let meta = serde_json::to_string(meta).map_err(|e| Error::Bug(e.to_string()))?;
    write(path, values, (META, meta))
}

/// Writes `values` as float32, with one entry of metadata: key and text.
pub(super) fn write(path: &Path, values: &Values, (key, text): (&str, String)) -> Result<()> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = values
        .iter()
        .map(|(name, (shape, data))| {
            (
                name,
                shape,
                data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F32, (*shape).clone(), data);
            view.map(|view| (name.as_str(), view))
                .map_err(|e| Error::Bug(format!("tensor {name} cannot be written: {e}")))
        })
        .collect::<Result<Vec<_>>>()?;
    let file = serialize(views, Some(HashMap::from([(key.to_string(), text)])))
        .map_err(|e| Error::Bug(format!("{}: {e}", path.display())))?;
    Ok(write_atomic(path, &file)?)
}

/// Reads a file written by [`save`].
pub fn load<M: DeserializeOwned>(path: &Path) -> Result<(Values, M)> {
    let bad = |what: String| Error::Data(format!("{}: {what}", path.display()));
    let bytes =
        std::fs::read(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| bad(format!("not a safetensors file: {e}")))?;
    let meta = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get(META))
        .ok_or_else(|| {
            bad(format!(
                "no {META:?} entry in its metadata: not written by farspan"
            ))
        })?;
    let meta = serde_json::from_str(meta).map_err(|e| bad(format!("metadata: {e}")))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
    let mut values = Values::new();
    for (name, view) in tensors.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(bad(format!(
                "tensor {name}: expected F32, found {:?}",
                view.dtype()
            )));
        }
        let data = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        values.insert(name, (view.shape().to_vec(), data));
    }
    Ok((values, meta))
}
