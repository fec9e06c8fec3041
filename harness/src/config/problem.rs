//! What is wrong with a config, where it stands, and how that is shown.

use super::tree::{Mark, Node};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The file that a config was read from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its path as the user gave it.
    pub(super) label: String,
    pub(super) text: String,
}

impl Source {
    /// Line and column of a byte, from 1; columns count characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let before = self
            .text
            .get(..byte.min(self.text.len()))
            .unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// The line of a span with carets under it.
    fn excerpt(&self, span: &Range<usize>) -> String {
        let (line, column) = self.position(span.start);
        let content = self.text.lines().nth(line - 1).unwrap_or_default();
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let inside = self
            .text
            .get(span.clone())
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let carets = "^".repeat(inside.chars().count().max(1));
        let indent = " ".repeat(column - 1);
        format!("\n{gutter} |\n{number} | {content}\n{gutter} | {indent}{carets}")
    }

    pub(super) fn origin(&self, mark: &Mark) -> Origin {
        match mark {
            Mark::Default => Origin::Default,
            Mark::Base(name) => Origin::Base(name.to_string()),
            Mark::Argument(_) => Origin::CommandLine,
            Mark::Swept(_) => Origin::Sweep,
            Mark::File(span) => {
                let (line, column) = self.position(span.start);
                Origin::File {
                    file: self.label.clone(),
                    line,
                    column,
                }
            }
        }
    }
}

/// Where the value of a setting came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// An extension took it over from the scheme of this name.
    Base(String),
    /// A place in the file; line and column count from 1.
    File {
        /// Path as it was given.
        file: String,
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// A `KEY=VALUE` argument or a flag.
    CommandLine,
    /// A point of `[sweep]`.
    Sweep,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Base(name) => write!(f, "as in {name}"),
            Origin::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Sweep => f.write_str("sweep"),
        }
    }
}

/// The origin of every value of a resolved config, by key path (`studies.language.train.lr`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value at `path` came from.
    pub fn get(&self, path: &str) -> &Origin {
        self.0.get(path).unwrap_or(&Origin::Default)
    }

    /// Notes every value of `node`, which stands at `path`.
    pub(super) fn note(&mut self, source: &Source, path: &str, node: &Node) {
        for (key, child) in node.entries() {
            let path = join(path, key);
            self.0.insert(path.clone(), source.origin(&child.at));
            self.note(source, &path, child);
        }
    }
}

/// A key path with one more step.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) at: Mark,
    /// Key path; empty for the file as a whole.
    pub(super) key: String,
    pub(super) what: String,
}

impl Problem {
    fn render(&self, source: &Source) -> String {
        let key = if self.key.is_empty() {
            String::new()
        } else {
            format!("{}: ", self.key)
        };
        match &self.at {
            Mark::File(span) => {
                let (line, column) = source.position(span.start);
                let excerpt = source.excerpt(span);
                format!(
                    "{}:{line}:{column}: {key}{}{excerpt}",
                    source.label, self.what
                )
            }
            Mark::Argument(argument) => {
                format!("command line, `{argument}`: {key}{}", self.what)
            }
            Mark::Swept(point) => format!("{}, sweep {point}: {key}{}", source.label, self.what),
            Mark::Default | Mark::Base(_) => format!("{}: {key}{}", source.label, self.what),
        }
    }
}

/// What was found wrong so far. The same mistake, seen from two studies, is told once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    told: usize,
}

impl Problems {
    pub(super) fn add(&mut self, at: &Mark, key: impl Into<String>, what: impl Into<String>) {
        let problem = Problem {
            at: at.clone(),
            key: key.into(),
            what: what.into(),
        };
        let known = |p: &Problem| {
            p.what == problem.what
                && (p.key == problem.key || !matches!(p.at, Mark::Default))
                && p.at == problem.at
        };
        self.told += 1;
        if !self.list.iter().any(known) {
            self.list.push(problem);
        }
    }

    /// How often something was found wrong, repetitions included.
    pub(super) fn told(&self) -> usize {
        self.told
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The error, in the order of the file. Keys are named as they are written in `root`.
    pub(super) fn error(mut self, source: &Source, root: &Node) -> ConfigError {
        for problem in self.list.iter_mut().filter(|p| !p.key.is_empty()) {
            match &problem.at {
                Mark::File(_) => {
                    if let Some(path) = root.path_of(&problem.at) {
                        problem.key = path.join(".");
                    }
                }
                // A shared key that was found wrong in a study is named as it was given.
                Mark::Argument(argument) => {
                    let given = argument.split('=').next().unwrap_or_default();
                    if problem.key.ends_with(&format!(".{given}")) {
                        problem.key = given.to_string();
                    }
                }
                _ => {}
            }
        }
        let place = |p: &Problem| match &p.at {
            Mark::File(span) => span.start,
            _ => usize::MAX,
        };
        self.list.sort_by_key(place);
        self.list.dedup();
        ConfigError {
            problems: self.list.iter().map(|p| p.render(source)).collect(),
        }
    }
}

/// A config that cannot be run. Displays every problem with file, line, key path, rule and the value found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    pub(super) fn one(problem: &Problem, source: &Source) -> ConfigError {
        ConfigError {
            problems: vec![problem.render(source)],
        }
    }

    /// One text per problem.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for crate::Error {
    fn from(error: ConfigError) -> crate::Error {
        crate::Error::Config(error.to_string())
    }
}
