//! `KEY=VALUE` and `~KEY` on the command line.

use super::problem::Problems;
use super::suggest::hint;
use super::tree::{Mark, Node, parse_key, parse_value};
use std::sync::Arc;

/// Lays the arguments over the file, in their order.
pub(super) fn apply(root: &mut Node, arguments: &[String], problems: &mut Problems) {
    let mut keys: Vec<&str> = Vec::new();
    for argument in arguments {
        let mark = Mark::Argument(Arc::from(argument.as_str()));
        match argument.strip_prefix(['~', '-']) {
            Some(key) => {
                keys.retain(|set| *set != key);
                remove(root, key, &mark, problems);
            }
            None => {
                let key = argument.split('=').next().unwrap_or_default().trim();
                if keys.contains(&key) {
                    let what = format!("{key} is set by an argument before this one already");
                    problems.add(&mark, key, what);
                }
                keys.push(key);
                set(root, argument, &mark, problems);
            }
        }
    }
}

fn set(root: &mut Node, argument: &str, mark: &Mark, problems: &mut Problems) {
    let Some((key, value)) = argument.split_once('=') else {
        return problems.add(mark, "", "expected KEY=VALUE, or -KEY to remove a key");
    };
    let Some(path) = parse_key(key) else {
        let rule = "expected a key such as train.steps (quote odd parts: studies.\"a b\".task)";
        return problems.add(mark, "", format!("{rule}, found {key:?}"));
    };
    let node = parse_value(value, mark);
    if unknown_name(root, &path, &node, mark, problems) {
        return;
    }
    if let Err(blocked) = root.put(&path, node) {
        let what = format!("{} is no table, so it has no keys", blocked.join("."));
        problems.add(mark, path.join("."), what);
    }
}

/// A setting of a scheme or study that the file does not have is a slip, unless a whole table is given.
fn unknown_name(
    root: &Node,
    path: &[String],
    node: &Node,
    mark: &Mark,
    problems: &mut Problems,
) -> bool {
    let (kind, deep) = match path.first().map(String::as_str) {
        Some("schemes") => ("scheme", 3),
        Some("studies") => ("study", 2),
        _ => return false,
    };
    // A study is a table, and so is `schemes.NAME.ID`.
    if path.len() <= deep && node.is_table() {
        return false;
    }
    let mut known = root.get(&path[0]);
    for step in &path[1..path.len().min(deep)] {
        let names: Vec<&str> = known.iter().flat_map(|table| table.keys()).collect();
        known = known.and_then(|table| table.get(step));
        if known.is_none() {
            let list = if names.is_empty() {
                "none".to_string()
            } else {
                names.join(", ")
            };
            let hint = hint(step, names.iter().copied());
            let what = format!("no {kind} `{step}` here; the config has {list}{hint}");
            problems.add(mark, path.join("."), what);
            return true;
        }
    }
    false
}

fn remove(root: &mut Node, key: &str, mark: &Mark, problems: &mut Problems) {
    let Some(path) = parse_key(key) else {
        return problems.add(mark, "", format!("expected a key to remove, found {key:?}"));
    };
    if root.take(&path).is_some() {
        return;
    }
    let deepest = (0..path.len())
        .rev()
        .find_map(|n| root.find(&path[..n]).map(|node| (n, node)));
    let (depth, table) = deepest.unwrap_or((0, root));
    let known: Vec<&str> = table.keys().collect();
    let place = if depth == 0 {
        "the config".to_string()
    } else {
        path[..depth].join(".")
    };
    let list = if known.is_empty() {
        "no keys".to_string()
    } else {
        known.join(", ")
    };
    let hint = hint(&path[depth], known.iter().copied());
    problems.add(
        mark,
        path.join("."),
        format!("nothing to remove: {place} has {list}{hint}"),
    );
}
