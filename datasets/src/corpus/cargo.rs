//! The `cargo` corpus: the package archives that a build of this project has left in cargo's cache.
//!
//! Which packages: the fixed list below. Which version: the one in the project's `Cargo.lock`.

use super::Gather;
use super::archives::{Package, Shelf};
use crate::error::DataError;
use serde::Deserialize;

/// Packages that a plain build needs on every platform, with one version each in the lock.
const PACKAGES: [&str; 34] = [
    "aho-corasick",
    "anyhow",
    "blake3",
    "bytes",
    "candle-core",
    "candle-nn",
    "cc",
    "clap_builder",
    "fancy-regex",
    "flate2",
    "glob",
    "indexmap",
    "itertools",
    "jiff",
    "memchr",
    "ndarray",
    "num-bigint",
    "plotters",
    "rayon",
    "regex",
    "regex-automata",
    "regex-syntax",
    "serde",
    "serde_core",
    "serde_json",
    "smallvec",
    "tar",
    "tempfile",
    "tokenizers",
    "toml",
    "toml_parser",
    "tracing-core",
    "tracing-subscriber",
    "winnow",
];

/// The lock of the build that this code is part of.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Reads the whole corpus. Returns its name for the description.
pub(super) fn read(gather: &mut Gather) -> Result<String, DataError> {
    Shelf::of_cargo("cargo").read(&locked()?, gather)?;
    Ok(format!("cargo corpus ({} locked packages)", PACKAGES.len()))
}

/// The project's lock, as far as a corpus reads it.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

fn lock() -> Result<Lock, DataError> {
    toml::from_str(LOCK).map_err(|e| broken(e.to_string()))
}

fn broken(found: String) -> DataError {
    DataError::File {
        path: "Cargo.lock".into(),
        expected: "packages with the registry that they come from and a checksum".into(),
        found,
    }
}

/// Where the project's packages come from, as its lock says it.
pub(super) fn registry() -> Result<String, DataError> {
    let sources = lock()?.package.into_iter().find_map(|p| p.source);
    sources.ok_or_else(|| broken("no package of a registry".into()))
}

/// The listed packages as the lock has them, in the order of the list.
fn locked() -> Result<Vec<Package>, DataError> {
    let lock = lock()?;
    PACKAGES
        .iter()
        .map(|name| {
            // Cargo sorts a lock by name and version: of several versions the newest is read.
            let found = lock.package.iter().rfind(|p| p.name == *name);
            let found = found.ok_or_else(|| broken(format!("no {name}")))?;
            let checksum = found.checksum.clone();
            Ok(Package {
                name: found.name.clone(),
                version: found.version.clone(),
                checksum: checksum.ok_or_else(|| broken(format!("{name} without a checksum")))?,
                group: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_locked_once_with_a_checksum() {
        let packages = locked().unwrap();
        assert_eq!(PACKAGES.len(), packages.len());
        assert!(
            PACKAGES.is_sorted(),
            "the list is in alphabetic order, without doubles"
        );
        for package in packages {
            assert_eq!(64, package.checksum.len(), "{}", package.name);
        }
    }
}
