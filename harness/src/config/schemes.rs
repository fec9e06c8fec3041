//! `[schemes.NAME.ID]`: which schemes a run has, and which weights an extension reads.

use super::bases::{Names, base_fits, refuse_base};
use super::files;
use super::problem::{Origins, Problems, Source, join};
use super::read::read;
use super::settings::{self, Place};
use super::studies::check_name;
use super::training;
use super::tree::{Mark, Node, Value};
use super::types::{FinetuneConfig, SchemeConfig};
use crate::scheme::left_behind;
use farspan_pe::{AnyScheme, Needs, OVER, PlanError, Registry};
use std::collections::HashMap;

/// Keys of a scheme table that are ours, not the scheme's.
pub(super) const EXTENDS: &str = "extends";
const FINETUNE: &str = "finetune";

/// A scheme of the config, before its base is known.
pub(super) struct Written<'a> {
    name: &'a str,
    pub(super) id: String,
    /// Key path of its settings.
    pub(super) path: String,
    /// Its settings alone.
    settings: Node,
    /// Name of the base and where it stands.
    pub(super) base: Option<(String, Mark)>,
    finetune: Option<Node>,
    pub(super) at: Mark,
}

/// A checked scheme.
pub(super) struct Checked {
    pub(super) config: SchemeConfig,
    pub(super) parsed: Box<dyn AnyScheme>,
    /// As it is in each stage of its fine-tuning.
    pub(super) stages: Vec<Box<dyn AnyScheme>>,
    /// Its settings with marks, those of the base included.
    settings: Node,
    finetune: Option<Node>,
    base: Option<Mark>,
    pub(super) path: String,
}

/// Reads all schemes. Those that are wrong are reported and left out.
pub(super) fn read_all(root: &Node, registry: &Registry, problems: &mut Problems) -> Vec<Checked> {
    let Some(table) = root.get("schemes") else {
        let what = "expected at least one table [schemes.NAME.ID], such as [schemes.rope.rope]";
        problems.add(&Mark::Default, "schemes", what);
        return Vec::new();
    };
    if table.entries().is_empty() {
        problems.add(
            &table.at,
            "schemes",
            "expected at least one table [schemes.NAME.ID]",
        );
    }
    let written: Vec<Written<'_>> = table
        .entries()
        .iter()
        .filter_map(|(name, node)| written(name, node, registry, problems))
        .collect();
    let names = Names {
        all: table.keys().collect(),
        ids: written.iter().map(|w| (w.name, w.id.as_str())).collect(),
        id_of: written.iter().map(|w| (w.name, w.id.as_str())).collect(),
    };
    let mut ready: Vec<(usize, Checked)> = Vec::new();
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut schemas = HashMap::new();
    // Bases first: extensions take settings over from them.
    for extensions in [false, true] {
        for (position, scheme) in written.iter().enumerate() {
            if problems.is_full() {
                break;
            }
            let Ok(entry) = registry.get(&scheme.id) else {
                continue;
            };
            match (entry.card.needs, extensions) {
                (Needs::Scratch, false) if !scheme.goes_on() => {
                    refuse_base(scheme, problems);
                    if let Some(parsed) = parse(scheme, None, &mut schemas, registry, problems) {
                        place.insert(scheme.name, ready.len());
                        ready.push((position, parsed));
                    }
                }
                (needs, true) if needs != Needs::Scratch || scheme.goes_on() => {
                    if !base_fits(scheme, needs, &names, registry, problems) {
                        continue;
                    }
                    let base = scheme.base.as_ref().map(|(name, _)| name.as_str());
                    // A base that is wrong itself was reported already.
                    let Some(&base) = base.and_then(|name| place.get(name)) else {
                        continue;
                    };
                    let parsed = parse(
                        scheme,
                        Some(&ready[base].1),
                        &mut schemas,
                        registry,
                        problems,
                    );
                    ready.extend(parsed.map(|r| (position, r)));
                }
                _ => {}
            }
        }
    }
    ready.sort_by_key(|(position, _)| *position);
    ready.into_iter().map(|(_, ready)| ready).collect()
}

/// Splits one `[schemes.NAME]` into our keys and the scheme's.
fn written<'a>(
    name: &'a str,
    node: &Node,
    registry: &Registry,
    problems: &mut Problems,
) -> Option<Written<'a>> {
    let path = join("schemes", name);
    check_name(name, &node.key, &path, problems);
    let (id, table) = match node.entries() {
        [(id, table)] if table.is_table() => (id, table),
        entries => {
            let tables = entries.iter().filter(|(_, n)| n.is_table()).count();
            let stray = entries.iter().find(|(_, n)| !n.is_table());
            let (at, found) = match stray {
                Some((key, stray)) => (&stray.key, format!("the key `{key}`")),
                None => (&node.key, format!("{tables} of them")),
            };
            let what = format!(
                "expected exactly one table [{path}.ID] with the scheme's settings below it, found {found}; \
                 `farspan list schemes` shows the ids"
            );
            problems.add(at, &path, what);
            return None;
        }
    };
    if let Err(error) = registry.get(id) {
        problems.add(&table.key, join(&path, id), error.to_string());
        return None;
    }
    let path = join(&path, id);
    let mut settings = table.clone();
    files::load(&mut settings, &path, &mut |at, path, what| {
        problems.add(at, path, what)
    });
    let extends = settings.take(&[EXTENDS]);
    let named = matches!(
        settings.get("base"),
        Some(Node {
            value: Value::Text(_),
            ..
        })
    );
    let base = if named {
        settings.take(&["base"])
    } else {
        None
    };
    if let (Some(extends), Some(base)) = (&extends, &base) {
        let newer = if extends.at.rank() > base.at.rank() {
            base
        } else {
            extends
        };
        let what = "name the base once, as `extends`";
        if extends.at.rank() == base.at.rank() {
            problems.add(&newer.key, join(&path, EXTENDS), what);
        }
    }
    let base = match (extends, base) {
        (Some(extends), Some(base)) if base.at.rank() > extends.at.rank() => Some(base),
        (extends, base) => extends.or(base),
    };
    let base = base.and_then(|node| match &node.value {
        Value::Text(base) => Some((base.clone(), node.at.clone())),
        _ => {
            let what = format!(
                "expected the name of a scheme of this config, found {}",
                node.compact()
            );
            problems.add(&node.at, join(&path, EXTENDS), what);
            None
        }
    });
    let mut finetune = settings.take(&[FINETUNE]);
    if let Some(finetune) = &mut finetune {
        finetune.settle(&["length", "times"]);
    }
    let at = table.key.clone();
    Some(Written {
        name,
        id: id.clone(),
        path,
        settings,
        base,
        finetune,
        at,
    })
}

fn parse(
    scheme: &Written<'_>,
    base: Option<&Checked>,
    schemas: &mut HashMap<String, serde_json::Value>,
    registry: &Registry,
    problems: &mut Problems,
) -> Option<Checked> {
    let entry = registry.get(&scheme.id).ok()?;
    let mut settings = scheme.settings.clone();
    if let Some(base) = base {
        let stands_on = settings
            .get(OVER)
            .map(|over| (over.key.clone(), over.json()));
        let (is, path) = (settings::as_over(&base.config), join(&scheme.path, OVER));
        if let Some((at, _)) = stands_on.filter(|(_, over)| *over != is) {
            let what = format!("left out: it is the scheme that `{EXTENDS}` names, {is}");
            problems.add(&at, path, what);
            return None;
        }
        let schema = schemas
            .entry(scheme.id.clone())
            .or_insert_with(|| entry.schema());
        let own = base.config.settings.as_object();
        let left = own.and_then(|own| left_behind(own, schema));
        if let Some(why) = left.filter(|_| entry.card.needs == Needs::Scratch) {
            let path = join(&scheme.path, EXTENDS);
            problems.add(&scheme.at, path, format!("{}: {why}", scheme.id));
            return None;
        }
        settings::take_over(&mut settings, &base.config, schema);
    }
    let finetune = match &scheme.finetune {
        None => None,
        Some(node) => {
            let path = join(&scheme.path, FINETUNE);
            let read = read::<FinetuneConfig>(node, &path, problems);
            if let Some(finetune) = &read {
                training::finetune(finetune, node, &path, problems);
            }
            read
        }
    };
    let parsed = settings::parse(scheme.place(), &settings, registry, problems)?;
    let stages = settings::stages(
        scheme.place(),
        &settings,
        (finetune.as_ref(), scheme.finetune.as_ref()),
        registry,
        problems,
    )?;
    let config = SchemeConfig {
        name: scheme.name.to_string(),
        id: scheme.id.clone(),
        settings: parsed.settings(),
        base: base.map(|b| b.config.name.clone()),
        finetune,
    };
    let base = scheme.base.as_ref().map(|(_, at)| at.clone());
    Some(Checked {
        config,
        parsed,
        stages,
        settings,
        finetune: scheme.finetune.clone(),
        base,
        path: scheme.path.clone(),
    })
}

impl Written<'_> {
    /// Whether a scheme that could be trained from scratch goes on from the weights of another one, by fine-tuning.
    fn goes_on(&self) -> bool {
        self.base.is_some() && self.finetune.is_some()
    }

    fn place(&self) -> Place<'_> {
        Place {
            id: &self.id,
            path: &self.path,
            at: &self.at,
        }
    }
}

impl Checked {
    /// Where a plan's complaint about this scheme stands, and its words.
    pub(super) fn complaint(&self, error: &PlanError) -> (String, Mark, String) {
        let place = Place {
            id: &self.config.id,
            path: &self.path,
            at: &self.settings.key,
        };
        let (path, at) = settings::locate(error, &self.settings, place);
        (path, at, settings::plain(error))
    }

    /// Where the fine-tuning stands.
    /// Key path and place of a fine-tuning of weights that are trained here from scratch under the same scheme.
    pub(super) fn idle_finetune(&self) -> Option<(String, Mark)> {
        let finetune = self.finetune.as_ref().filter(|_| self.base.is_none())?;
        Some((join(&self.path, FINETUNE), finetune.key.clone()))
    }

    pub(super) fn finetune_mark(&self) -> Mark {
        self.finetune
            .as_ref()
            .map_or(Mark::Default, |node| node.at.clone())
    }

    /// Notes the origins of this scheme's values.
    pub(super) fn note(&self, source: &Source, origins: &mut Origins) {
        origins.note(source, &self.path, &self.settings);
        if let Some(finetune) = &self.finetune {
            origins.note(source, &join(&self.path, FINETUNE), finetune);
            let whole = Node {
                value: Value::Table(vec![(FINETUNE.into(), finetune.clone())]),
                ..finetune.clone()
            };
            origins.note(source, &self.path, &whole);
        }
        if let Some(at) = &self.base {
            let node = Node {
                key: at.clone(),
                at: at.clone(),
                value: Value::Flag(true),
            };
            let whole = Node {
                value: Value::Table(vec![(EXTENDS.into(), node.clone())]),
                ..node
            };
            origins.note(source, &self.path, &whole);
        }
    }
}
