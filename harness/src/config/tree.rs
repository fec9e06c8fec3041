//! A config as a tree of values that know where they were written.

use super::problem::{Problem, Source};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value or key was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    /// Nowhere: a default.
    Default,
    /// Taken over from the scheme of this name.
    Base(Arc<str>),
    /// These bytes of the file.
    File(Range<usize>),
    /// This argument of the command line.
    Argument(Arc<str>),
    /// A point of the sweep, as `key=value`.
    Swept(Arc<str>),
}

impl Mark {
    /// Which of two values wins: the higher.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Mark::Default | Mark::Base(_) => 0,
            Mark::File(_) => 1,
            Mark::Argument(_) => 2,
            Mark::Swept(_) => 3,
        }
    }
}

/// A value with the marks of its key and of itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) key: Mark,
    pub(super) at: Mark,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// In the order of the file.
    Table(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
}

impl Node {
    pub(super) fn empty(mark: Mark) -> Node {
        Node {
            key: mark.clone(),
            at: mark,
            value: Value::Table(Vec::new()),
        }
    }

    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().iter().map(|(key, _)| key.as_str())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, node)| node)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().find(|(k, _)| k == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// The value at `path`; steps into lists are numbers.
    pub(super) fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match &node.value {
            Value::List(items) => items.get(step.as_ref().parse::<usize>().ok()?),
            _ => node.get(step.as_ref()),
        })
    }

    /// The value at a path written with dots, whose steps have none themselves.
    pub(super) fn dotted(&self, path: &str) -> Option<&Node> {
        self.find(&path.split('.').collect::<Vec<_>>())
    }

    /// Puts `node` at `path` and makes the tables on the way. Fails at the first step that is no table.
    pub(super) fn put(&mut self, path: &[String], node: Node) -> Result<(), Vec<String>> {
        let Some((last, way)) = path.split_last() else {
            return Ok(());
        };
        let mut table = self;
        for (depth, step) in way.iter().enumerate() {
            if table.get(step).is_none() {
                table.push(step, Node::empty(node.key.clone()));
            }
            table = match table.get_mut(step) {
                Some(next) if next.is_table() => next,
                _ => return Err(path[..=depth].to_vec()),
            };
        }
        match table.get_mut(last) {
            Some(old) => *old = node,
            None => table.push(last, node),
        }
        Ok(())
    }

    pub(super) fn push(&mut self, key: &str, node: Node) {
        if let Value::Table(entries) = &mut self.value {
            entries.push((key.to_string(), node));
        }
    }

    /// Takes out the value at `path`.
    pub(super) fn take<S: AsRef<str>>(&mut self, path: &[S]) -> Option<Node> {
        let (step, rest) = path.split_first()?;
        let step = step.as_ref();
        match &mut self.value {
            Value::Table(entries) => {
                let at = entries.iter().position(|(key, _)| key == step)?;
                match rest {
                    [] => Some(entries.remove(at).1),
                    rest => entries[at].1.take(rest),
                }
            }
            Value::List(items) => {
                let at = step.parse::<usize>().ok().filter(|&at| at < items.len())?;
                match rest {
                    [] => Some(items.remove(at)),
                    rest => items[at].take(rest),
                }
            }
            _ => None,
        }
    }

    /// This tree with `over` laid on top. At a leaf the higher rank wins, at equal rank `over`.
    pub(super) fn merged(mut self, over: &Node) -> Node {
        if !(self.is_table() && over.is_table()) {
            return if self.at.rank() > over.at.rank() {
                self
            } else {
                over.clone()
            };
        }
        for (key, node) in over.entries() {
            match self.take(&[key]) {
                Some(old) => self.push(key, old.merged(node)),
                None => self.push(key, node.clone()),
            }
        }
        Node {
            key: over.key.clone(),
            at: over.at.clone(),
            value: self.value,
        }
    }

    /// Of the keys in `group`, of which a table may have one, keeps those of the highest rank.
    pub(super) fn settle(&mut self, group: &[&str]) {
        let rank = |table: &Node, key: &str| table.get(key).map(|n| n.at.rank());
        let highest = group.iter().filter_map(|key| rank(self, key)).max();
        for key in group {
            if rank(self, key) < highest {
                self.take(&[key]);
            }
        }
    }

    /// The path at which `mark` stands as a key or value in this tree.
    pub(super) fn path_of(&self, mark: &Mark) -> Option<Vec<String>> {
        self.entries().iter().find_map(|(key, node)| {
            if node.key == *mark || node.at == *mark {
                return Some(vec![key.clone()]);
            }
            node.path_of(mark).map(|mut rest| {
                rest.insert(0, key.clone());
                rest
            })
        })
    }

    /// As JSON. It has no infinities: they become words, which no number field accepts.
    pub(super) fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Table(entries) => entries
                .iter()
                .map(|(key, node)| (key.clone(), node.json()))
                .collect(),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Text(text) => text.as_str().into(),
            Value::Integer(x) => (*x).into(),
            Value::Float(x) if x.is_finite() => (*x).into(),
            Value::Float(x) => x.to_string().into(),
            Value::Flag(x) => (*x).into(),
        }
    }

    /// The value in one line, as TOML writes it, without spaces: for names and messages.
    pub(super) fn compact(&self) -> String {
        let join = |parts: Vec<String>| parts.join(",");
        match &self.value {
            Value::Table(entries) => {
                let parts = entries
                    .iter()
                    .map(|(k, n)| format!("{k}={}", n.compact()))
                    .collect();
                format!("{{{}}}", join(parts))
            }
            Value::List(items) => format!("[{}]", join(items.iter().map(Node::compact).collect())),
            Value::Text(text) => text.split_whitespace().collect::<Vec<_>>().join("_"),
            Value::Integer(x) => x.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Flag(x) => x.to_string(),
        }
    }
}

/// Reads a whole file.
pub(super) fn parse(source: &Source) -> Result<Node, Problem> {
    let table = DeTable::parse(&source.text).map_err(|e| {
        let at = e.span().map_or(Mark::Default, Mark::File);
        Problem {
            at,
            key: String::new(),
            what: match is_yaml(&source.text) {
                true => format!(
                    "{}; this looks like YAML, and configs are TOML: key = value, tables as [name]",
                    e.message()
                ),
                false => e.message().to_string(),
            },
        }
    })?;
    let whole = Mark::File(0..0);
    let value = table_value(table.get_ref(), &|span| Mark::File(span))?;
    Ok(Node {
        key: whole.clone(),
        at: whole,
        value,
    })
}

/// Whether the first line that says something is `key:`, as in YAML.
fn is_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    let key = first
        .and_then(|line| line.split_once(':'))
        .map(|(key, _)| key);
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    key.is_some_and(|key| !key.is_empty() && key.chars().all(word))
}

/// Reads the value of an override; what is no TOML value is a string.
pub(super) fn parse_value(text: &str, mark: &Mark) -> Node {
    let parsed = DeValue::parse(text)
        .ok()
        .and_then(|v| value(v.get_ref(), &|_| mark.clone()).ok());
    let value = parsed.unwrap_or_else(|| Value::Text(text.to_string()));
    Node {
        key: mark.clone(),
        at: mark.clone(),
        value,
    }
}

/// Reads a key written with dots, as TOML reads it.
pub(super) fn parse_key(text: &str) -> Option<Vec<String>> {
    let line = format!("{text}=0");
    let table = DeTable::parse(&line).ok()?;
    let mut path = Vec::new();
    let mut table = table.get_ref().clone();
    loop {
        let (key, node) = table.iter().next()?;
        path.push(key.get_ref().to_string());
        let next = match node.get_ref() {
            DeValue::Table(next) => next.clone(),
            _ => return Some(path),
        };
        table = next;
    }
}

/// Turns a span into the mark of what stands there.
type Marker<'a> = &'a dyn Fn(Range<usize>) -> Mark;

fn table_value(table: &DeTable<'_>, mark: Marker<'_>) -> Result<Value, Problem> {
    let entry = |(key, item): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        let value = value(item.get_ref(), mark).map_err(|mut problem| {
            problem.at = mark(item.span());
            problem
        })?;
        Ok((
            key.get_ref().to_string(),
            Node {
                key: mark(key.span()),
                at: mark(item.span()),
                value,
            },
        ))
    };
    Ok(Value::Table(
        table.iter().map(entry).collect::<Result<_, _>>()?,
    ))
}

fn value(item: &DeValue<'_>, mark: Marker<'_>) -> Result<Value, Problem> {
    let bad = |what: String| Problem {
        at: Mark::Default,
        key: String::new(),
        what,
    };
    Ok(match item {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(x) => i64::from_str_radix(x.as_str(), x.radix())
            .map(Value::Integer)
            .map_err(|_| bad(format!("{x} is too large for a whole number of 64 bits")))?,
        DeValue::Float(x) => x
            .as_str()
            .parse()
            .map(Value::Float)
            .map_err(|_| bad(format!("{x} is not a number that can be held")))?,
        DeValue::Boolean(x) => Value::Flag(*x),
        DeValue::Datetime(x) => Value::Text(x.to_string()),
        DeValue::Array(items) => {
            let node = |item: &Spanned<DeValue<'_>>| {
                let at = mark(item.span());
                Ok(Node {
                    key: at.clone(),
                    at,
                    value: value(item.get_ref(), mark)?,
                })
            };
            Value::List(items.iter().map(node).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => table_value(table, mark)?,
    })
}
