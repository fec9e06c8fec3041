//! The `cargo` corpus: hand-written Rust and its documentation, from the package archives that a build of this project
//! has left in cargo's cache.
//!
//! Which packages: the fixed list below. Which version: the one in the project's `Cargo.lock`, whose checksum each
//! archive is held against, so that two machines read the same bytes. Which files: `.rs` and `.md` in UTF-8 that are
//! not tables (see [`is_table`]), in the order of the list and then of their paths. Each package is a group: the files of
//! one author about one matter are trained on together or not at all.

use super::{Flow, Gather};
use crate::error::DataError;
use crate::foreign;
use crate::parallel;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// Bytes of an archive beyond which it is taken for something else.
const LARGEST: u64 = 64 << 20;

/// The lock of the build that this code is part of.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// One package of the lock.
#[derive(Clone, Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Reads the whole corpus. Returns its name for the description.
pub(super) fn read(gather: &mut Gather) -> Result<String, DataError> {
    read_from(&cache_folder(), &locked()?, gather)?;
    Ok(format!("cargo corpus ({} locked packages)", PACKAGES.len()))
}

/// Cargo's folder of downloaded archives; below it, one folder for each registry. The environment is read here because
/// only cargo's own rule finds the archives; it decides where they are looked for and never what is in them.
fn cache_folder() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from);
    home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_else(|| PathBuf::from(".cargo"))
        .join("registry")
        .join("cache")
}

/// The listed packages as the lock has them, in the order of the list.
fn locked() -> Result<Vec<Locked>, DataError> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    let broken = |found: String| DataError::File {
        path: "Cargo.lock".into(),
        expected: "each package of the cargo corpus, with a checksum".into(),
        found,
    };
    let lock: Lock = toml::from_str(LOCK).map_err(|e| broken(e.to_string()))?;
    PACKAGES
        .iter()
        .map(|name| {
            // Cargo sorts a lock by name and version: of several versions the newest is read.
            let found = lock.package.iter().rfind(|p| p.name == *name);
            match found {
                Some(package) if package.checksum.is_some() => Ok(package.clone()),
                Some(_) => Err(broken(format!("{name} without a checksum"))),
                None => Err(broken(format!("no {name}"))),
            }
        })
        .collect()
}

/// A file of an archive: its path in it, and its bytes.
type Entry = (String, Vec<u8>);

/// Reads packages below a cache folder. Archives are unpacked in parallel and gathered in order.
fn read_from(cache: &Path, packages: &[Locked], gather: &mut Gather) -> Result<(), DataError> {
    let registries = registries(cache);
    let unpacked = parallel::map(packages, |package| unpack(cache, &registries, package));
    for (package, entries) in packages.iter().zip(unpacked) {
        gather.begin_group(&package.name);
        for (name, bytes) in entries? {
            // Files that are no text are not a fault of the user's: they are fixtures of the packages.
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            if text.len() >= gather.min_bytes && is_table(&text) {
                gather.tables += 1;
                continue;
            }
            if gather.push(Path::new(&name), name.clone(), text)? == Flow::Full {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn registries(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

/// Text files of one archive, sorted by path.
fn unpack(cache: &Path, registries: &[PathBuf], package: &Locked) -> Result<Vec<Entry>, DataError> {
    let (path, bytes) = archive(cache, registries, package)?;
    let read_error = |source| DataError::Read {
        path: path.clone(),
        source,
    };
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let mut files = Vec::new();
    for entry in tar.entries().map_err(read_error)? {
        let mut entry = entry.map_err(read_error)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_text = name.ends_with(".rs") || name.ends_with(".md");
        if !is_text || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(read_error)?;
        files.push((name, content));
    }
    files.sort();
    Ok(files)
}

/// The archive of a package with the locked checksum, from whichever registry's folder has it.
fn archive(
    cache: &Path,
    registries: &[PathBuf],
    package: &Locked,
) -> Result<(PathBuf, Vec<u8>), DataError> {
    let Locked {
        name,
        version,
        checksum,
    } = package;
    let wanted = checksum.as_deref().unwrap_or_default();
    let mut found = "no such file".to_string();
    for folder in registries {
        let path = folder.join(format!("{name}-{version}.crate"));
        if !path.exists() {
            continue;
        }
        let bytes = foreign::read(&path, "a package archive", LARGEST)?;
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        if sha256 == wanted {
            return Ok((path, bytes));
        }
        found = format!("{} with sha256 {sha256}", path.display());
    }
    Err(DataError::Archive {
        name: name.as_str().into(),
        version: version.as_str().into(),
        sha256: wanted.into(),
        looked: cache.join("*"),
        found: found.into(),
    })
}

/// Whether a file is a table (Unicode ranges, test vectors, constants) rather than something written: fewer than half
/// of its bytes, blanks not counted, are ASCII letters. Hand-written sources and prose have 55 to 90 percent.
fn is_table(text: &str) -> bool {
    let solid = text.bytes().filter(|b| !b.is_ascii_whitespace()).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    2 * letters < solid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DataConfig, NamedCorpus};
    use std::io::Write;

    fn gather() -> Gather {
        Gather::new(&DataConfig {
            corpus: Some(NamedCorpus::Cargo),
            ..DataConfig::default()
        })
    }

    #[test]
    fn every_package_is_locked_once_with_a_checksum() {
        let packages = locked().unwrap();
        assert_eq!(PACKAGES.len(), packages.len());
        assert!(
            PACKAGES.is_sorted(),
            "the list is in alphabetic order, without doubles"
        );
        for package in packages {
            assert_eq!(64, package.checksum.unwrap().len(), "{}", package.name);
        }
    }

    #[test]
    fn tables_are_told_from_text() {
        assert!(is_table(
            "pub const T: [(u32, u32); 2] = [(0x41, 0x5a), (0x61, 0x7a)];"
        ));
        assert!(is_table("1 2 3 4 5 6 seven"));
        assert!(!is_table(
            "fn main() { println!(\"{}\", f(1, 2)); } // says what it finds"
        ));
    }

    /// An archive of two long sources, a short one, a table and a picture.
    fn write_archive(path: &Path) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        let long = "let words = text.split_whitespace();\r\n".repeat(600);
        let other = "A page of documentation, in words.\n".repeat(600);
        for (name, data) in [
            ("p-1.0.0/src/z.rs", long.as_bytes()),
            ("p-1.0.0/README.md", other.as_bytes()),
            ("p-1.0.0/src/short.rs", b"fn main() {}"),
            ("p-1.0.0/src/table.rs", "0x1234, ".repeat(4000).as_bytes()),
            ("p-1.0.0/src/bad.rs", &[0xff; 20_000]),
            ("p-1.0.0/picture.png", &[b'a'; 20_000]),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, data).unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        let bytes = gzip.finish().unwrap();
        std::fs::write(path, &bytes).unwrap();
        Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    #[test]
    fn archives_are_found_checked_and_read_in_order() {
        let cache = tempfile::tempdir().unwrap();
        let registry = cache.path().join("some-registry");
        std::fs::create_dir(&registry).unwrap();
        let checksum = write_archive(&registry.join("p-1.0.0.crate"));
        let mut package = Locked {
            name: "p".into(),
            version: "1.0.0".into(),
            checksum: Some(checksum),
        };
        let mut g = gather();
        read_from(cache.path(), std::slice::from_ref(&package), &mut g).unwrap();
        let names: Vec<_> = g.documents.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(["p-1.0.0/README.md", "p-1.0.0/src/z.rs"], names[..]);
        assert!(!g.documents[1].text.contains('\r'));
        assert_eq!((1, 1), (g.tables, g.short));

        package.checksum = Some("00".repeat(32));
        let error = read_from(cache.path(), std::slice::from_ref(&package), &mut gather())
            .unwrap_err()
            .to_string();
        assert!(error.contains("sha256 0000") && error.contains("p-1.0.0.crate with sha256"));

        package.version = "1.0.1".into();
        let error = read_from(cache.path(), std::slice::from_ref(&package), &mut gather())
            .unwrap_err()
            .to_string();
        for words in [
            "p-1.0.1.crate",
            "no such file",
            "cargo fetch",
            &*registry.parent().unwrap().to_string_lossy(),
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
