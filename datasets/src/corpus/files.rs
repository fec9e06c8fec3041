//! Plain text files: one document each. Also: finding and opening files for the other formats.

use super::{Flow, Gather};
use crate::error::DataError;
use crate::foreign;
use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// A compressed file may grow this much before it is suspect ...
const FREE_GROWTH: u64 = 64 << 20;
/// ... and must then not be this many times its compressed size. Text compresses 3 to 20 times.
const MAX_RATIO: u64 = 1000;
/// Largest zstd window (log2, bytes): what `zstd` itself accepts without being asked.
const WINDOW_LOG_MAX: u32 = 27;

/// Files that paths and globs name: patterns in the order given, the matches of each sorted, none twice.
pub(super) fn find(
    key: &'static str,
    patterns: &[String],
    base: &Path,
) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    let mut seen = HashSet::new();
    for pattern in patterns {
        for path in matches(key, pattern, base)? {
            if seen.insert(path.clone()) {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

fn matches(key: &'static str, pattern: &str, base: &Path) -> Result<Vec<PathBuf>, DataError> {
    let literal = base.join(pattern);
    if literal.is_dir() {
        return Err(DataError::File {
            path: literal,
            expected: "a file".into(),
            found: format!(
                "a folder; write \"{}/**/*.txt\"",
                pattern.trim_end_matches('/')
            ),
        });
    }
    // A file whose name has glob characters in it is meant literally. What it is, its reader will see.
    if literal.exists() {
        return Ok(vec![literal]);
    }
    let escaped = glob::Pattern::escape(&base.to_string_lossy());
    let full = if Path::new(pattern).is_absolute() {
        pattern.to_string()
    } else {
        Path::new(&escaped)
            .join(pattern)
            .to_string_lossy()
            .into_owned()
    };
    let entries = glob::glob(&full).map_err(|e| DataError::Setting {
        key,
        expected: "a path or a glob".into(),
        found: format!("\"{pattern}\": {e}"),
    })?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| DataError::Read {
            path: e.path().into(),
            source: e.into(),
        })?;
        if path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(DataError::NoFile {
            key,
            pattern: pattern.into(),
            base: base.into(),
        });
    }
    paths.sort();
    Ok(paths)
}

/// Reads text files, one document each.
pub(super) fn read(paths: &[PathBuf], gather: &mut Gather) -> Result<(), DataError> {
    for path in paths {
        match read_text(path, gather.room(), gather.cut) {
            Ok(Some(text)) => {
                let name = path.display().to_string();
                if gather.push(path, name, text)? == Flow::Full {
                    break;
                }
            }
            Ok(None) => return Err(gather.too_large(path)),
            Err(error) => gather.bad(error)?,
        }
    }
    Ok(())
}

/// Text of a file of at most `limit` bytes. A longer one is cut (`cut`) or gives none.
fn read_text(path: &Path, limit: u64, cut: bool) -> Result<Option<String>, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    // Byte-order mark and CRs go later: allow for them by a few bytes, and leave the exact cap to the caller.
    let room = limit.saturating_add(4);
    let mut bytes = Vec::new();
    open(path)?
        .take(room + 1)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    let is_longer = bytes.len() as u64 > room;
    if is_longer && !cut {
        return Ok(None);
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(DataError::File {
            path: path.into(),
            expected: "text".into(),
            found: "a Git LFS pointer; run `git lfs pull`".into(),
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let utf8 = error.utf8_error();
            let offset = utf8.valid_up_to();
            // A character that the cap has cut in two is no fault of the file.
            if is_longer && utf8.error_len().is_none() {
                let mut bytes = error.into_bytes();
                bytes.truncate(offset);
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
            Err(DataError::Utf8 {
                path: path.into(),
                offset: offset as u64,
            })
        }
    }
}

/// Opens a regular file; one whose name ends in `.zst` is decompressed.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let (file, size) = foreign::open(path)?;
    if path.extension().is_none_or(|e| e != "zst") {
        return Ok(Box::new(file));
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(BufReader::new(file)).map_err(read_error)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(read_error)?;
    let limit = FREE_GROWTH.max(size.saturating_mul(MAX_RATIO));
    Ok(Box::new(Bounded {
        inner: decoder,
        left: limit,
        limit,
    }))
}

/// A decompressor that stops when the output is out of all proportion to the input.
struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            let text = format!(
                "decompresses to more than {} bytes, over {MAX_RATIO} times its size",
                self.limit
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        Ok(n)
    }
}
