//! The weight files of a checkpoint folder: `model.safetensors`, or shards with an index.

use super::config::Reading;
use super::header::{Entry, Type, header, index};
use crate::{Error, Result};
use farspan_datasets::foreign;
pub(super) use farspan_datasets::foreign::excerpt;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Header bytes beyond which a file is refused: the format's own limit.
const LARGEST_HEADER: u64 = 100_000_000;
/// Bytes of an index beyond which it is refused.
const LARGEST_INDEX: u64 = 64 << 20;
/// Differences that a message lists.
const LISTED: usize = 20;

/// The files of a checkpoint, their headers read and checked.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    files: Vec<(PathBuf, u64)>,
    /// File number and place of each tensor.
    tensors: BTreeMap<String, (usize, Entry)>,
    /// Whether NaN and infinities are read as they are.
    non_finite: bool,
    /// How the config beside them is read.
    reading: Reading,
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
            reading: Reading::default(),
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
        let bad = |what: String| Error::Data(format!("{}: {}", list.display(), excerpt(&what)));
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
        let bad = |what: String| Error::Data(format!("{}: {}", path.display(), excerpt(&what)));
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

    /// Lets the config beside them be read as `reading` says.
    pub fn with_reading(mut self, reading: Reading) -> Files {
        self.reading = reading;
        self
    }

    /// How the config beside them is read.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// What the headers say of a tensor.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.tensors.get(name).map(|(_, entry)| entry)
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

    /// The numbers of a tensor, row-major. NaN and infinities are refused unless they were allowed.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        self.read_part(name, 0..usize::MAX)
    }

    /// Those of its numbers, in their order, that lie in `part`.
    pub(super) fn read_part(&self, name: &str, part: Range<usize>) -> Result<Vec<f32>> {
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
        let all = (entry.bytes.end - entry.bytes.start) as usize / kind.size();
        let part = part.start.min(all)..part.end.min(all);
        let mut bytes = vec![0; part.len() * kind.size()];
        let mut file = File::open(path).map_err(reading)?;
        let start = base + entry.bytes.start + (part.start * kind.size()) as u64;
        file.seek(SeekFrom::Start(start)).map_err(reading)?;
        file.read_exact(&mut bytes).map_err(reading)?;
        let numbers = decode(kind, &bytes);
        match numbers.iter().position(|x| !x.is_finite()) {
            Some(at) if !self.non_finite => Err(bad(format!(
                "number {} is {}",
                part.start + at,
                numbers[at]
            ))),
            _ => Ok(numbers),
        }
    }
}

/// The size of a regular file; links are followed, as caches of downloads consist of them.
pub(super) fn regular(path: &Path) -> Result<u64> {
    Ok(foreign::open(path)?.1)
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
pub(crate) fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// An error with the first differences, if there are any.
pub(super) fn refuse(dir: &Path, what: &str, differences: Vec<String>) -> Result<()> {
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
        .map(|line| format!("\n  {}", excerpt(line)))
        .collect();
    Err(Error::Data(format!(
        "{}: {what} in {} places:{}{more}",
        dir.display(),
        differences.len(),
        listed.concat()
    )))
}
