//! Text from package archives in cargo's cache: hand-written Rust and its documentation.
//!
//! Each archive is held against its checksum, so that two machines read the same bytes. Which files: `.rs` and `.md` in
//! UTF-8 that are not tables (see [`is_table`]), in the order of the list of packages and then of their paths. The files of
//! one package are one group, with those of other packages that the list says belong to it: what one author wrote about
//! one matter is trained on together or not at all.

use super::{Flow, Gather};
use crate::error::DataError;
use crate::foreign;
use crate::parallel;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of an archive beyond which it is taken for something else.
const LARGEST: u64 = 64 << 20;

/// One package of a lock.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// SHA-256 of its archive.
    pub(super) checksum: String,
    /// Packages of the same group are kept together.
    pub(super) group: Option<String>,
}

/// Where archives are looked for, and for which corpus.
pub(super) struct Shelf {
    pub(super) corpus: &'static str,
    /// Cargo's folder of downloaded archives.
    cache: PathBuf,
    /// Below it, one folder for each registry.
    registries: Vec<PathBuf>,
}

/// A file of an archive: its path in it, and its bytes.
type Entry = (String, Vec<u8>);

impl Shelf {
    /// Cargo's own. The environment is read here because only cargo's rule finds the archives; it decides where they are
    /// looked for and never what is in them.
    pub(super) fn of_cargo(corpus: &'static str) -> Shelf {
        let home = std::env::var_os("CARGO_HOME")
            .filter(|home| !home.is_empty())
            .map(PathBuf::from);
        let cache = home
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
            .unwrap_or_else(|| PathBuf::from(".cargo"))
            .join("registry")
            .join("cache");
        Shelf::at(corpus, cache)
    }

    pub(super) fn at(corpus: &'static str, cache: PathBuf) -> Shelf {
        let entries = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        let mut registries: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
        registries.sort();
        Shelf {
            corpus,
            cache,
            registries,
        }
    }

    /// Reads packages. Archives are unpacked in parallel and gathered in order.
    pub(super) fn read(&self, packages: &[Package], gather: &mut Gather) -> Result<(), DataError> {
        let unpacked = parallel::map(packages, |package| self.unpack(package));
        for (package, entries) in packages.iter().zip(unpacked) {
            gather.begin_group(package.group.as_ref().unwrap_or(&package.name));
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

    /// Text files of one archive, sorted by path.
    fn unpack(&self, package: &Package) -> Result<Vec<Entry>, DataError> {
        let (path, bytes) = self.archive(package)?;
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
    pub(super) fn archive(&self, package: &Package) -> Result<(PathBuf, Vec<u8>), DataError> {
        let Package {
            name,
            version,
            checksum,
            ..
        } = package;
        let mut found = "no such file".to_string();
        for folder in &self.registries {
            let path = folder.join(format!("{name}-{version}.crate"));
            if !path.exists() {
                continue;
            }
            let bytes = foreign::read(&path, "a package archive", LARGEST)?;
            let sha256: String = Sha256::digest(&bytes)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            if sha256 == *checksum {
                return Ok((path, bytes));
            }
            found = format!("{} with sha256 {sha256}", path.display());
        }
        Err(DataError::Archive {
            corpus: self.corpus,
            name: name.as_str().into(),
            version: version.as_str().into(),
            sha256: checksum.as_str().into(),
            looked: self.cache.join("*"),
            found: found.into(),
        })
    }
}

/// Whether a file is a table (Unicode ranges, test vectors, constants) rather than something written: fewer than half
/// of its bytes, blanks not counted, are ASCII letters. Hand-written sources and prose have 55 to 90 percent.
fn is_table(text: &str) -> bool {
    let solid = text.bytes().filter(|b| !b.is_ascii_whitespace()).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    2 * letters < solid
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{DataConfig, NamedCorpus};
    use std::io::Write;

    pub(in crate::corpus) fn gather() -> Gather {
        Gather::new(&DataConfig {
            corpus: Some(NamedCorpus::Cargo),
            ..DataConfig::default()
        })
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

    /// Writes files as an archive of a package; its checksum.
    pub(in crate::corpus) fn pack(path: &Path, files: &[(&str, &[u8])]) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, data) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *data).unwrap();
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

    /// Two long sources, a short one, a table and a picture.
    fn write_archive(path: &Path) -> String {
        let long = "let words = text.split_whitespace();\r\n".repeat(600);
        let other = "A page of documentation, in words.\n".repeat(600);
        pack(
            path,
            &[
                ("p-1.0.0/src/z.rs", long.as_bytes()),
                ("p-1.0.0/README.md", other.as_bytes()),
                ("p-1.0.0/src/short.rs", b"fn main() {}"),
                ("p-1.0.0/src/table.rs", "0x1234, ".repeat(4000).as_bytes()),
                ("p-1.0.0/src/bad.rs", &[0xff; 20_000]),
                ("p-1.0.0/picture.png", &[b'a'; 20_000]),
            ],
        )
    }

    #[test]
    fn archives_are_found_checked_and_read_in_order() {
        let cache = tempfile::tempdir().unwrap();
        let registry = cache.path().join("some-registry");
        std::fs::create_dir(&registry).unwrap();
        let checksum = write_archive(&registry.join("p-1.0.0.crate"));
        let shelf = Shelf::at("cargo", cache.path().into());
        let mut package = Package {
            name: "p".into(),
            version: "1.0.0".into(),
            checksum,
            group: None,
        };
        let mut g = gather();
        shelf.read(std::slice::from_ref(&package), &mut g).unwrap();
        let names: Vec<_> = g.documents.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(["p-1.0.0/README.md", "p-1.0.0/src/z.rs"], names[..]);
        assert!(!g.documents[1].text.contains('\r'));
        assert_eq!((1, 1), (g.tables, g.short));

        package.checksum = "00".repeat(32);
        let read = |package: &Package| shelf.read(std::slice::from_ref(package), &mut gather());
        let error = read(&package).unwrap_err().to_string();
        assert!(error.contains("sha256 0000") && error.contains("p-1.0.0.crate with sha256"));

        package.version = "1.0.1".into();
        let error = read(&package).unwrap_err().to_string();
        for words in [
            "corpus \"cargo\"",
            "p-1.0.1.crate",
            "no such file",
            "cargo fetch",
            &*registry.parent().unwrap().to_string_lossy(),
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
