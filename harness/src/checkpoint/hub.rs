//! The folder of a checkpoint: as given, or in the Hugging Face cache of this machine. Nothing is downloaded.
//!
//! Layout of the cache, as published: `models--ORG--NAME/refs/REVISION` holds a commit, `snapshots/COMMIT/` its files.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Where the cache is: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `XDG_CACHE_HOME/huggingface/hub`, else
/// `~/.cache/huggingface/hub`; `variable` reads an environment variable.
pub fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    set("HF_HUB_CACHE")
        .or_else(|| Some(set("HF_HOME")?.join("hub")))
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(set("HOME")?.join(".cache/huggingface/hub")))
}

/// The folder that `model` means on this machine, by [`resolve`] and [`cache`].
pub fn folder(model: &str) -> Result<PathBuf> {
    let cache = cache(|name| std::env::var_os(name).map(PathBuf::from));
    resolve(Path::new(model), cache.as_deref())
}

/// The folder that `model` means: a folder of this name, or the snapshot of a model id (`ORG/NAME`, `NAME`, either with
/// `@REVISION`) in `cache`.
pub fn resolve(model: &Path, cache: Option<&Path>) -> Result<PathBuf> {
    if model.is_dir() {
        return Ok(model.to_path_buf());
    }
    let text = model.to_string_lossy();
    let missing = |why: String| {
        Err(Error::Data(format!(
            "{text}: expected a checkpoint folder, or the id of a model in the Hugging Face cache; {why}"
        )))
    };
    let (id, revision) = text.split_once('@').unwrap_or((&text, "main"));
    let plain = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)
    };
    let parts: Vec<&str> = id.split('/').collect();
    if parts.len() > 2 || !parts.iter().all(|part| plain(part)) || !revision.split('/').all(plain) {
        return missing("this is neither".into());
    }
    let Some(cache) = cache else {
        return missing("no folder of the cache is known".into());
    };
    let folder = cache.join(format!("models--{}", parts.join("--")));
    if !folder.is_dir() {
        return missing(format!("{} is not there", folder.display()));
    }
    let direct = folder.join("snapshots").join(revision);
    if direct.is_dir() {
        return Ok(direct);
    }
    let reference = folder.join("refs").join(revision);
    let Ok(commit) = std::fs::read_to_string(&reference) else {
        return missing(format!("{} is not there", reference.display()));
    };
    let snapshot = folder.join("snapshots").join(commit.trim());
    if !plain(commit.trim()) || !snapshot.is_dir() {
        return missing(format!("the snapshot {:?} is not there", commit.trim()));
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses_the_cache_in_the_published_order() {
        let with = |set: &[(&str, &str)]| {
            let find = |name: &str| {
                set.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| PathBuf::from(v))
            };
            cache(find)
        };
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HF_HOME", "/b"),
            ("XDG_CACHE_HOME", "/c"),
            ("HOME", "/d"),
        ];
        for (skip, expected) in [
            "/a",
            "/b/hub",
            "/c/huggingface/hub",
            "/d/.cache/huggingface/hub",
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(with(&all[skip..]), Some(PathBuf::from(expected)));
        }
        assert_eq!(
            with(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/b")]),
            Some(PathBuf::from("/b/hub"))
        );
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn ids_lead_to_snapshots_and_nowhere_else() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--org--small");
        std::fs::create_dir_all(model.join("snapshots/abc123")).unwrap();
        std::fs::create_dir_all(model.join("refs/pr")).unwrap();
        std::fs::write(model.join("refs/main"), "abc123\n").unwrap();
        std::fs::write(model.join("refs/pr/1"), "abc123").unwrap();
        std::fs::write(model.join("refs/gone"), "def456").unwrap();
        std::fs::write(model.join("refs/evil"), "../../..").unwrap();
        let find = |id: &str| resolve(Path::new(id), Some(cache.path())).map_err(|e| e.to_string());
        for id in [
            "org/small",
            "org/small@main",
            "org/small@abc123",
            "org/small@pr/1",
        ] {
            assert_eq!(find(id), Ok(model.join("snapshots/abc123")), "{id}");
        }
        for (id, why) in [
            ("org/large", "models--org--large is not there"),
            ("org/small@v2", "v2 is not there"),
            ("org/small@gone", "\"def456\" is not there"),
            ("org/small@evil", "is not there"),
            ("org/small@../main", "neither"),
            ("../org", "neither"),
            ("a/b/c", "neither"),
        ] {
            let message = find(id).unwrap_err();
            assert!(message.contains(why), "{id}: {message}");
        }
        assert_eq!(resolve(cache.path(), None).unwrap(), cache.path());
    }
}
