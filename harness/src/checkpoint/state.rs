//! Weights and training state on disk: safetensors with one JSON metadata entry.
//!
//! A training state is written whole and renamed into place, so that a killed process leaves either the old or the new
//! one. Its metadata say which cell it belongs to and carry a hash of everything in the file that is read.

use super::header::Type;
use crate::model::Values;
use crate::{Error, Result};
use farspan_reports::store::{RunDir, write_atomic};
use safetensors::tensor::{
    Dtype, SafeTensorError, SafeTensors, View, serialize, serialize_to_file,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// Key of our metadata entry.
const META: &str = "farspan";
/// Infinity in half precision.
const INFINITY: u16 = 0x7c00;

/// What weights belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Identity of the cell.
    pub cell: String,
    /// Hash of the weights of its base that they began with.
    pub base: Option<String>,
}

/// The metadata entry.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    owner: Owner,
    /// What the caller keeps beside the weights, as JSON.
    meta: String,
    /// See [`seal`].
    blake3: String,
}

/// What [`load`] found.
#[derive(Debug)]
pub struct Loaded<M> {
    /// Tensors by name.
    pub values: Values,
    /// What was kept beside them.
    pub meta: M,
    /// Hash of the tensors alone: equal weights have equal ones, however long it took to make them.
    pub weights: String,
}

/// Begins the names of the optimizer's moments: they may overflow where weights must not.
pub const MOMENTS: &str = "adam.";

/// blake3 of every tensor with its name and shape.
fn hash(values: &Values) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, (shape, data)) in values {
        add(&mut hasher, &format!("{name} {shape:?}"));
        for part in data.chunks(1 << 14) {
            hasher.update(&encode(Type::F32, part));
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// blake3 of everything in a file: whose it is, what is kept beside the weights, and the hash of the weights.
fn seal(owner: &Owner, meta: &str, weights: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let base = owner.base.as_deref().unwrap_or_default();
    for text in [owner.cell.as_str(), base, meta, weights] {
        add(&mut hasher, text);
    }
    hasher.finalize().to_hex().to_string()
}

fn add(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// Writes `values` with `meta` beside them into a file of the run folder `dir`, for [`load`].
pub fn save(
    dir: &RunDir,
    path: &Path,
    owner: &Owner,
    values: &Values,
    meta: &impl Serialize,
) -> Result<()> {
    let meta = serde_json::to_string(meta).map_err(|e| Error::Bug(e.to_string()))?;
    let entry = Entry {
        owner: owner.clone(),
        blake3: seal(owner, &meta, &hash(values)),
        meta,
    };
    Ok(dir.write(path, &encoded(path, values, &entry)?)?)
}

/// Writes `values` with `meta` beside them, for other programs.
pub fn tell(path: &Path, values: &Values, meta: &impl Serialize) -> Result<()> {
    Ok(write_atomic(path, &encoded(path, values, meta)?)?)
}

/// What a file at `path` is to hold.
fn encoded(path: &Path, values: &Values, meta: &impl Serialize) -> Result<Vec<u8>> {
    let meta = serde_json::to_string(meta).map_err(|e| Error::Bug(e.to_string()))?;
    let meta = HashMap::from([(META.to_string(), meta)]);
    serialize(views(path, values, Type::F32)?, Some(meta))
        .map_err(|e| Error::Bug(format!("{}: {e}", path.display())))
}

/// Writes `values` as numbers of type `kind`, with one entry of metadata: key and text. One tensor at a time is turned
/// into bytes. A killed process leaves a part of the file: what makes it count is to be written after it.
pub(super) fn write<'v>(
    path: &Path,
    values: impl IntoIterator<Item = (&'v String, &'v (Vec<usize>, Vec<f32>))>,
    kind: Type,
    (key, text): (&str, String),
) -> Result<()> {
    let views = views(path, values, kind)?;
    let writing = |e| Error::io(format!("writing {}", path.display()), e);
    let meta = HashMap::from([(key.to_string(), text)]);
    serialize_to_file(views, Some(meta), path).map_err(|e| match e {
        SafeTensorError::IoError(e) => writing(e),
        e => Error::Bug(format!("{}: {e}", path.display())),
    })?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(writing)
}

/// What a file at `path` is to hold, if `kind` can hold all numbers.
fn views<'v>(
    path: &Path,
    values: impl IntoIterator<Item = (&'v String, &'v (Vec<usize>, Vec<f32>))>,
    kind: Type,
) -> Result<Vec<(&'v str, Numbers<'v>)>> {
    let view = |(name, (shape, data)): (&'v String, &'v (Vec<usize>, Vec<f32>))| {
        let beyond = |x: &&f32| kind == Type::F16 && half(**x).is_none();
        match data.iter().find(beyond) {
            None => Ok((name.as_str(), Numbers { kind, shape, data })),
            Some(x) => Err(Error::Data(format!(
                "{}: tensor {name}: {x} is beyond float16; save as bfloat16 or float32",
                path.display()
            ))),
        }
    };
    values.into_iter().map(view).collect()
}

/// A tensor that becomes bytes when it is written.
struct Numbers<'v> {
    kind: Type,
    shape: &'v [usize],
    data: &'v [f32],
}

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        match self.kind {
            Type::F32 => Dtype::F32,
            Type::F16 => Dtype::F16,
            Type::BF16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(encode(self.kind, self.data))
    }

    fn data_len(&self) -> usize {
        self.data.len() * self.kind.size()
    }
}

/// `data` in type `kind`, rounded to the nearest, ties to even.
fn encode(kind: Type, data: &[f32]) -> Vec<u8> {
    let bf16 = |x: &f32| {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        ((rounded >> 16) as u16).to_le_bytes()
    };
    // Numbers beyond are refused before; infinity is what rounding makes of them.
    let f16 = |x: &f32| half(*x).unwrap_or(INFINITY).to_le_bytes();
    match kind {
        Type::F32 => data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Type::BF16 => data.iter().flat_map(bf16).collect(),
        Type::F16 => data.iter().flat_map(f16).collect(),
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

/// Reads a file written by [`save`] for this owner; where the owner's base is not given, any will do. A file that is not
/// what was written, belongs to something else, or holds a number that is not finite is [`Error::Data`].
pub fn load<M: DeserializeOwned>(path: &Path, owner: &Owner) -> Result<Loaded<M>> {
    let bad = |what: String| Error::Data(format!("{}: {what}", path.display()));
    let io = |e| Error::io(format!("reading {}", path.display()), e);
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(bad(
            "expected a file, found a folder, a pipe or a device".into()
        ));
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| bad(format!("not a whole safetensors file: {e}")))?;
    let entry = header.metadata().as_ref().and_then(|m| m.get(META));
    let entry = entry.ok_or_else(|| {
        bad(format!(
            "no {META:?} entry in its metadata: not written by farspan"
        ))
    })?;
    let entry: Entry =
        serde_json::from_str(entry).map_err(|e| bad(format!("its metadata: {e}")))?;
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
    let weights = hash(&values);
    let found = seal(&entry.owner, &entry.meta, &weights);
    if found != entry.blake3 {
        return Err(bad(format!(
            "its hash is of other numbers: expected {}, found {found}; the file is not what was written (changed by \
             hand, or damaged)",
            entry.blake3
        )));
    }
    if entry.owner.cell != owner.cell {
        return Err(bad(format!(
            "expected the weights of cell {}, found those of cell {}",
            owner.cell, entry.owner.cell
        )));
    }
    if owner.base.is_some() && owner.base != entry.owner.base {
        return Err(bad(
            "the weights of its base that it began with are no longer there".into(),
        ));
    }
    if let Some(what) = not_finite(&values) {
        return Err(bad(what));
    }
    let meta = serde_json::from_str(&entry.meta).map_err(|e| bad(format!("its metadata: {e}")))?;
    Ok(Loaded {
        values,
        meta,
        weights,
    })
}

/// Which weight is not finite, if one is.
pub fn not_finite(values: &Values) -> Option<String> {
    let mut weights = values.iter().filter(|(name, _)| !name.starts_with(MOMENTS));
    weights.find_map(|(name, (_, data))| {
        let at = data.iter().position(|x| !x.is_finite())?;
        Some(format!(
            "tensor {name}: expected finite numbers, found {} at {at}",
            data[at]
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(kind: Type, x: f32) -> u16 {
        let bytes = encode(kind, &[x]);
        u16::from_le_bytes([bytes[0], bytes[1]])
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
            assert_eq!(bits(Type::F16, x), expected, "{x}");
        }
        for x in [65520.0, -1e30, f32::INFINITY, f32::NAN] {
            assert_eq!(half(x), None, "{x}");
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
            assert_eq!(bits(Type::BF16, x), expected, "{x}");
        }
    }
}
