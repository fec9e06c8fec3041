//! The header of a safetensors file, and the index of a sharded checkpoint, read without trust.
//!
//! Neither function allocates more than its input justifies, and neither panics on any bytes.

use super::strict::Strict;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Component, Path};

/// Types of numbers that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// 32 bits.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
}

impl Type {
    /// The name in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Type::F32 => "float32",
            Type::F16 => "float16",
            Type::BF16 => "bfloat16",
        }
    }

    /// The name in a header.
    pub(crate) fn stored(self) -> &'static str {
        match self {
            Type::F32 => "F32",
            Type::F16 => "F16",
            Type::BF16 => "BF16",
        }
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Type::F32 => 4,
            Type::F16 | Type::BF16 => 2,
        }
    }
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Type of its numbers, or the name of a type that is not read.
    pub dtype: Result<Type, String>,
    /// Shape.
    pub shape: Vec<usize>,
    /// Bytes, counted from the end of the header.
    pub bytes: Range<u64>,
}

/// Bits of one number of any type that the format knows.
fn bits(dtype: &str) -> Option<u64> {
    match dtype {
        "F4" => Some(4),
        "F6_E2M3" | "F6_E3M2" => Some(6),
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ"
        | "F8_E5M2FNUZ" => Some(8),
        "U16" | "I16" | "F16" | "BF16" => Some(16),
        "U32" | "I32" | "F32" => Some(32),
        "U64" | "I64" | "F64" | "C64" => Some(64),
        _ => None,
    }
}

/// The tensors that the JSON of a header names, for a file with `data` bytes behind it. Fails with the first thing that
/// is wrong: names given twice, ranges that overlap, leave holes, or do not fit shape, type or file.
pub fn header(json: &[u8], data: u64) -> Result<BTreeMap<String, Entry>, String> {
    let Unique(raw): Unique<Strict> =
        serde_json::from_slice(json).map_err(|e| format!("header: {e}"))?;
    let mut entries = BTreeMap::new();
    for (name, Strict(slot)) in raw {
        if name == "__metadata__" {
            let texts = serde_json::from_value::<BTreeMap<String, String>>(slot);
            texts.map_err(|e| format!("header: {name}: {e}"))?;
            continue;
        }
        let slot = serde_json::from_value(slot);
        let Slot {
            dtype,
            shape,
            data_offsets: [start, end],
        } = slot.map_err(|e| format!("tensor {name:?}: {e}"))?;
        let bits =
            bits(&dtype).ok_or_else(|| format!("tensor {name:?}: unknown type {dtype:?}"))?;
        let numbers = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
        let size = numbers
            .and_then(|n| n.checked_mul(bits))
            .map(|bits| bits.div_ceil(8));
        if end < start || size != Some(end - start) {
            let expected = size.map_or("fewer than 2⁶⁴".into(), |n| n.to_string());
            return Err(format!(
                "tensor {name:?} of shape {shape:?} and type {dtype}: expected {expected} bytes, \
                 found bytes {start} to {end}"
            ));
        }
        let dtype = match dtype.as_str() {
            "F32" => Ok(Type::F32),
            "F16" => Ok(Type::F16),
            "BF16" => Ok(Type::BF16),
            _ => Err(dtype),
        };
        entries.insert(
            name,
            Entry {
                dtype,
                shape,
                bytes: start..end,
            },
        );
    }
    contiguous(&entries, data)?;
    Ok(entries)
}

/// Whether the ranges cover all data without overlap.
fn contiguous(entries: &BTreeMap<String, Entry>, data: u64) -> Result<(), String> {
    let mut order: Vec<_> = entries.iter().collect();
    order.sort_by_key(|(_, entry)| (entry.bytes.start, entry.bytes.end));
    let mut at = 0;
    for (name, entry) in order {
        let what = match entry.bytes.start.cmp(&at) {
            std::cmp::Ordering::Less => "overlaps the tensor before it",
            std::cmp::Ordering::Greater => "leaves a hole before it",
            std::cmp::Ordering::Equal => {
                at = entry.bytes.end;
                continue;
            }
        };
        let start = entry.bytes.start;
        return Err(format!(
            "tensor {name:?} at byte {start} {what}, which ends at byte {at}"
        ));
    }
    if at != data {
        let what = if at > data {
            "is cut short"
        } else {
            "has bytes behind the last tensor"
        };
        return Err(format!(
            "the file {what}: its tensors take {at} bytes, it holds {data}"
        ));
    }
    Ok(())
}

/// Which file holds each tensor, from the text of `model.safetensors.index.json`. File names must be plain: no folder,
/// no way out of one.
pub fn index(json: &[u8]) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: Unique<String>,
    }
    let index: Index = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let Unique(map) = index.weight_map;
    let files: BTreeSet<&String> = map.values().collect();
    for file in files {
        let mut parts = Path::new(file).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == file.as_str());
        if !plain || !file.ends_with(".safetensors") || file.contains(['\\', '\0']) {
            return Err(format!(
                "weight_map: expected plain names of .safetensors files, found {file:?}"
            ));
        }
    }
    if map.is_empty() {
        return Err("weight_map names no tensor".into());
    }
    Ok(map)
}

/// What a header says of a tensor.
#[derive(Deserialize)]
struct Slot {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// A JSON object in which no key may come twice.
struct Unique<T>(BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Once<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with each name once")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique<T>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(name) = entries.next_key::<String>()? {
                    let value = entries.next_value()?;
                    if map.contains_key(&name) {
                        return Err(de::Error::custom(format!("the name {name:?} comes twice")));
                    }
                    map.insert(name, value);
                }
                Ok(Unique(map))
            }
        }
        deserializer.deserialize_map(Once(std::marker::PhantomData))
    }
}
