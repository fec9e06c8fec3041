//! Writes the version, with the commit if this is built in a checkout, into `FARSPAN_VERSION`, and lists the files of the
//! standard study, which the program has in it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match commit(Path::new("../.git")) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=FARSPAN_VERSION={version}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    let list = records(Path::new("../results/standard-1"));
    fs::write(Path::new(&out).join("standard.rs"), list).expect("OUT_DIR can be written");
}

/// The packed files in a folder, as a table of names and bytes.
fn records(folder: &Path) -> String {
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let packed = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> = packed
        .filter(|path| path.extension().is_some_and(|e| e == "zst"))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    files.sort();
    let mut list = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for path in &files {
        let name = path.file_name().unwrap_or_default();
        let _ = writeln!(
            list,
            "({:?}, include_bytes!({path:?})),",
            name.to_string_lossy()
        );
    }
    list + "];\n"
}

/// The first digits of the commit that is checked out.
fn commit(git: &Path) -> Option<String> {
    let watched = |path: &Path| {
        let text = fs::read_to_string(path).ok()?;
        // A path that is not there, as in a worktree of git, would count as changed in every build.
        println!("cargo:rerun-if-changed={}", path.display());
        Some(text)
    };
    let head = watched(&git.join("HEAD"))?;
    let hash = match head.trim().strip_prefix("ref: ") {
        None => head.trim().to_string(),
        Some(name) => {
            let loose = git.join(name);
            if loose.exists() {
                watched(&loose)?.trim().to_string()
            } else {
                let packed = watched(&git.join("packed-refs"))?;
                let line = packed.lines().find(|line| line.ends_with(name))?;
                line.split_whitespace().next()?.to_string()
            }
        }
    };
    let fine = hash.len() >= 10 && hash.chars().all(|c| c.is_ascii_hexdigit());
    fine.then(|| hash[..10].to_string())
}
