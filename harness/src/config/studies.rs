//! Studies: the shared tables, laid under each study's own.

use super::problem::{Problems, join};
use super::suggest::hint;
use super::tree::{Mark, Node, Value};
use super::types::TaskConfig;
use crate::measure::{self, Kind};
use farspan_reports::figure::hides;
use std::collections::HashSet;

/// Tables that every study inherits.
pub(super) const SHARED: [&str; 4] = ["data", "model", "train", "evaluate"];
/// Text comes from exactly one of these.
const SOURCES: [&str; 4] = ["corpus", "files", "jsonl", "parquet"];

/// A study before its values are read.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    /// Key path of what the study sets itself; empty if the config has no `[studies]`.
    pub(super) path: String,
    pub(super) task: TaskConfig,
    /// What the study sets itself.
    pub(super) own: Node,
    /// With the shared tables below it.
    pub(super) merged: Node,
}

/// The studies of a config, in its order.
pub(super) fn drafts(root: &Node, problems: &mut Problems) -> Vec<Draft> {
    let Some(studies) = root.get("studies") else {
        return vec![only(root, problems)];
    };
    if let Some(task) = root.get("task") {
        problems.add(
            &task.key,
            "task",
            "with [studies], each study has its own `task`",
        );
    }
    if !studies.is_table() || studies.entries().is_empty() {
        let what =
            "expected at least one table [studies.NAME]; without [studies] there is one study";
        problems.add(&studies.key, "studies", what);
        return Vec::new();
    }
    let mut drafts = Vec::new();
    for (name, own) in studies.entries() {
        if problems.is_full() {
            break;
        }
        let path = join("studies", name);
        check_name(name, &own.key, &path, problems);
        if !own.is_table() {
            problems.add(&own.at, path, "expected a table");
            continue;
        }
        let mut shared = Node::empty(own.key.clone());
        for key in SHARED {
            if let Some(table) = root.get(key) {
                shared.push(key, table.clone());
            }
        }
        // Seeds of the command line win over a study's own.
        if let (Some(_), Some(seeds)) = (own.get("seeds"), root.get("seeds")) {
            shared.push("seeds", seeds.clone());
        }
        give_way(&mut shared, own);
        let merged = shared.merged(own);
        if let Some(task) = task(&merged, &path, problems) {
            let own = own.clone();
            drafts.push(Draft {
                name: name.clone(),
                path,
                task,
                own,
                merged,
            });
        }
    }
    note_unused(root, &drafts, problems);
    drafts
}

/// The study of a config without `[studies]`: its top-level tables.
fn only(root: &Node, problems: &mut Problems) -> Draft {
    let mut own = Node::empty(root.key.clone());
    for key in SHARED.iter().chain(&["task"]) {
        if let Some(node) = root.get(key) {
            own.push(key, node.clone());
        }
    }
    let task = task(&own, "", problems).unwrap_or_default();
    let name = match &task {
        TaskConfig::Text => "language",
        TaskConfig::Of(task) => &task.id,
    };
    Draft {
        name: name.into(),
        path: String::new(),
        task,
        own: own.clone(),
        merged: own,
    }
}

fn task(study: &Node, path: &str, problems: &mut Problems) -> Option<TaskConfig> {
    match study.get("task") {
        None => Some(TaskConfig::Text),
        Some(task) => super::read::read(task, &join(path, "task"), problems),
    }
}

/// Names stand in labels and in `-k` expressions.
pub(super) fn check_name(name: &str, at: &Mark, path: &str, problems: &mut Problems) {
    let odd = |c: char| c.is_whitespace() || hides(c) || "()/\"'\\".contains(c);
    let fine = (1..=60).contains(&name.chars().count()) && !name.contains(odd);
    if !fine || ["and", "or", "not"].contains(&name) {
        let rule = "expected a name of 1 to 60 characters without spaces, quotes, slashes, \
                    parentheses and invisible characters that is not `and`, `or` or `not`";
        problems.add(at, path, format!("{rule}, found {name:?}"));
    }
}

/// A study with its own text source takes none from the shared table, unless the command line set that one.
fn give_way(shared: &mut Node, own: &Node) {
    let own_source = own
        .get("data")
        .is_some_and(|data| data.keys().any(|key| SOURCES.contains(&key)));
    let Some(data) = shared.get_mut("data").filter(|_| own_source) else {
        return;
    };
    if let Value::Table(entries) = &mut data.value {
        entries.retain(|(key, node)| {
            !SOURCES.contains(&key.as_str()) || node.at.rank() > Mark::File(0..0).rank()
        });
    }
}

/// Why a study with this task has no use for the value at `key`, if it has none: data without text, measures that it cannot
/// be asked for.
fn idle(key: &str, kind: &Kind<'_>) -> Option<String> {
    let reason = match key.split_once('.') {
        None if key == "data" && *kind.task != TaskConfig::Text => {
            "makes its data from the seed and reads no text".to_string()
        }
        Some(("evaluate", id)) => measure::unfit(id, kind)?,
        _ => return None,
    };
    Some(format!("a study with task {:?} {reason}", kind.task.id()))
}

/// What [`idle`] may speak of.
fn doubtful() -> Vec<String> {
    let measures = measure::IDS.iter().map(|id| format!("evaluate.{id}"));
    ["data".to_string()].into_iter().chain(measures).collect()
}

impl Draft {
    fn kind(&self) -> Kind<'_> {
        let checkpoint = self.merged.dotted("model.checkpoint").is_some();
        let data = self.merged.get("data");
        let text = data.is_some_and(|data| data.keys().any(|key| SOURCES.contains(&key)));
        Kind {
            task: &self.task,
            checkpoint,
            text: text || !checkpoint,
        }
    }

    /// Whether the value at `key` (relative to a study) means anything to this one.
    pub(super) fn concerns(&self, key: &str) -> bool {
        let below = |table: &String| key == table || key.starts_with(&format!("{table}."));
        let mut doubtful = doubtful().into_iter().filter(below);
        !doubtful.any(|table| idle(&table, &self.kind()).is_some())
    }

    /// Drops what the study inherits but its task has no use for; what it asks for itself is an error then.
    pub(super) fn filter(&mut self, problems: &mut Problems) {
        for key in doubtful() {
            let Some(why) = idle(&key, &self.kind()) else {
                continue;
            };
            if let Some(own) = self.own.dotted(&key) {
                problems.add(&own.key, join(&self.path, &key), why);
            }
            self.merged.take(&key.split('.').collect::<Vec<_>>());
        }
        if let Some(data) = self.merged.get_mut("data") {
            data.settle(&SOURCES);
        }
    }
}

/// Shared settings that no study has a use for: an error if the command line asked for them.
fn note_unused(root: &Node, drafts: &[Draft], problems: &mut Problems) {
    for key in doubtful() {
        if drafts.is_empty() || drafts.iter().any(|d| idle(&key, &d.kind()).is_none()) {
            continue;
        }
        let Some(node) = root.dotted(&key) else {
            continue;
        };
        for (path, leaf) in arguments(node, &key) {
            let what = "no study of this config has a use for it (by their tasks)";
            problems.add(&leaf, path, what);
        }
    }
}

/// Values below `node` that the command line set.
fn arguments(node: &Node, path: &str) -> Vec<(String, Mark)> {
    match &node.value {
        Value::Table(entries) => entries
            .iter()
            .flat_map(|(key, child)| arguments(child, &join(path, key)))
            .collect(),
        _ if matches!(node.at, Mark::Argument(_)) => vec![(path.to_string(), node.at.clone())],
        _ => Vec::new(),
    }
}

/// A list of seeds: at least one, none twice. `node` is where it stands, if anywhere.
pub(super) fn check_seeds(seeds: &[u64], node: Option<&Node>, path: &str, problems: &mut Problems) {
    let at = node.map_or(&Mark::Default, |node| &node.at);
    if seeds.is_empty() {
        problems.add(at, path, "expected at least one seed, found an empty list");
    }
    let mut seen = HashSet::new();
    if let Some(twice) = seeds.iter().find(|seed| !seen.insert(**seed)) {
        let what = format!("expected different seeds, found {twice} twice");
        problems.add(at, path, what);
    }
}

/// The study's list of schemes, each of which must be there.
pub(super) fn check_schemes(
    wanted: &[String],
    draft: &Draft,
    names: &[&str],
    problems: &mut Problems,
) {
    let list = draft.merged.get("schemes");
    let path = join(&draft.path, "schemes");
    let at = list.map_or(&Mark::Default, |node| &node.at);
    if wanted.is_empty() {
        problems.add(
            at,
            &path,
            "expected at least one scheme, found an empty list",
        );
    }
    let known: HashSet<&str> = names.iter().copied().collect();
    let mut seen = HashSet::new();
    for (i, name) in wanted.iter().enumerate() {
        if problems.is_full() {
            break;
        }
        let at = list
            .and_then(|l| l.find(&[i.to_string()]))
            .map_or(at, |node| &node.at);
        if !known.contains(name.as_str()) {
            let hint = hint(name, names.iter().copied());
            let what = format!(
                "expected names of [schemes.NAME] ({}), found {name:?}{hint}",
                names.join(", ")
            );
            problems.add(at, &path, what);
        } else if !seen.insert(name) {
            problems.add(at, &path, format!("{name:?} is named twice"));
        }
    }
}
