//! The `standard-1` corpus: packages whose versions and checksums stand in a list of its own, so that an updated dependency
//! of this project changes nothing. Archives that cargo's cache lacks are fetched by cargo itself.

use super::archives::{Package, Shelf};
use super::{Gather, cargo};
use crate::error::DataError;
use serde::Deserialize;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Name in configs.
const NAME: &str = "standard-1";

/// What is read. Part of the protocol of the standard study, and never edited.
const LIST: &str = include_str!("../../corpora/standard-1.toml");

/// Reads the whole corpus. Returns its name for the description.
pub(super) fn read(gather: &mut Gather) -> Result<String, DataError> {
    let packages = listed()?;
    let shelf = Shelf::of_cargo(NAME);
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|package| shelf.archive(package).is_err())
        .collect();
    let shelf = match missing.as_slice() {
        [] => shelf,
        missing => {
            fetch(missing)?;
            Shelf::of_cargo(NAME)
        }
    };
    shelf.read(&packages, gather)?;
    Ok(format!("{NAME} corpus ({} packages)", packages.len()))
}

fn listed() -> Result<Vec<Package>, DataError> {
    #[derive(Deserialize)]
    struct List {
        package: Vec<Package>,
    }
    let list: List = toml::from_str(LIST).map_err(|e| DataError::File {
        path: "datasets/corpora/standard-1.toml".into(),
        expected: "packages with name, version and checksum".into(),
        found: e.to_string(),
    })?;
    Ok(list.package)
}

/// Lets cargo put archives into its cache, as dependencies of a project that has nothing else.
fn fetch(packages: &[&Package]) -> Result<(), DataError> {
    let failed = |found: String| DataError::Fetch {
        corpus: NAME,
        packages: packages.len(),
        found: found.into(),
    };
    let project = tempfile::tempdir().map_err(|e| failed(format!("no temporary folder: {e}")))?;
    let write = |name: &str, text: &str| {
        let path = project.path().join(name);
        std::fs::write(&path, text).map_err(|e| failed(format!("{}: {e}", path.display())))
    };
    write("Cargo.toml", &manifest(packages))?;
    write("Cargo.lock", &lock(packages, &cargo::registry()?))?;
    write("lib.rs", "")?;
    // Inside of cargo the variable names the one that runs.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(&cargo)
        .args(["fetch", "--quiet"])
        .current_dir(project.path())
        .output()
        .map_err(|e| {
            failed(format!(
                "{} cannot be run: {e}",
                Path::new(&cargo).display()
            ))
        })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(failed(words.trim().replace('\n', " ")))
        }
    }
}

fn manifest(packages: &[&Package]) -> String {
    let mut text = String::from(
        "[package]\nname = \"standard-1\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[lib]\npath = \"lib.rs\"\n\n[dependencies]\n",
    );
    for Package { name, version, .. } in packages {
        // What stands behind a plus tells nothing apart and is no part of a requirement.
        let version = version.split('+').next().unwrap_or(version);
        let _ = writeln!(
            text,
            "{name} = {{ version = \"={version}\", default-features = false }}"
        );
    }
    text
}

/// A lock with the packages themselves, so that versions that were withdrawn are still had, and with their checksums, which
/// cargo holds the archives against; what they depend on cargo adds.
fn lock(packages: &[&Package], registry: &str) -> String {
    let mut text = String::from("version = 4\n");
    for package in packages {
        let _ = write!(
            text,
            "\n[[package]]\nname = \"{}\"\nversion = \"{}\"\nsource = \"{registry}\"\nchecksum = \"{}\"\n",
            package.name, package.version, package.checksum
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::archives::tests::{gather, pack};
    use super::*;
    use sha2::{Digest, Sha256};

    /// The protocol names the text by its tokens; this is the list that they come from.
    #[test]
    fn the_list_is_the_one_of_the_protocol() {
        let digest = Sha256::digest(LIST.as_bytes());
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        let sha256 = "a87b8f632c95db612c53c73d2b35d89652cbb87307c419a60f54c0d328ab628c";
        assert_eq!(sha256, hex, "datasets/corpora/standard-1.toml");
        let packages = listed().unwrap();
        assert!(packages.is_sorted_by(|a, b| a.name < b.name));
        assert!(packages.iter().all(|p| p.checksum.len() == 64));
    }

    /// A newer version beside a listed one, and another lock of the project, are not read.
    #[test]
    fn an_updated_dependency_changes_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let registry = cache.path().join("registry");
        std::fs::create_dir(&registry).unwrap();
        let text = |words: &str| words.repeat(2000);
        let package = |name: &str, group: Option<&str>| {
            let file = format!("{name}-1.0.0/src/lib.rs");
            let old = text(&format!("fn {name}() {{}}\n"));
            Package {
                name: name.into(),
                version: "1.0.0".into(),
                checksum: pack(
                    &registry.join(format!("{name}-1.0.0.crate")),
                    &[(&file, old.as_bytes())],
                ),
                group: group.map(Into::into),
            }
        };
        let packages = [
            package("alpha", Some("hands")),
            package("beta", None),
            package("gamma", Some("hands")),
        ];
        let read = || {
            let mut gather = gather();
            let shelf = Shelf::at(NAME, cache.path().into());
            shelf.read(&packages, &mut gather).unwrap();
            gather.documents
        };
        let before = read();
        let groups: Vec<_> = before.iter().map(|d| d.group).collect();
        assert_eq!([Some(0), Some(1), Some(0)], groups[..]);
        let newer = text("fn newer() {}\n");
        pack(
            &registry.join("alpha-1.0.1.crate"),
            &[("alpha-1.0.1/src/lib.rs", newer.as_bytes())],
        );
        assert_eq!(before, read());
    }

    #[test]
    fn cargo_is_asked_for_the_very_versions() {
        let packages = listed().unwrap();
        let all: Vec<&Package> = packages.iter().collect();
        let (manifest, lock) = (manifest(&all), lock(&all, &cargo::registry().unwrap()));
        assert!(manifest.contains("anyhow = { version = \"=1.0.104\", default-features = false }"));
        assert!(manifest.contains("toml = { version = \"=1.2.1\""));
        let lock: toml::Table = toml::from_str(&lock).unwrap();
        assert_eq!(
            Some(packages.len()),
            lock["package"].as_array().map(Vec::len)
        );
        toml::from_str::<toml::Table>(&manifest).unwrap();
    }
}
