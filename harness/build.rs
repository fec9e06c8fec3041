//! Writes the version, with the commit if this is built in a checkout, into `FARSPAN_VERSION`.

use std::fs;
use std::path::Path;

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match commit(Path::new("../.git")) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=FARSPAN_VERSION={version}");
    println!("cargo:rerun-if-changed=build.rs");
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
