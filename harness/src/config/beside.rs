//! Relative paths of data in a config's file: they are looked for beside the file first, then in the current folder.

use super::problem::join;
use super::tree::{Node, Value};
use std::path::{Path, PathBuf};

/// Keys of `[data]` that name files, by paths or globs.
const KEYS: [&str; 3] = ["files", "jsonl", "parquet"];

/// Lets the paths of `root`, which was read in `folder`, start from the current folder. Says which files were taken, where
/// there was a choice.
pub(super) fn find(root: &mut Node, folder: &Path) -> Vec<String> {
    let mut told = Vec::new();
    // A config in the current folder has nothing beside it that is elsewhere.
    if folder.as_os_str().is_empty() || is_here(folder) {
        return told;
    }
    let mut tables = vec![vec!["data".to_string()]];
    let studies = root.get("studies").into_iter().flat_map(Node::keys);
    tables.extend(studies.map(|study| ["studies", study, "data"].map(String::from).to_vec()));
    for steps in tables {
        let data = steps
            .iter()
            .try_fold(&mut *root, |node, step| node.get_mut(step));
        let Some(data) = data else { continue };
        let table = steps.join(".");
        for key in KEYS {
            let paths = match data.get_mut(key).map(|node| &mut node.value) {
                Some(Value::Text(path)) => vec![path],
                Some(Value::List(items)) => items.iter_mut().filter_map(text).collect(),
                _ => continue,
            };
            for path in paths {
                told.extend(
                    found(path, folder).map(|words| format!("{}: {words}", join(&table, key))),
                );
            }
        }
    }
    told
}

fn text(node: &mut Node) -> Option<&mut String> {
    match &mut node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn is_here(folder: &Path) -> bool {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.is_ok_and(|here| folder.canonicalize().is_ok_and(|folder| folder == here))
}

/// Puts the folder before a path, if there is something beside the config.
fn found(path: &mut String, folder: &Path) -> Option<String> {
    let matches = |path: &Path| {
        let all = path.to_str().and_then(|path| glob::glob(path).ok());
        all.is_some_and(|mut all| all.next().is_some())
    };
    let beside: PathBuf = folder.join(&path);
    let (there, here) = (matches(&beside), matches(Path::new(path)));
    if Path::new(path).is_absolute() || !there {
        return None;
    }
    let taken = beside.to_str()?.to_string();
    let words = here.then(|| {
        format!("{path} is there beside the config and in the current folder; taken: {taken}, beside the config")
    });
    *path = taken;
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Source;
    use crate::config::tree;

    /// The paths of `[data]` after a config in `folder` was read.
    fn paths(folder: &Path, config: &str) -> (Vec<String>, Vec<String>) {
        let mut root = tree::parse(&Source::new("mine.toml", config)).expect("TOML");
        let told = find(&mut root, folder);
        let mut all = Vec::new();
        for (_, node) in root.get("data").expect("data").entries() {
            match &node.value {
                Value::Text(path) => all.push(path.clone()),
                Value::List(items) => all.extend(items.iter().filter_map(|i| match &i.value {
                    Value::Text(path) => Some(path.clone()),
                    _ => None,
                })),
                _ => {}
            }
        }
        (all, told)
    }

    #[test]
    fn what_lies_beside_the_config_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| std::fs::write(folder.path().join(name), "text").expect("a file");
        file("a.txt");
        // The tests run in the folder of their crate, which has a Cargo.toml.
        file("Cargo.toml");
        let there = |name: &str| folder.path().join(name).display().to_string();
        let (found, told) = paths(
            folder.path(),
            "[data]\nfiles = [\"*.txt\", \"src/lib.rs\", \"/x.txt\"]\n",
        );
        assert_eq!(
            found,
            [there("*.txt"), "src/lib.rs".into(), "/x.txt".into()]
        );
        assert!(told.is_empty(), "{told:?}");
        let (found, told) = paths(folder.path(), "[data]\njsonl = \"Cargo.toml\"\n");
        assert_eq!(found, [there("Cargo.toml")]);
        assert!(
            told.len() == 1 && told[0].starts_with("data.jsonl: Cargo.toml is there beside"),
            "{told:?}"
        );
        let (found, told) = paths(Path::new("."), "[data]\nfiles = \"Cargo.toml\"\n");
        assert_eq!((found, told), (vec!["Cargo.toml".to_string()], Vec::new()));
    }

    #[test]
    fn studies_have_data_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.txt"), "text").expect("a file");
        let text = "[studies.\"my.text\".data]\nfiles = \"a.txt\"\n";
        let mut root = tree::parse(&Source::new("mine.toml", text)).expect("TOML");
        find(&mut root, folder.path());
        let node = root
            .get("studies")
            .and_then(|s| s.get("my.text"))
            .and_then(|s| s.get("data"));
        let value = node
            .and_then(|data| data.get("files"))
            .map(|node| node.value.clone());
        assert_eq!(
            value,
            Some(Value::Text(
                folder.path().join("a.txt").display().to_string()
            ))
        );
    }
}
