//! `new`: a crate of one's own with a scheme in it, built as Farspan itself is.

use super::{BUG, Ended, Failure, print, tell};
use crate::Error;
use clap::Args;
use farspan_reports::store::write_atomic;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

#[derive(Debug, Args)]
#[command(after_help = "Example: farspan new my-encoding\n\n\
    The crate is built offline, from what a build of Farspan has fetched: cd my-encoding && cargo run --release -- run config.toml")]
pub(super) struct New {
    /// Folder of the crate, which has its name
    dir: PathBuf,
    /// Farspan's own folder [default: the one that this program was built in]
    #[arg(long, value_name = "DIR")]
    farspan: Option<PathBuf>,
}

/// The folder that this program was built in.
const HARNESS: &str = env!("CARGO_MANIFEST_DIR");
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
const LOCK: &str = include_str!("../../../Cargo.lock");
const MAIN: &str = include_str!("../../examples/starter/main.rs");
const CONFIG: &str = include_str!("../../examples/starter/config.toml");
/// Our crates, which are optimised like the program's own code.
const OURS: [&str; 5] = [
    "farspan",
    "farspan-attention",
    "farspan-datasets",
    "farspan-pe",
    "farspan-reports",
];

impl New {
    pub(super) fn run(&self) -> Ended {
        let name = name(&self.dir)?;
        let harness = self.harness()?;
        if self.dir.exists() {
            let text = format!("{} is there already: give a new folder", self.dir.display());
            return Err(Failure::usage(text));
        }
        let manifest = manifest(&name, &harness).map_err(|what| Failure {
            code: BUG,
            text: format!("internal error: {what}"),
        })?;
        let files = [
            ("Cargo.toml", manifest.as_str()),
            // The versions that Farspan is tested with; cargo drops what the crate does not need.
            ("Cargo.lock", LOCK),
            ("src/main.rs", MAIN),
            ("config.toml", CONFIG),
            (".gitignore", "/target\n/runs\n"),
        ];
        for (file, text) in files {
            let path = self.dir.join(file);
            let folder = path.parent().unwrap_or(Path::new("."));
            let making = |e| Error::io(format!("making {}", folder.display()), e);
            std::fs::create_dir_all(folder).map_err(making)?;
            write_atomic(&path, text.as_bytes())?;
        }
        tell(&format!(
            "next: cd {} && cargo run --release -- explain mine\n      cargo run --release -- run config.toml",
            self.dir.display()
        ));
        print(&format!("{}\n", self.dir.display()))
    }

    /// Where `farspan` lies, as cargo is to find it.
    fn harness(&self) -> Result<PathBuf, Failure> {
        let harness = match &self.farspan {
            Some(root) => root.join("harness"),
            None => PathBuf::from(HARNESS),
        };
        let path = harness.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let found = text.parse::<Table>().ok();
        let package = found.as_ref().and_then(|table| table.get("package"));
        let name = package.and_then(|package| package.get("name"));
        if name.and_then(Value::as_str) != Some("farspan") {
            return Err(Failure::usage(format!(
                "--farspan: expected the folder of Farspan's sources, found no package farspan in {}",
                path.display()
            )));
        }
        let absolute = harness.canonicalize();
        Ok(absolute.map_err(|e| Error::io(format!("finding {}", harness.display()), e))?)
    }
}

/// The name of the crate in a folder, as cargo takes it.
fn name(dir: &Path) -> Result<String, Failure> {
    let name = dir.file_name().map(|name| name.to_string_lossy());
    let name = name.unwrap_or_default();
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let taken = OURS.contains(&&*name) || ["core", "std", "alloc", "test"].contains(&&*name);
    if first && name.chars().all(fine) && name.len() <= 64 && !taken {
        return Ok(name.into_owned());
    }
    Err(Failure::usage(format!(
        "expected a folder with the name of a crate (small letters, digits, - and _, a letter first, and no other crate's \
         name), found {name:?}"
    )))
}

/// The crate's `Cargo.toml`, with the profile of Farspan's own.
fn manifest(name: &str, harness: &Path) -> Result<String, String> {
    let workspace: Table = WORKSPACE.parse().map_err(|e| format!("Cargo.toml: {e}"))?;
    let get = |table: &Table, key: &str| match table.get(key) {
        Some(Value::Table(found)) => Ok(found.clone()),
        _ => Err(format!("Cargo.toml has no table {key}")),
    };
    let package = get(&get(&workspace, "workspace")?, "package")?;
    let mut release = get(&get(&workspace, "profile")?, "release")?;
    let mut packages = get(&release, "package")?;
    for ours in OURS.into_iter().chain([name]) {
        let own = Table::from_iter([("opt-level".to_string(), Value::Integer(3))]);
        packages.entry(ours).or_insert(Value::Table(own));
    }
    release.insert("package".into(), Value::Table(packages));
    let profile = Table::from_iter([("release".to_string(), Value::Table(release))]);
    let profile = Table::from_iter([("profile".to_string(), Value::Table(profile))]);
    let profile = toml::to_string(&profile).map_err(|e| e.to_string())?;
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_string();
    let path = Value::String(harness.to_string_lossy().into_owned());
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"{}\"\nrust-version = \"{}\"\npublish = false\n\n\
         [dependencies]\nfarspan = {{ path = {path} }}\nschemars = \"1\"\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         # It is no part of a workspace that its folder may lie in.\n[workspace]\n\n\
         # As Farspan itself is built: what no training step passes through is optimised lightly.\n{profile}",
        text("edition"),
        text("rust-version")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_our_profile_with_our_crates_at_full_speed() {
        let text = manifest("mine", Path::new("/src/\"odd\"/harness")).expect("a manifest");
        let table: Table = text.parse().expect("TOML");
        let at = |keys: &[&str]| {
            let mut value = &table[keys[0]];
            keys[1..].iter().for_each(|key| value = &value[*key]);
            value.clone()
        };
        assert_eq!(at(&["package", "name"]).as_str(), Some("mine"));
        let path = at(&["dependencies", "farspan", "path"]);
        assert_eq!(path.as_str(), Some("/src/\"odd\"/harness"));
        let level = |name: &str| at(&["profile", "release", "package", name, "opt-level"]);
        for ours in ["mine", "farspan", "farspan-attention", "candle-core"] {
            assert_eq!(level(ours).as_integer(), Some(3), "{ours}");
        }
    }

    #[test]
    fn names_are_those_of_crates() {
        for fine in ["mine", "a/b/my-pe_2"] {
            assert!(name(Path::new(fine)).is_ok(), "{fine}");
        }
        for wrong in ["", "..", "Mine", "2d", "farspan", "test", "a b", "a.b"] {
            assert!(name(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}
