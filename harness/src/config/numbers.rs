//! Tables of numbers in `.npy` and `.safetensors` files, read without trust: sizes are held against the file before
//! anything is asked for.

use crate::checkpoint::files::half;
use crate::checkpoint::header::header;
use farspan_datasets::foreign::{self, excerpt};
use std::path::Path;

/// Most numbers of a table: four million.
const MOST: u64 = 1 << 22;
/// Bytes of the largest file of numbers that is read, whatever else is in it.
const LARGEST: u64 = 1 << 30;

/// Numbers in rows, with the lengths of the axes.
#[derive(Debug, PartialEq)]
pub struct Table {
    /// One or two lengths of axes.
    pub shape: Vec<usize>,
    /// Row-major.
    pub numbers: Vec<f64>,
}

/// What one number is made of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// IEEE floating point of so many bytes.
    Float(usize),
    /// The upper half of a 32-bit one.
    Brain,
    /// Whole numbers of so many bytes.
    Signed(usize),
    Unsigned(usize),
}

/// Types of numbers by their names in `.npy` and in `.safetensors` files.
const KINDS: [(&str, &str, Kind); 12] = [
    ("<f2", "F16", Kind::Float(2)),
    ("<f4", "F32", Kind::Float(4)),
    ("<f8", "F64", Kind::Float(8)),
    ("", "BF16", Kind::Brain),
    ("|i1", "I8", Kind::Signed(1)),
    ("<i2", "I16", Kind::Signed(2)),
    ("<i4", "I32", Kind::Signed(4)),
    ("<i8", "I64", Kind::Signed(8)),
    ("|u1", "U8", Kind::Unsigned(1)),
    ("<u2", "U16", Kind::Unsigned(2)),
    ("<u4", "U32", Kind::Unsigned(4)),
    ("<u8", "U64", Kind::Unsigned(8)),
];

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::Float(size) | Kind::Signed(size) | Kind::Unsigned(size) => size,
            Kind::Brain => 2,
        }
    }

    /// The number that little-endian `bytes` spell.
    fn read(self, bytes: &[u8]) -> f64 {
        let unsigned = bytes
            .iter()
            .rev()
            .fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        match self {
            Kind::Float(2) => f64::from(half(unsigned as u16)),
            Kind::Float(4) => f64::from(f32::from_bits(unsigned as u32)),
            Kind::Float(_) => f64::from_bits(unsigned),
            Kind::Brain => f64::from(f32::from_bits((unsigned as u32) << 16)),
            Kind::Unsigned(_) => unsigned as f64,
            Kind::Signed(size) => {
                let unused = 64 - 8 * size as u32;
                ((unsigned << unused) as i64 >> unused) as f64
            }
        }
    }
}

/// The table of a file; `tensor` names it among several.
pub(super) fn read(file: &str, tensor: Option<&str>) -> Result<Table, String> {
    let path = Path::new(file);
    let wrong = |what: String| format!("{file}: {what}");
    let parse = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") if tensor.is_some() => {
            return Err(wrong("an .npy file holds one tensor without a name".into()));
        }
        Some("npy") => |bytes: &[u8], _: Option<&str>| npy(bytes),
        Some("safetensors") => safetensors,
        _ => {
            return Err(wrong(
                "expected a file ending in .npy or .safetensors".into(),
            ));
        }
    };
    let bytes = foreign::read(path, "numbers", LARGEST).map_err(|e| e.to_string())?;
    parse(&bytes, tensor).map_err(wrong)
}

/// The table of an `.npy` file (NumPy's format, versions 1 to 3).
pub fn npy(bytes: &[u8]) -> Result<Table, String> {
    let no = |what: &str| format!("expected a NumPy file, found {what}");
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or_else(|| no("something that does not begin like one"))?;
    let short = || no("one that is cut short");
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
            (u32::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            (u32::from_le_bytes(*length), rest)
        }
        other => return Err(no(&format!("version {other}"))),
    };
    let (head, data) = rest.split_at_checked(length as usize).ok_or_else(short)?;
    let head = std::str::from_utf8(head).map_err(|_| no("a header that is no text"))?;
    let quoted = excerpt(head.trim());
    let value = |key: &str| {
        let (_, rest) = head.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let lacks = |key: &str| no(&format!("no '{key}' in its header {quoted}"));
    let descr = value("descr").ok_or_else(|| lacks("descr"))?;
    let descr = descr
        .strip_prefix('\'')
        .and_then(|rest| Some(rest.split_once('\'')?.0))
        .ok_or_else(|| no(&format!("numbers that are no plain numbers: {quoted}")))?;
    let known = KINDS
        .iter()
        .find(|(name, ..)| *name == descr && !name.is_empty());
    let Some(&(.., kind)) = known else {
        return Err(format!(
            "expected real numbers of 8 to 64 bits, the lowest byte first, found type {:?}",
            excerpt(descr)
        ));
    };
    let is_turned = match value("fortran_order").ok_or_else(|| lacks("fortran_order"))? {
        rest if rest.starts_with("True") => true,
        rest if rest.starts_with("False") => false,
        _ => return Err(lacks("fortran_order")),
    };
    let shape: Option<Vec<u64>> = value("shape").and_then(|rest| {
        let (inside, _) = rest.strip_prefix('(')?.split_once(')')?;
        let parts = inside
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts.map(|part| part.parse().ok()).collect()
    });
    let shape = sizes(&shape.ok_or_else(|| lacks("shape"))?, kind, data.len())?;
    let numbers = decoded(kind, data);
    let numbers = match shape[..] {
        // Column by column.
        [rows, columns] if is_turned => (0..rows * columns)
            .map(|at| numbers[at % columns * rows + at / columns])
            .collect(),
        _ => numbers,
    };
    Ok(Table { shape, numbers })
}

/// One table of a safetensors file; `tensor` names it among several.
pub fn safetensors(bytes: &[u8], tensor: Option<&str>) -> Result<Table, String> {
    let cut = || {
        format!(
            "expected a safetensors file, found {} bytes that are none",
            bytes.len()
        )
    };
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
    let (json, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let entries = header(json, data.len() as u64).map_err(|what| excerpt(&what))?;
    let names = || {
        let names: Vec<&str> = entries.keys().map(String::as_str).collect();
        excerpt(&names.join(", "))
    };
    let (name, entry) = match tensor {
        Some(name) => entries
            .get_key_value(name)
            .ok_or_else(|| format!("no tensor {name:?}; tensors: [{}]", names()))?,
        None if entries.len() == 1 => entries.iter().next().ok_or_else(cut)?,
        None => return Err(format!("expected `tensor` = one of [{}]", names())),
    };
    let dtype = match &entry.dtype {
        Ok(kind) => kind.stored(),
        Err(other) => other,
    };
    let Some(&(.., kind)) = KINDS.iter().find(|(_, name, _)| *name == dtype) else {
        return Err(format!(
            "tensor {name:?}: expected real numbers of 16 to 64 bits or integers, found {dtype}"
        ));
    };
    // The header's ranges lie within the file.
    let data = &data[entry.bytes.start as usize..entry.bytes.end as usize];
    let shape: Vec<u64> = entry.shape.iter().map(|&size| size as u64).collect();
    let shape = sizes(&shape, kind, data.len()).map_err(|e| format!("tensor {name:?}: {e}"))?;
    Ok(Table {
        shape,
        numbers: decoded(kind, data),
    })
}

/// The lengths of one or two axes, if they are what the data hold.
fn sizes(shape: &[u64], kind: Kind, data: usize) -> Result<Vec<usize>, String> {
    if !(1..=2).contains(&shape.len()) {
        return Err(format!(
            "expected one or two axes, found shape {}",
            excerpt(&format!("{shape:?}"))
        ));
    }
    let numbers = shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size));
    let bytes = numbers.and_then(|n| n.checked_mul(kind.size() as u64));
    if bytes != Some(data as u64) {
        let expected = bytes.map_or("fewer than 2⁶⁴".into(), |n| n.to_string());
        return Err(format!(
            "expected {expected} bytes of numbers for shape {shape:?}, found {data} (cut short, or something else)"
        ));
    }
    if numbers.is_none_or(|n| n > MOST) {
        return Err(format!(
            "expected at most {MOST} numbers, found shape {shape:?}"
        ));
    }
    // Below the length of what is in memory, hence a usize.
    Ok(shape.iter().map(|&size| size as usize).collect())
}

fn decoded(kind: Kind, data: &[u8]) -> Vec<f64> {
    data.chunks_exact(kind.size())
        .map(|bytes| kind.read(bytes))
        .collect()
}
