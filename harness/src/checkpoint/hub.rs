//! The folder of a checkpoint: as given, or in the Hugging Face cache of this machine. What is not there is downloaded
//! only by a program that was built with the feature `hub`, and never if `HF_HUB_OFFLINE` is set.
//!
//! Layout of the cache, as published: `models--ORG--NAME/refs/REVISION` holds a commit, `snapshots/COMMIT/` its files.

#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod site;

use crate::{Error, Result};
use farspan_datasets::foreign;
use std::path::{Path, PathBuf};

/// The folder of everything that belongs to Hugging Face: `HF_HOME`, else `XDG_CACHE_HOME/huggingface`, else
/// `~/.cache/huggingface`; `variable` reads an environment variable.
fn home(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    set("HF_HOME")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("huggingface")))
        .or_else(|| Some(set("HOME")?.join(".cache/huggingface")))
}

/// Where the cache is: `HF_HUB_CACHE`, else `hub` in the folder of Hugging Face, which is `HF_HOME`, else
/// `XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface`; `variable` reads an environment variable.
pub fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("HF_HUB_CACHE")
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| Some(home(variable)?.join("hub")))
}

/// The variable `name` of the environment.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// Whether a variable says yes, in the words that Hugging Face takes for it.
#[cfg(feature = "hub")]
fn yes(value: Option<PathBuf>) -> bool {
    let words = ["1", "on", "yes", "true"];
    let value = value.unwrap_or_default();
    words.contains(&value.to_string_lossy().to_lowercase().as_str())
}

/// The folder that `model` means on this machine, by [`resolve`] and [`cache`]. With the feature `hub`, what a snapshot
/// lacks is downloaded into the cache, unless `HF_HUB_OFFLINE` is set; what is there is taken as it is.
pub fn folder(model: &str) -> Result<PathBuf> {
    let path = Path::new(model);
    let cache = cache(variable);
    let (Some(id), Some(cache)) = (Id::parse(model), cache.as_deref()) else {
        return resolve(path, cache.as_deref());
    };
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    obtain(model, &id, cache)
}

#[cfg(not(feature = "hub"))]
fn obtain(model: &str, id: &Id<'_>, cache: &Path) -> Result<PathBuf> {
    id.snapshot(cache).map_err(|why| {
        let hint = "download it with `hf download`, or build farspan with `--features hub`";
        missing(model, &format!("{why} ({hint})"))
    })
}

#[cfg(feature = "hub")]
fn obtain(model: &str, id: &Id<'_>, cache: &Path) -> Result<PathBuf> {
    let found = id.snapshot(cache);
    if let Some(dir) = found.as_ref().ok().filter(|dir| whole(dir)) {
        return Ok(dir.clone());
    }
    if yes(variable("HF_HUB_OFFLINE")) {
        let hint = "HF_HUB_OFFLINE is set, so it is not downloaded";
        return found.map_err(|why| missing(model, &format!("{why} ({hint})")));
    }
    // What lacks of a snapshot comes from its own commit.
    let commit = found.ok().and_then(|dir| {
        let name = dir.file_name()?;
        Some(name.to_string_lossy().into_owned())
    });
    let wanted = Id {
        revision: commit.as_deref().unwrap_or(id.revision),
        ..*id
    };
    download::fetch(&wanted, cache)
}

/// Whether a snapshot has all files that a checkpoint cannot do without.
#[cfg(feature = "hub")]
fn whole(dir: &Path) -> bool {
    dir.join("config.json").exists() && super::files::Files::open(dir).is_ok()
}

/// The folder that `model` means: a folder of this name, or the snapshot of a model id (`ORG/NAME`, `NAME`, either with
/// `@REVISION`) in `cache`.
pub fn resolve(model: &Path, cache: Option<&Path>) -> Result<PathBuf> {
    if model.is_dir() {
        return Ok(model.to_path_buf());
    }
    let text = model.to_string_lossy();
    let Some(id) = Id::parse(&text) else {
        return Err(missing(&text, "this is neither"));
    };
    let Some(cache) = cache else {
        return Err(missing(&text, "no folder of the cache is known"));
    };
    id.snapshot(cache).map_err(|why| missing(&text, &why))
}

fn missing(model: &str, why: &str) -> Error {
    Error::Data(format!(
        "{model}: expected a checkpoint folder, or the id of a model in the Hugging Face cache; {why}"
    ))
}

/// A model's id and a revision of it; both are plain enough for names of folders.
#[derive(Clone, Copy, Debug)]
struct Id<'a> {
    /// `ORG/NAME` or `NAME`.
    name: &'a str,
    /// A branch, a tag or a commit.
    revision: &'a str,
}

impl<'a> Id<'a> {
    fn parse(text: &'a str) -> Option<Id<'a>> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let fits = name.split('/').count() <= 2
            && name.split('/').all(plain)
            && revision.split('/').all(plain);
        fits.then_some(Id { name, revision })
    }

    /// The model's folder in `cache`.
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("models--{}", self.name.replace('/', "--")))
    }

    /// The snapshot in `cache`, or why there is none.
    fn snapshot(&self, cache: &Path) -> std::result::Result<PathBuf, String> {
        let folder = self.folder(cache);
        if !folder.is_dir() {
            return Err(format!("{} is not there", folder.display()));
        }
        let direct = folder.join("snapshots").join(self.revision);
        if direct.is_dir() {
            return Ok(direct);
        }
        let reference = folder.join("refs").join(self.revision);
        if !reference.exists() {
            return Err(format!("{} is not there", reference.display()));
        }
        let commit = foreign::read_text(&reference, "the name of a commit", 1 << 10)
            .map_err(|e| e.to_string())?;
        let commit = commit.trim();
        let snapshot = folder.join("snapshots").join(commit);
        match plain(commit) && snapshot.is_dir() {
            true => Ok(snapshot),
            false => Err(format!("the snapshot {commit:?} is not there")),
        }
    }
}

/// Whether `part` is a name that leads to no other folder.
fn plain(part: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)
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
