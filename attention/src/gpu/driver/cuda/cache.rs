//! Compiled kernels as files: one for each text, architecture and version of the compiler, behind the hash of its bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Where they are kept; without a call, nowhere. The first call counts.
pub(in crate::gpu::driver) fn keep_kernels(folder: PathBuf) {
    FOLDER.get_or_init(|| folder);
}

/// The file of a kernel, by all that its bytes depend on. `None` where none are kept.
pub(super) fn file(parts: &[&str]) -> Option<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let name = format!("{}.cubin", hasher.finalize().to_hex());
    FOLDER.get().map(|folder| folder.join(name))
}

/// The kernel in a file; `None` where there is none, or where its bytes are not those that were written.
pub(super) fn read(file: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(file).ok()?;
    let (hash, kernel) = bytes.split_first_chunk::<{ blake3::OUT_LEN }>()?;
    let whole = blake3::hash(kernel) == blake3::Hash::from_bytes(*hash);
    whole.then(|| kernel.to_vec())
}

/// Writes a kernel beside its place and renames it, so that other processes see all of it or nothing. A folder that cannot
/// be written costs later processes their time to compile, and nothing else.
pub(super) fn write(file: &Path, kernel: &[u8]) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = file.parent() else {
        return;
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!("{}-{number}.part", process::id()));
    let mut bytes = blake3::hash(kernel).as_bytes().to_vec();
    bytes.extend_from_slice(kernel);
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, bytes))
        .and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // Perhaps a part of it was written.
        let _ = fs::remove_file(&beside);
    }
}
