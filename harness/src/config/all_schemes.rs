//! `all_schemes`: the schemes of the registry that `[schemes]` does not have.

use super::problem::{Problems, join};
use super::tree::{Node, Value};
use farspan_pe::{Entry, Needs, Registry};
use std::collections::HashSet;

/// Key of the top level.
pub(super) const KEY: &str = "all_schemes";
/// What every added extension gets, if it is said.
const FINETUNE: &str = "finetune";

/// Adds to `[schemes]`, under their ids and with default settings, all schemes of the registry whose id does not stand
/// there. Those that can do nothing without settings, or read ids that few tasks give, are left out. An extension reads the
/// first scheme that it fits.
pub(super) fn add(root: &mut Node, registry: &Registry, problems: &mut Problems) {
    let Some(key) = root.get(KEY).cloned() else {
        return;
    };
    let finetune = match &key.value {
        Value::Flag(true) => None,
        Value::Flag(false) => return,
        Value::Table(entries) if entries.iter().all(|(name, _)| name == FINETUNE) => {
            key.get(FINETUNE).cloned()
        }
        _ => {
            let what =
                "expected true, false or { finetune = { … } }, which every added extension gets";
            problems.add(&key.at, KEY, what);
            return;
        }
    };
    let table = |entries: Vec<(String, Node)>| Node {
        value: Value::Table(entries),
        ..key.clone()
    };
    let mut schemes = match root.take(&["schemes"]) {
        Some(schemes) if schemes.is_table() => schemes,
        // What is no table is told where schemes are read.
        Some(other) => return root.push("schemes", other),
        None => table(Vec::new()),
    };
    let written = schemes.entries().iter();
    let ids: HashSet<String> = written
        .flat_map(|(_, scheme)| scheme.keys().map(String::from))
        .collect();
    let missing = registry.entries().iter().filter(|e| !ids.contains(e.id));
    let missing: Vec<&Entry> = missing
        .filter(|e| !e.card.task_ids)
        .filter(|e| e.parse(serde_json::json!({})).is_ok())
        .collect();
    // Bases first, as an extension may read one that is added.
    for extensions in [false, true] {
        for entry in &missing {
            let mut settings = Vec::new();
            match (entry.card.needs, extensions) {
                (Needs::Scratch, false) => {}
                (Needs::Base(family), true) => {
                    let fits = |(_, scheme): &&(String, Node)| {
                        let mut ids = scheme.keys().filter_map(|id| registry.get(id).ok());
                        ids.any(|e| e.card.is_base_of(family))
                    };
                    let Some((base, _)) = schemes.entries().iter().find(fits) else {
                        continue;
                    };
                    let base = Node {
                        value: Value::Text(base.clone()),
                        ..key.clone()
                    };
                    settings.push(("extends".into(), base));
                    settings.extend(finetune.clone().map(|node| (FINETUNE.into(), node)));
                }
                _ => continue,
            }
            if schemes.get(entry.id).is_some() {
                let what = format!("{} is the name of another scheme here", entry.id);
                problems.add(&key.at, join(KEY, entry.id), what);
                continue;
            }
            schemes.push(entry.id, table(vec![(entry.id.into(), table(settings))]));
        }
    }
    root.push("schemes", schemes);
}
