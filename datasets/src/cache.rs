//! Files that can be made again: written whole or not at all, and never believed without their checksum.

use crate::error::DataError;
use crate::foreign;
use std::io::Write;
use std::path::Path;

const HASH: usize = blake3::OUT_LEN;

/// Content of a cache file. None if there is no such file, or if it is not what was once stored there.
pub(crate) fn load(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = foreign::read(&folder.join(name), "a cache", u64::MAX).ok()?;
    let content = bytes.len().checked_sub(HASH)?;
    let is_whole = blake3::hash(&bytes[..content]).as_bytes() == &bytes[content..];
    bytes.truncate(content);
    is_whole.then_some(bytes)
}

/// Stores content with its checksum behind it. Another process may store the same at the same time.
pub(crate) fn store(folder: &Path, name: &str, content: &[u8]) -> Result<(), DataError> {
    let path = folder.join(name);
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.write_all(blake3::hash(content).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|source: std::io::Error| DataError::Cache {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_damaged_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("cache");
        assert_eq!(None, load(&path, "a"));
        for content in [&b"some content"[..], b""] {
            store(&path, "a", content).unwrap();
            assert_eq!(Some(content.to_vec()), load(&path, "a"));
            let whole = std::fs::read(path.join("a")).unwrap();
            for (keep, flip) in [(whole.len() - 1, 0), (whole.len(), 1), (5, 0), (0, 0)] {
                let mut damaged = whole[..keep].to_vec();
                if flip == 1 {
                    damaged[0] ^= 1;
                }
                std::fs::write(path.join("a"), damaged).unwrap();
                assert_eq!(None, load(&path, "a"));
            }
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = store(&file, "a", b"").unwrap_err().to_string();
        assert!(error.contains("cannot be written"), "{error}");
    }
}
