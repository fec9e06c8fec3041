//! The config: one TOML file, laid over defaults and under `KEY=VALUE` arguments, to a checked [`Run`].
//!
//! Two steps: what the user wrote (a tree of values that know their place), and what it means ([`Run`], complete and
//! checked). Nothing downstream sees the first. Every problem is told with file, line, key path, rule and the value
//! found, and as many at once as can be told apart.

mod all_schemes;
mod bases;
mod beside;
mod check;
mod files;
mod given;
mod model;
pub mod numbers;
mod overrides;
mod problem;
mod read;
mod reads;
mod recipes;
mod resolved;
mod schema;
mod schemes;
mod settings;
mod studies;
pub(crate) mod suggest;
mod sweep;
#[cfg(test)]
mod tests;
mod training;
mod tree;
pub mod types;
mod variants;

pub use check::{LONGEST, Rules};
pub(crate) use files::settings;
pub use model::LARGEST;
pub use problem::{ConfigError, Origin, Origins};
pub use resolved::resolved_toml;
pub use schema::schema;
pub use types::*;

use crate::{Error, Result};
use farspan_attention::DeviceSpec;
use farspan_datasets::foreign;
use farspan_pe::Registry;
use farspan_reports::record::RunPlan;
use problem::{Problems, Source, join};
use schemes::Checked;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::Path;
use studies::Draft;
use suggest::hint;
use tree::{Mark, Node};

/// Bytes of a file beyond which it is taken for something else.
const LARGEST_FILE: u64 = 64 << 20;
/// More cells than this need a word of consent.
pub const MANY_CELLS: usize = 1000;

/// Keys of a config, in the order in which they are documented.
const KEYS: [&str; 15] = [
    "name",
    "seeds",
    "reference",
    "confidence",
    "margin",
    "device",
    "task",
    "data",
    "model",
    "train",
    "evaluate",
    "studies",
    "schemes",
    all_schemes::KEY,
    "sweep",
];

/// A config that was read and found good.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What to run.
    pub run: Run,
    /// Where each value came from.
    pub origins: Origins,
    /// The file as it was written.
    pub text: String,
    /// What runs, but probably not as it was meant; in sentences.
    pub warnings: Vec<String>,
}

/// Reads the file at `path`, lays `arguments` (`KEY=VALUE`, `~KEY`) over it and checks it against `registry`. More
/// than `most_cells` cells are an error.
pub fn load(
    path: &Path,
    arguments: &[String],
    registry: &Registry,
    most_cells: usize,
) -> Result<Loaded> {
    let label = path.display().to_string();
    let text = foreign::read_text(path, "a config", LARGEST_FILE)
        .map_err(|e| Error::Config(e.to_string()))?;
    let folder = path.parent();
    Ok(parse_in(
        folder,
        (&text, &label),
        arguments,
        registry,
        most_cells,
    )?)
}

/// [`load`] for a text; `label` names it in messages. Its paths start from the current folder.
pub fn parse(
    text: &str,
    label: &str,
    arguments: &[String],
    registry: &Registry,
    most_cells: usize,
) -> std::result::Result<Loaded, ConfigError> {
    parse_in(None, (text, label), arguments, registry, most_cells)
}

fn parse_in(
    folder: Option<&Path>,
    (text, label): (&str, &str),
    arguments: &[String],
    registry: &Registry,
    most_cells: usize,
) -> std::result::Result<Loaded, ConfigError> {
    let source = Source::new(label, text);
    let mut root = tree::parse(&source).map_err(|problem| ConfigError::one(&problem, &source))?;
    let warnings = folder.map(|folder| beside::find(&mut root, folder));
    let mut problems = Problems::default();
    overrides::apply(&mut root, arguments, &mut problems);
    all_schemes::add(&mut root, registry, &mut problems);
    variants::expand(&mut root, registry, most_cells, &mut problems);
    let mut reader = Reader {
        source: &source,
        registry,
        problems,
        warnings: warnings.unwrap_or_default(),
    };
    let read = reader.run(&root, most_cells);
    match read {
        Some((run, origins)) if reader.problems.is_empty() => {
            let text = text.to_string();
            Ok(Loaded {
                run,
                origins,
                text,
                warnings: reader.warnings,
            })
        }
        _ => Err(reader.problems.error(&source, &root)),
    }
}

/// Whether `text` is a key path of a config (`train.lr`), going by its first step.
pub(crate) fn is_key(text: &str) -> bool {
    KEYS.contains(&text.split('.').next().unwrap_or_default())
}

/// The keys that are no tables.
#[derive(Deserialize)]
#[serde(default)]
struct Top {
    name: Option<String>,
    #[serde(deserialize_with = "types::seeds")]
    seeds: Vec<u64>,
    reference: Option<String>,
    confidence: f64,
    margin: f64,
    device: String,
}

impl Default for Top {
    fn default() -> Top {
        Top {
            name: None,
            seeds: vec![0],
            reference: None,
            confidence: 0.95,
            margin: RunPlan::default_margin(),
            device: "cpu".into(),
        }
    }
}

struct Reader<'a> {
    source: &'a Source,
    registry: &'a Registry,
    problems: Problems,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn run(&mut self, root: &Node, most_cells: usize) -> Option<(Run, Origins)> {
        self.unknown_keys(root);
        let top = self.top(root);
        let schemes = schemes::read_all(root, self.registry, &mut self.problems);
        for scheme in schemes.iter().filter(|s| s.parsed.card().experimental) {
            self.warnings.push(format!(
                "scheme {} is experimental: the formula of {} could not be confirmed from outside",
                scheme.config.name, scheme.config.id
            ));
        }
        let drafts = studies::drafts(root, &mut self.problems);
        let drafts = sweep::expand(root, drafts, most_cells, &mut self.problems);
        let mut origins = Origins::default();
        origins.note(self.source, "", root);
        let complete =
            root.get("schemes").map_or(0, |table| table.entries().len()) == schemes.len();
        let mut studies = Vec::new();
        for draft in drafts {
            if self.problems.is_full() {
                break;
            }
            studies.extend(self.study(draft, &schemes, complete, root, &mut origins));
        }
        schemes
            .iter()
            .for_each(|scheme| scheme.note(self.source, &mut origins));
        let top = top?;
        let run = Run {
            name: top.name.unwrap_or_else(|| self.stem()),
            seeds: top.seeds,
            reference: top.reference,
            confidence: top.confidence,
            margin: top.margin,
            device: top.device,
            schemes: schemes.into_iter().map(|scheme| scheme.config).collect(),
            studies,
        };
        let cells = run.cells();
        if cells > most_cells {
            let what = format!("{cells} cells, more than {most_cells}; --yes allows them");
            self.problems.add(&Mark::Default, "", what);
        }
        Some((run, origins))
    }

    fn unknown_keys(&mut self, root: &Node) {
        for (key, node) in root
            .entries()
            .iter()
            .filter(|(key, _)| !KEYS.contains(&key.as_str()))
        {
            let what = match hint(key, KEYS) {
                hint if hint.is_empty() => format!("unknown key; known keys: {}", KEYS.join(", ")),
                hint => format!("unknown key{hint} Known keys: {}", KEYS.join(", ")),
            };
            self.problems.add(&node.key, key.as_str(), what);
            if self.problems.is_full() {
                break;
            }
        }
    }

    fn top(&mut self, root: &Node) -> Option<Top> {
        let mut node = Node::empty(Mark::Default);
        for key in &KEYS[..6] {
            if let Some(value) = root.get(key) {
                node.push(key, value.clone());
            }
        }
        let top: Top = read::read(&node, "", &mut self.problems)?;
        let problems = &mut self.problems;
        let mut rule = |key: &str, expected: &str, found: String, holds: bool| {
            if !holds {
                let at = root.get(key).map_or(&Mark::Default, |node| &node.at);
                problems.add(at, key, format!("expected {expected}, found {found}"));
            }
        };
        let name = top.name.as_deref().unwrap_or("run");
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let fine = (1..=80).contains(&name.len())
            && !name.starts_with(['.', '-'])
            && name.chars().all(plain);
        let letters =
            "1 to 80 letters, digits or . _ + - (it names a folder), not beginning with . or -";
        rule("name", letters, format!("{name:?}"), fine);
        let confidence = top.confidence;
        let fraction = confidence > 0.0 && confidence < 1.0;
        rule(
            "confidence",
            "a fraction above 0, below 1",
            confidence.to_string(),
            fraction,
        );
        rule(
            "margin",
            "a finite number of nats above 0",
            top.margin.to_string(),
            top.margin > 0.0 && top.margin.is_finite(),
        );
        if let Some(reference) = &top.reference {
            let names: Vec<&str> = root
                .get("schemes")
                .into_iter()
                .flat_map(Node::keys)
                .collect();
            let hint = hint(reference, names.iter().copied());
            let expected = format!("a scheme of this config ({})", names.join(", "));
            let known = names.contains(&reference.as_str());
            let found = format!("{reference:?}{hint}");
            rule("reference", &expected, found, known);
        }
        if let Err(error) = top.device.parse::<DeviceSpec>() {
            let why = match error {
                farspan_attention::Error::Device { why, .. } => why,
                other => other.to_string(),
            };
            let at = root.get("device").map_or(&Mark::Default, |node| &node.at);
            problems.add(at, "device", format!("{why}, found {:?}", top.device));
        }
        studies::check_seeds(&top.seeds, root.get("seeds"), "seeds", problems);
        Some(top)
    }

    /// `complete` says that no scheme was left out because of a mistake in it.
    fn study(
        &mut self,
        mut draft: Draft,
        schemes: &[Checked],
        complete: bool,
        root: &Node,
        origins: &mut Origins,
    ) -> Option<(String, StudyConfig)> {
        draft.filter(&mut self.problems);
        let (mut study, rest): (StudyConfig, Node) =
            read::salvage(&draft.merged, &draft.path, &mut self.problems)?;
        draft.merged = rest;
        let shape = check::study(&mut study, &draft, &mut self.problems, &mut self.warnings);
        origins.note(self.source, &join("studies", &draft.name), &draft.merged);
        if let Some(seeds) = &study.seeds {
            let path = join(&draft.path, "seeds");
            studies::check_seeds(seeds, draft.merged.get("seeds"), &path, &mut self.problems);
        }
        if let Some(wanted) = &study.schemes {
            let names: Vec<&str> = root
                .get("schemes")
                .into_iter()
                .flat_map(Node::keys)
                .collect();
            studies::check_schemes(wanted, &draft, &names, &mut self.problems);
        }
        let wanted = study.schemes.as_ref();
        let wanted: Option<HashSet<&String>> = wanted.map(|names| names.iter().collect());
        let here = |name: &String| wanted.as_ref().is_none_or(|wanted| wanted.contains(name));
        for scheme in schemes.iter().filter(|s| here(&s.config.name)) {
            if let Some(base) = scheme
                .config
                .base
                .as_ref()
                .filter(|base| complete && !here(base))
            {
                let at = draft
                    .merged
                    .get("schemes")
                    .map_or(&Mark::Default, |node| &node.at);
                let what = format!(
                    "{} extends {base}, which is not among them; add it",
                    scheme.config.name
                );
                self.problems.add(at, join(&draft.path, "schemes"), what);
            }
            if let Some(shape) = &shape {
                training::scheme(scheme, &study, &draft.name, shape, &mut self.problems);
                given::ids(scheme, &study, &draft.name, shape, &mut self.problems);
            }
        }
        Some((draft.name, study))
    }

    /// A name for a run without one: the file's.
    fn stem(&self) -> String {
        let stem = Path::new(&self.source.label)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "._+-".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = stem.chars().map(plain).take(80).collect();
        let name = name.trim_start_matches(['.', '-']);
        if name.is_empty() {
            "run".into()
        } else {
            name.into()
        }
    }
}
