//! The tensors of a checkpoint in the decoder's layout.

use super::arch::{FAMILIES, Family};
use super::files::{Files, refuse};
use super::header::{Entry, Type};
use super::layout::{Arrange, Names, Slot, slots};
use crate::model::{Architecture, Weights};
use crate::{Error, Result};
use farspan_attention::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Learned numbers that `architecture` takes from `files`, if these hold exactly its tensors; reads headers only.
pub fn check(files: &Files, architecture: &Architecture) -> Result<u64> {
    let held = held(files, architecture)?;
    let numbers = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
    Ok(held.values().map(numbers).sum())
}

/// Shapes of the decoder's weights by name, if `files` hold exactly those of `architecture`; reads headers only.
pub fn held(files: &Files, architecture: &Architecture) -> Result<BTreeMap<String, Vec<usize>>> {
    let slots = wanted(files, architecture, &names(architecture)?)?;
    Ok(slots
        .into_iter()
        .map(|slot| (slot.name, slot.shape))
        .collect())
}

/// All tensors of the decoder, in its layout; matrices stay in the precision that they are stored in. Every difference
/// between checkpoint and architecture is refused together: tensors that lack, that nobody asked for, or that have
/// another shape.
pub fn load(files: &Files, architecture: &Architecture, device: &Device) -> Result<Weights> {
    let names = names(architecture)?;
    let wanted = wanted(files, architecture, &names)?;
    let mut weights = Weights::new();
    for slot in wanted {
        let read = |(name, _): &(String, Vec<usize>)| match slot.arrange {
            Arrange::Stacked(stacked) => files.read_part(name, stacked.range(&slot.shape)),
            _ => files.read(name),
        };
        let parts: Vec<Vec<f32>> = slot.parts.iter().map(read).collect::<Result<_>>()?;
        let values = arranged(&slot, parts.concat());
        let kept = kept(files, &slot);
        let tensor = Tensor::from_vec(values, slot.shape, device)?;
        weights.insert(slot.name, tensor.to_dtype(kept)?);
    }
    Ok(weights)
}

/// The type that a slot is held in: half precision for matrices that are stored so, else single.
fn kept(files: &Files, slot: &Slot) -> DType {
    let kinds = slot.parts.iter().map(|(name, _)| {
        let entry = files.entry(name)?;
        entry.dtype.as_ref().ok().copied()
    });
    let kinds: BTreeSet<Option<Type>> = kinds.collect();
    match (slot.shape.len(), kinds.first().copied().flatten()) {
        (2, Some(Type::BF16)) if kinds.len() == 1 => DType::BF16,
        (2, Some(Type::F16)) if kinds.len() == 1 => DType::F16,
        _ => DType::F32,
    }
}

pub(super) fn names(architecture: &Architecture) -> Result<Names> {
    Ok((family(architecture)?.names)(architecture))
}

/// The family of `architecture`.
pub(super) fn family(architecture: &Architecture) -> Result<&'static Family> {
    let name = &architecture.family;
    let family = FAMILIES.iter().find(|family| family.name == name);
    family.ok_or_else(|| Error::Bug(format!("no family {name:?}")))
}

/// The slots of `architecture`, if `files` hold exactly their tensors. Tied weights may be stored under either name.
pub(super) fn wanted(
    files: &Files,
    architecture: &Architecture,
    names: &Names,
) -> Result<Vec<Slot>> {
    let embed = format!("{}.weight", names.embed);
    let head = format!("{}.weight", names.head);
    let bare = format!("{}{embed}", names.bare_prefix);
    let prefixed = match files.entry(&format!("{}{embed}", names.prefix)) {
        Some(_) => true,
        // Without a table of embeddings the other names tell.
        None => files.entry(&bare).is_none() && files.names().any(|n| n.starts_with(names.prefix)),
    };
    let mut slots = slots(architecture, names, prefixed);
    if names.own {
        let scheme = files.names().filter(|name| name.contains("scheme."));
        let entries = scheme.filter_map(|name| Some((name, files.entry(name)?)));
        slots.extend(entries.map(|(name, e)| Slot::own(name.to_string(), e.shape.clone())));
    }
    let table = &mut slots[0].parts[0].0;
    if architecture.tied && files.entry(table).is_none() && files.entry(&head).is_some() {
        table.clone_from(&head);
    }
    let mut differences = Vec::new();
    let mut asked = BTreeSet::new();
    for (name, shape) in slots.iter().flat_map(|slot| &slot.parts) {
        asked.insert(name.as_str());
        match files.entry(name) {
            None => differences.push(format!("{name:?} of shape {shape:?} is missing")),
            Some(entry) if entry.shape != *shape => {
                differences.push(format!(
                    "{name:?}: expected shape {shape:?}, found {:?}",
                    entry.shape
                ));
            }
            Some(Entry {
                dtype: Err(found), ..
            }) => {
                differences.push(format!(
                    "{name:?}: expected F32, F16 or BF16, found {found}"
                ));
            }
            Some(_) => {}
        }
    }
    for name in files.names().filter(|name| !asked.contains(name)) {
        let buffer = names.buffers.iter().any(|end| name.ends_with(end));
        if buffer || names.more_layers && behind(name, architecture, names) {
            continue;
        }
        if name == head {
            let table = slots[0].parts[0].0.as_str();
            if files.entry(table).is_some() && files.read(&head)? == files.read(table)? {
                continue;
            }
            differences.push(format!(
                "{name:?} differs from {table:?}, though the config ties them"
            ));
            continue;
        }
        differences.push(format!("{name:?} is not part of this architecture"));
    }
    refuse(files.dir(), "weights and config.json disagree", differences)?;
    Ok(slots)
}

/// Whether a tensor belongs to a layer behind the last.
fn behind(name: &str, architecture: &Architecture, names: &Names) -> bool {
    let inside = name.strip_prefix(names.prefix).unwrap_or(name);
    let inside = inside
        .strip_prefix(names.layers)
        .and_then(|rest| rest.strip_prefix('.'));
    let number = inside.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    number.is_some_and(|number| number >= architecture.geometry.layers)
}

/// The numbers of a slot in our order.
fn arranged(slot: &Slot, values: Vec<f32>) -> Vec<f32> {
    match slot.arrange {
        Arrange::AsIs => values,
        Arrange::PlusOne => values.into_iter().map(|x| 1.0 + x).collect(),
        Arrange::Stacked(stacked) => stacked.ours(&slot.shape, &values),
        Arrange::Transposed => {
            let (out, inner) = (slot.shape[0], slot.shape[1]);
            (0..out)
                .flat_map(|row| (0..inner).map(move |column| (row, column)))
                .map(|(row, column)| values[column * out + row])
                .collect()
        }
        Arrange::Grouped {
            groups,
            queries,
            keys,
            values_first,
        } => {
            // A head's rows with all their columns; a bias has one.
            let heads = queries + 2 * keys;
            let head = values.len() / (groups * heads);
            let part = |group: usize, first: usize, n: usize| {
                let start = (group * heads + first) * head;
                &values[start..start + n * head]
            };
            let all =
                |first: usize, n: usize| (0..groups).flat_map(move |group| part(group, first, n));
            let (key, value) = match values_first {
                true => (queries + keys, queries),
                false => (queries, queries + keys),
            };
            let ours = all(0, queries)
                .chain(all(key, keys))
                .chain(all(value, keys));
            ours.copied().collect()
        }
        Arrange::Behind(rows) => values[rows * slot.shape[1]..].to_vec(),
    }
}
