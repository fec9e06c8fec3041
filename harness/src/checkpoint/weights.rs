//! The tensors of a checkpoint folder: `model.safetensors`, or shards with an index, as f32 in the decoder's layout.

use super::arch::{FAMILIES, Family};
use super::config::Architecture;
use super::header::{Entry, Type, header, index};
use super::layout::{Arrange, Names, Slot, slots};
use crate::{Error, Result};
use farspan_attention::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Header bytes beyond which a file is refused: the format's own limit.
const LARGEST_HEADER: u64 = 100_000_000;
/// Bytes of an index beyond which it is refused.
const LARGEST_INDEX: u64 = 64 << 20;
/// Differences that a message lists.
const LISTED: usize = 20;

/// Tensors of the shared decoder by our names.
pub type Weights = BTreeMap<String, Tensor>;

/// The files of a checkpoint, their headers read and checked.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    files: Vec<(PathBuf, u64)>,
    /// File number and place of each tensor.
    tensors: BTreeMap<String, (usize, Entry)>,
    /// Whether NaN and infinities are read as they are.
    non_finite: bool,
}

impl Files {
    /// Reads the headers of all weight files in `dir`.
    pub fn open(dir: &Path) -> Result<Files> {
        let single = dir.join("model.safetensors");
        let list = dir.join("model.safetensors.index.json");
        let mut files = Files {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            non_finite: false,
        };
        if single.exists() {
            files.add(&single)?;
        } else if list.exists() {
            files.shards(&list)?;
        } else {
            return Err(Error::Data(format!(
                "{}: expected model.safetensors or model.safetensors.index.json, found neither \
                 (pickled .bin weights are not read)",
                dir.display()
            )));
        }
        Ok(files)
    }

    fn shards(&mut self, list: &Path) -> Result<()> {
        let bad = |what: String| Error::Data(format!("{}: {what}", list.display()));
        let size = regular(list)?;
        if size > LARGEST_INDEX {
            return Err(bad(format!("{size} bytes are no index")));
        }
        let text =
            std::fs::read(list).map_err(|e| Error::io(format!("reading {}", list.display()), e))?;
        let map = index(&text).map_err(bad)?;
        let names: BTreeSet<&String> = map.values().collect();
        for name in &names {
            let shard = self.dir.join(name);
            if !shard.exists() {
                return Err(bad(format!("names the shard {name:?}, which is not there")));
            }
            self.add(&shard)?;
        }
        let held = |tensor: &str| {
            self.tensors.get(tensor).map(|(file, _)| {
                self.files[*file]
                    .0
                    .file_name()
                    .map(|f| f.to_string_lossy().into_owned())
            })
        };
        let mut differences = Vec::new();
        for (tensor, file) in &map {
            match held(tensor) {
                None => differences.push(format!("{tensor:?} is not in {file:?}")),
                Some(found) if found.as_ref() != Some(file) => {
                    differences.push(format!("{tensor:?} is in {found:?}, not in {file:?}"));
                }
                Some(_) => {}
            }
        }
        let unlisted = self.tensors.keys().filter(|name| !map.contains_key(*name));
        differences
            .extend(unlisted.map(|name| format!("{name:?} is in a shard but not in the index")));
        refuse(&self.dir, "index and shards disagree", differences)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let bad = |what: String| Error::Data(format!("{}: {what}", path.display()));
        let size = regular(path)?;
        let reading = |e| Error::io(format!("reading {}", path.display()), e);
        let mut file = File::open(path).map_err(reading)?;
        let mut start = vec![0; size.min(256) as usize];
        file.read_exact(&mut start).map_err(reading)?;
        if let Some(what) = something_else(&start) {
            return Err(bad(what));
        }
        let Some(length) = start.first_chunk::<8>() else {
            return Err(bad(format!(
                "expected a safetensors file, found {size} bytes"
            )));
        };
        let length = u64::from_le_bytes(*length);
        if length > size - 8 || length > LARGEST_HEADER {
            return Err(bad(format!(
                "its header claims {length} bytes, the file holds {size} (cut short, or no safetensors file)"
            )));
        }
        let mut json = vec![0; length as usize];
        file.seek(SeekFrom::Start(8)).map_err(reading)?;
        file.read_exact(&mut json).map_err(reading)?;
        let entries = header(&json, size - 8 - length).map_err(bad)?;
        let number = self.files.len();
        self.files.push((path.to_path_buf(), 8 + length));
        for (name, entry) in entries {
            if let Some((other, _)) = self.tensors.get(&name) {
                let other = self.files[*other].0.display().to_string();
                return Err(bad(format!("tensor {name:?} is in {other} as well")));
            }
            self.tensors.insert(name, (number, entry));
        }
        Ok(())
    }

    /// Lets [`read`](Files::read) take NaN and infinities as they are.
    pub fn with_non_finite(mut self, allowed: bool) -> Files {
        self.non_finite = allowed;
        self
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// blake3 of config and weights, hexadecimal.
    pub fn hash(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 checkpoint v1");
        let config = self.dir.join("config.json");
        for path in std::iter::once(&config).chain(self.files.iter().map(|(path, _)| path)) {
            let reading = |e| Error::io(format!("reading {}", path.display()), e);
            hasher
                .update_reader(File::open(path).map_err(reading)?)
                .map_err(reading)?;
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The type of most of the numbers, of those that are read.
    pub fn kind(&self) -> Type {
        let of = |kind: Type| {
            let entries = self.tensors.values().map(|(_, entry)| entry);
            let bytes = entries.filter(|entry| entry.dtype == Ok(kind));
            let bytes: u64 = bytes.map(|e| e.bytes.end - e.bytes.start).sum();
            bytes / kind.size() as u64
        };
        let kinds = [Type::F32, Type::F16, Type::BF16];
        kinds
            .into_iter()
            .max_by_key(|kind| of(*kind))
            .unwrap_or(Type::F32)
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors
            .values()
            .map(|(_, entry)| entry.bytes.end - entry.bytes.start)
            .sum()
    }

    /// The type that a slot is held in: half precision for matrices that are stored so, else single.
    fn kept(&self, slot: &Slot) -> DType {
        let kinds = slot.parts.iter().map(|(name, _)| {
            let (_, entry) = self.tensors.get(name)?;
            entry.dtype.as_ref().ok().copied()
        });
        let kinds: BTreeSet<Option<Type>> = kinds.collect();
        match (slot.shape.len(), kinds.first().copied().flatten()) {
            (2, Some(Type::BF16)) if kinds.len() == 1 => DType::BF16,
            (2, Some(Type::F16)) if kinds.len() == 1 => DType::F16,
            _ => DType::F32,
        }
    }

    /// The numbers of a tensor, row-major. NaN and infinities are refused unless they were allowed.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let Some((number, entry)) = self.tensors.get(name) else {
            return Err(Error::Bug(format!(
                "no tensor {name:?} in {}",
                self.dir.display()
            )));
        };
        let (path, base) = &self.files[*number];
        let bad =
            |what: String| Error::Data(format!("{}: tensor {name:?}: {what}", path.display()));
        let reading = |e| Error::io(format!("reading {}", path.display()), e);
        let kind = entry
            .dtype
            .clone()
            .map_err(|found| bad(format!("expected F32, F16 or BF16, found {found}")))?;
        // The header's ranges lie within the file, whose size bounds this.
        let mut bytes = vec![0; (entry.bytes.end - entry.bytes.start) as usize];
        let mut file = File::open(path).map_err(reading)?;
        file.seek(SeekFrom::Start(base + entry.bytes.start))
            .map_err(reading)?;
        file.read_exact(&mut bytes).map_err(reading)?;
        let numbers = decode(kind, &bytes);
        match numbers.iter().position(|x| !x.is_finite()) {
            Some(at) if !self.non_finite => Err(bad(format!("number {at} is {}", numbers[at]))),
            _ => Ok(numbers),
        }
    }
}

/// The size of a regular file; links are followed, as caches of downloads consist of them.
pub(super) fn regular(path: &Path) -> Result<u64> {
    let about =
        std::fs::metadata(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
    match about.is_file() {
        true => Ok(about.len()),
        false => Err(Error::Data(format!(
            "{}: expected a regular file",
            path.display()
        ))),
    }
}

/// What a file is that is no safetensors file, going by its first bytes.
fn something_else(start: &[u8]) -> Option<String> {
    const POINTER: &[u8] = b"version https://git-lfs";
    if start.starts_with(POINTER) {
        let text = String::from_utf8_lossy(start);
        let size = text
            .lines()
            .find_map(|line| line.strip_prefix("size "))
            .unwrap_or("unknown many");
        return Some(format!(
            "this is a Git LFS pointer, the file itself ({size} bytes) is missing; run `git lfs pull`"
        ));
    }
    // The length of a header may look like either: what a header starts with tells them apart.
    let header = start.get(8) == Some(&b'{');
    let pickle = start.first() == Some(&0x80) && matches!(start.get(1), Some(2..=5));
    if !header && (start.starts_with(b"PK\x03\x04") || pickle) {
        return Some("this is a zip or pickle file, not safetensors".into());
    }
    None
}

fn decode(kind: Type, bytes: &[u8]) -> Vec<f32> {
    match kind {
        Type::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        Type::BF16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[a, b]| f32::from_le_bytes([0, 0, a, b]))
            .collect(),
        Type::F16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| half(u16::from_le_bytes(*b)))
            .collect(),
    }
}

/// IEEE half precision: 1 sign, 5 exponent and 10 fraction bits.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Learned numbers that `architecture` takes from `files`, if these hold exactly its tensors; reads headers only.
pub fn check(files: &Files, architecture: &Architecture) -> Result<u64> {
    let slots = wanted(files, architecture, &names(architecture)?)?;
    let numbers = |slot: &Slot| slot.shape.iter().product::<usize>() as u64;
    Ok(slots.iter().map(numbers).sum())
}

/// All tensors of the decoder, in its layout; matrices stay in the precision that they are stored in. Every difference between checkpoint and architecture is refused together:
/// tensors that lack, that nobody asked for, or that have another shape.
pub fn load(files: &Files, architecture: &Architecture, device: &Device) -> Result<Weights> {
    let names = names(architecture)?;
    let wanted = wanted(files, architecture, &names)?;
    let mut weights = Weights::new();
    for slot in wanted {
        let parts: Vec<Vec<f32>> = slot
            .parts
            .iter()
            .map(|(name, _)| files.read(name))
            .collect::<Result<_>>()?;
        let values = arranged(&slot, parts.concat());
        let kept = files.kept(&slot);
        let tensor = Tensor::from_vec(values, slot.shape, device)?;
        weights.insert(slot.name, tensor.to_dtype(kept)?);
    }
    Ok(weights)
}

pub(super) fn names(architecture: &Architecture) -> Result<Names> {
    let family: Option<&Family> = FAMILIES
        .iter()
        .find(|family| family.name == architecture.family);
    let family =
        family.ok_or_else(|| Error::Bug(format!("no family {:?}", architecture.family)))?;
    Ok((family.names)(architecture))
}

/// The slots of `architecture`, if `files` hold exactly their tensors.
pub(super) fn wanted(
    files: &Files,
    architecture: &Architecture,
    names: &Names,
) -> Result<Vec<Slot>> {
    let embed = format!("{}{}.weight", names.prefix, names.embed);
    let prefixed = files.tensors.contains_key(&embed);
    let slots = slots(architecture, names, prefixed);
    let mut differences = Vec::new();
    let mut asked = BTreeSet::new();
    for (name, shape) in slots.iter().flat_map(|slot| &slot.parts) {
        asked.insert(name.as_str());
        match files.tensors.get(name) {
            None => differences.push(format!("{name:?} of shape {shape:?} is missing")),
            Some((_, entry)) if entry.shape != *shape => {
                differences.push(format!(
                    "{name:?}: expected shape {shape:?}, found {:?}",
                    entry.shape
                ));
            }
            Some((
                _,
                Entry {
                    dtype: Err(found), ..
                },
            )) => {
                differences.push(format!(
                    "{name:?}: expected F32, F16 or BF16, found {found}"
                ));
            }
            Some(_) => {}
        }
    }
    let head = format!("{}.weight", names.head);
    for name in files.names().filter(|name| !asked.contains(name)) {
        let buffer = names.buffers.iter().any(|end| name.ends_with(end));
        if buffer {
            continue;
        }
        if name == head {
            let table = slots[0].parts[0].0.as_str();
            if files.tensors.contains_key(table) && files.read(&head)? == files.read(table)? {
                continue;
            }
            differences.push(format!(
                "{name:?} differs from {table:?}, though the config ties them"
            ));
            continue;
        }
        differences.push(format!("{name:?} is not part of this architecture"));
    }
    refuse(&files.dir, "weights and config.json disagree", differences)?;
    Ok(slots)
}

/// An error with the first differences, if there are any.
fn refuse(dir: &Path, what: &str, differences: Vec<String>) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let rest = differences.len().saturating_sub(LISTED);
    let more = if rest > 0 {
        format!("\n  and {rest} more")
    } else {
        String::new()
    };
    let listed: Vec<_> = differences
        .iter()
        .take(LISTED)
        .map(|line| format!("\n  {line}"))
        .collect();
    Err(Error::Data(format!(
        "{}: {what} in {} places:{}{more}",
        dir.display(),
        differences.len(),
        listed.concat()
    )))
}

/// The numbers of a slot in our order.
fn arranged(slot: &Slot, values: Vec<f32>) -> Vec<f32> {
    match slot.arrange {
        Arrange::AsIs => values,
        Arrange::PlusOne => values.into_iter().map(|x| 1.0 + x).collect(),
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
            head_dim,
        } => {
            // A head's rows with all their columns; a bias has one.
            let head = head_dim * values.len() / (groups * (queries + 2) * head_dim);
            let part = |group: usize, kind: usize, heads: usize| {
                let start = (group * (queries + 2) + kind) * head;
                &values[start..start + heads * head]
            };
            let all = |kind: usize, heads: usize| {
                (0..groups).flat_map(move |group| part(group, kind, heads))
            };
            let ours = all(0, queries)
                .chain(all(queries, 1))
                .chain(all(queries + 1, 1));
            ours.copied().collect()
        }
    }
}
