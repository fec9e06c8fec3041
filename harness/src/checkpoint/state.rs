//! Weights and training state on disk: safetensors with one JSON metadata entry.
//!
//! A file is written whole and renamed into place, so that a killed process leaves either the old or the new state.

use super::header::Type;
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
    write(path, values, Type::F32, (META, meta))
}

/// Writes `values` as numbers of type `kind`, with one entry of metadata: key and text.
pub(super) fn write<'v>(
    path: &Path,
    values: impl IntoIterator<Item = (&'v String, &'v (Vec<usize>, Vec<f32>))>,
    kind: Type,
    (key, text): (&str, String),
) -> Result<()> {
    let dtype = match kind {
        Type::F32 => Dtype::F32,
        Type::F16 => Dtype::F16,
        Type::BF16 => Dtype::BF16,
    };
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = values
        .into_iter()
        .map(|(name, (shape, data))| match encode(kind, data) {
            Ok(bytes) => Ok((name, shape, bytes)),
            Err(x) => Err(Error::Data(format!(
                "{}: tensor {name}: {x} is beyond float16; save as bfloat16 or float32",
                path.display()
            ))),
        })
        .collect::<Result<_>>()?;
    let views = bytes
        .iter()
        .map(|(name, shape, data)| {
            let view = TensorView::new(dtype, (*shape).clone(), data);
            view.map(|view| (name.as_str(), view))
                .map_err(|e| Error::Bug(format!("tensor {name} cannot be written: {e}")))
        })
        .collect::<Result<Vec<_>>>()?;
    let file = serialize(views, Some(HashMap::from([(key.to_string(), text)])))
        .map_err(|e| Error::Bug(format!("{}: {e}", path.display())))?;
    Ok(write_atomic(path, &file)?)
}

/// `data` in type `kind`, rounded to the nearest, ties to even; or the first number that it cannot hold.
fn encode(kind: Type, data: &[f32]) -> std::result::Result<Vec<u8>, f32> {
    match kind {
        Type::F32 => Ok(data.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Type::BF16 => Ok(data
            .iter()
            .flat_map(|x| {
                let bits = x.to_bits();
                let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
                ((rounded >> 16) as u16).to_le_bytes()
            })
            .collect()),
        Type::F16 => {
            let mut bytes = Vec::with_capacity(2 * data.len());
            for &x in data {
                bytes.extend(half(x).ok_or(x)?.to_le_bytes());
            }
            Ok(bytes)
        }
    }
}

/// `x` as IEEE half precision, if it is finite there.
fn half(x: f32) -> Option<u16> {
    /// The number behind the largest.
    const END: f32 = 65520.0;
    /// The smallest with a full fraction: 2⁻¹⁴.
    const NORMAL: f32 = 6.103_515_6e-5;
    let sign = ((x.to_bits() >> 16) & 0x8000) as u16;
    let size = x.abs();
    if size.is_nan() || size >= END {
        return None;
    }
    if size < NORMAL {
        return Some(sign | (size * 2f32.powi(24)).round_ties_even() as u16);
    }
    let bits = size.to_bits();
    let rounded = bits + 0xfff + (bits >> 13 & 1);
    Some(sign | ((rounded >> 13) - (112 << 10)) as u16)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(kind: Type, x: f32) -> Option<u16> {
        let bytes = encode(kind, &[x]).ok()?;
        Some(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    #[test]
    fn half_precision_is_the_nearest_number_and_the_even_one_of_two() {
        for (x, expected) in [
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            // Between 1 and 1 + 2⁻¹⁰, and between that and the next.
            (1.0 + 2f32.powi(-11), 0x3c00),
            (1.0 + 3.0 * 2f32.powi(-11), 0x3c02),
            (1.0 + 2f32.powi(-11) + 2f32.powi(-20), 0x3c01),
            (65504.0, 0x7bff),
            (65519.0, 0x7bff),
            (2f32.powi(-14), 0x0400),
            (2f32.powi(-14) - 2f32.powi(-26), 0x0400),
            (2f32.powi(-24), 0x0001),
            (2f32.powi(-25), 0x0000),
            (3.0 * 2f32.powi(-25), 0x0002),
            (-0.0, 0x8000),
        ] {
            assert_eq!(bits(Type::F16, x), Some(expected), "{x}");
        }
        for x in [65520.0, -1e30, f32::INFINITY, f32::NAN] {
            assert_eq!(bits(Type::F16, x), None, "{x}");
        }
    }

    #[test]
    fn bfloat16_is_the_nearest_number_and_the_even_one_of_two() {
        for (x, expected) in [
            (1.0, 0x3f80),
            (1.0 + 2f32.powi(-8), 0x3f80),
            (1.0 + 3.0 * 2f32.powi(-8), 0x3f82),
            (1.0 + 2f32.powi(-8) + 2f32.powi(-20), 0x3f81),
            (-3.0, 0xc040),
        ] {
            assert_eq!(bits(Type::BF16, x), Some(expected), "{x}");
        }
    }
}
