//! What is wrong with a config, where it stands, and how that is shown.

use super::all_schemes;
use super::tree::{Mark, Node};
use farspan_datasets::foreign::{ends, excerpt};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Problems that are told; of more only the number is.
const MOST: usize = 100;
/// Characters of a line that are shown on either side of a place in it.
const AROUND: usize = 100;
/// Characters of what one problem says, beside where it stands.
const LONGEST: usize = 2000;
/// Bytes from one count of characters to the next.
const BLOCK: usize = 1024;

/// The file that a config was read from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its path as the user gave it.
    pub(super) label: String,
    pub(super) text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    /// Characters before each block of bytes.
    blocks: Vec<usize>,
}

impl Source {
    pub(super) fn new(label: &str, text: &str) -> Source {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
        let mut blocks = vec![0];
        for block in text.as_bytes().chunks(BLOCK) {
            blocks.push(blocks[blocks.len() - 1] + characters(block));
        }
        Source {
            label: label.to_string(),
            text: text.to_string(),
            lines: lines.collect(),
            blocks,
        }
    }

    /// Line and column of a byte, from 1; columns count characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.lines.partition_point(|start| *start <= byte);
        let before = |byte: usize| {
            let block = byte / BLOCK;
            self.blocks[block] + characters(&self.text.as_bytes()[block * BLOCK..byte])
        };
        (line, before(byte) - before(self.lines[line - 1]) + 1)
    }

    /// The line of a span, as far as it is near, with carets under the span.
    fn excerpt(&self, span: &Range<usize>) -> String {
        let at = self.text.floor_char_boundary(span.start);
        let (line, _) = self.position(at);
        let end = self
            .lines
            .get(line)
            .map_or(self.text.len(), |next| next - 1);
        let (before, after) = (
            &self.text[self.lines[line - 1]..at],
            self.text[at..end.max(at)].trim_end_matches('\r'),
        );
        let start = before.char_indices().rev().nth(AROUND - 1);
        let start = start.map_or(0, |(start, _)| start);
        let stop = after.char_indices().nth(AROUND);
        let stop = stop.map_or(after.len(), |(stop, _)| stop);
        let dots = |is_cut: bool| if is_cut { "…" } else { "" };
        let left = format!("{}{}", dots(start > 0), &before[start..]);
        let right = format!("{}{}", &after[..stop], dots(stop < after.len()));
        let inside = self.text.floor_char_boundary(span.end).clamp(at, at + stop) - at;
        let carets = "^".repeat(after[..inside].chars().count().max(1));
        let indent = " ".repeat(left.chars().count());
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        format!("\n{gutter} |\n{number} | {left}{right}\n{gutter} | {indent}{carets}")
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

/// Characters that begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
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
            format!("{}: ", excerpt(&self.key))
        };
        let what = ends(&self.what, LONGEST);
        match &self.at {
            Mark::File(span) => {
                let (line, column) = source.position(span.start);
                let lines = source.excerpt(span);
                format!("{}:{line}:{column}: {key}{what}{lines}", source.label)
            }
            Mark::Argument(argument) => {
                format!("command line, `{}`: {key}{what}", excerpt(argument))
            }
            Mark::Swept(point) => {
                format!("{}, sweep {}: {key}{what}", source.label, excerpt(point))
            }
            Mark::Default | Mark::Base(_) => format!("{}: {key}{what}", source.label),
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
        if self.is_full() {
            return;
        }
        if !self.list.iter().any(known) {
            self.list.push(problem);
        }
    }

    /// Whether more problems would not be told. What is wrong then is wrong; the rest need not be looked at.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MOST
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
                    // An added scheme has no place of its own.
                    let path = root.path_of(&problem.at);
                    if let Some(path) = path.filter(|path| path[..] != [all_schemes::KEY]) {
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
        let mut problems: Vec<String> = self.list.iter().map(|p| p.render(source)).collect();
        if self.is_full() {
            problems.push(format!(
                "{}: these are the first {MOST} problems",
                source.label
            ));
        }
        ConfigError { problems }
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
