//! The samples of a cell: one JSON line each, compressed, sealed by a last line that names the cell.

use super::{RunDir, StoreError, failed, line_is_whole, malformed, read, seal_line, to_value};
use crate::record::FIRST_SEALED;
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

impl RunDir {
    /// Writes a cell's samples, one JSON line each, compressed; the last line has their hash and the cell.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_samples<T: Serialize>(
        &self,
        id: &str,
        samples: impl IntoIterator<Item = T>,
    ) -> Result<(), StoreError> {
        let path = self.make_cell(id)?.join("samples.jsonl.zst");
        let compressing = || failed("compressing", &path);
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).map_err(compressing())?;
        let mut hasher = blake3::Hasher::new();
        for sample in samples {
            let mut line = to_value(&sample)?.to_string();
            line.push('\n');
            hasher.update(line.as_bytes());
            encoder.write_all(line.as_bytes()).map_err(compressing())?;
        }
        let last = seal_line(hasher.finalize().to_hex().as_str(), &of_cell(id));
        writeln!(encoder, "{last}").map_err(compressing())?;
        let bytes = encoder.finish().map_err(compressing())?;
        self.write(&path, &bytes)
    }

    /// A cell's samples; none if they were not written.
    ///
    /// # Errors
    /// A file that is not zstd, is not what was written, or is of another cell; a line that is not JSON, with its number.
    pub fn samples(&self, id: &str) -> Result<Vec<Value>, StoreError> {
        let sealed = self.plan()?.schema_version >= FIRST_SEALED;
        Ok(self.read_samples(id, sealed)?.unwrap_or_default())
    }

    /// Whether a cell's samples are what was written; `None` if there are none.
    ///
    /// # Errors
    /// As [`samples`](RunDir::samples).
    pub fn check_samples(&self, id: &str) -> Result<Option<()>, StoreError> {
        Ok(self.read_samples(id, true)?.map(|_| ()))
    }

    fn read_samples(&self, id: &str, sealed: bool) -> Result<Option<Vec<Value>>, StoreError> {
        let path = self.cell_dir(id).join("samples.jsonl.zst");
        let Some(bytes) = read::bytes(&path)? else {
            return Ok(None);
        };
        let bad = |what: String| malformed(&path)(what);
        let text = zstd::decode_all(bytes.as_slice()).map_err(|e| bad(e.to_string()))?;
        let mut text = String::from_utf8(text).map_err(|e| bad(e.to_string()))?;
        if sealed {
            let before_last = text
                .trim_end_matches('\n')
                .rfind('\n')
                .map_or(0, |end| end + 1);
            let last = text.split_off(before_last);
            let hash = blake3::hash(text.as_bytes()).to_hex();
            if !line_is_whole(hash.as_str(), last.trim_end_matches('\n')) {
                return Err(bad(read::CHANGED.into()));
            }
            if last.trim_end_matches('\n') != seal_line(hash.as_str(), &of_cell(id)) {
                return Err(bad(format!(
                    "expected the samples of cell {id}, found those of another"
                )));
            }
        }
        let events = read::lines(&path, &text)?;
        match events.torn {
            Some(_) => Err(bad("its last line is cut off".into())),
            None => Ok(Some(events.lines)),
        }
    }
}

/// The last line of samples, before its hash.
fn of_cell(id: &str) -> String {
    serde_json::json!({ "cell": id }).to_string()
}
