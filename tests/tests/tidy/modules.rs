//! No modules of `attention` depend on each other in a circle: neither files, nor a file and one below it.
//!
//! What a module depends on is read off its paths: those of `use`, those that start with `crate`, `super` or `self`, and
//! those that start with a name that a `use` brought in. A path leads to the file that has what it names; what a file
//! only hands on (`pub use`) leads through it.

use super::sources;
use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// A file: what its names stand for, and what it mentions.
#[derive(Debug, Default)]
struct Module {
    names: BTreeMap<String, Path>,
    paths: BTreeSet<Path>,
}

/// The modules of a crate, by path from its root.
struct Modules(BTreeMap<Path, Module>);

/// The text without comments, strings and the modules of tests.
fn bare(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    let (mut before, mut inside) = (' ', false);
    while let Some(c) = rest.next() {
        match c {
            '\\' if inside => {
                rest.next();
            }
            // A quotation mark as a character is no string.
            '"' if inside || before != '\'' => inside = !inside,
            '/' if !inside && rest.peek() == Some(&'/') => {
                for c in rest.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
                out.push('\n');
            }
            c if !inside => out.push(c),
            _ => {}
        }
        before = c;
    }
    // Who may see an item says nothing of what it needs.
    let mut parts = out.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |out, part| {
        out + part.split_once(')').map_or(part, |(_, rest)| rest)
    })
}

fn path(text: &str) -> Path {
    let parts = text.split("::").map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(String::from)
        .collect()
}

/// The paths of one `use`, each with the name that it gets.
fn spread(text: &str, prefix: &[String], found: &mut Vec<(String, Path)>) {
    let text = text.trim();
    if let Some((head, inner)) = text.split_once('{') {
        let mut prefix = prefix.to_vec();
        prefix.extend(path(head));
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        let (mut depth, mut start) = (0, 0);
        for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    spread(&inner[start..at], &prefix, found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (text, alias) = match text.split_once(" as ") {
        Some((text, alias)) => (text, Some(alias.trim().to_string())),
        None => (text, None),
    };
    let mut whole = prefix.to_vec();
    whole.extend(path(text));
    if whole.len() > 1 && whole.last().is_some_and(|last| last == "self") {
        whole.pop();
    }
    if let Some(last) = whole.last().cloned() {
        found.push((alias.unwrap_or(last), whole));
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Module {
    fn read(text: &str) -> Module {
        let text = bare(text);
        let mut module = Module::default();
        let mut body = String::new();
        let mut parts = text.split("use ");
        let mut last = parts.next().unwrap_or_default();
        body += last;
        for part in parts {
            // `reuse ` is no `use `.
            let (used, rest) = match part.split_once(';') {
                Some(split) if !last.ends_with(is_name) => split,
                _ => ("", part),
            };
            let mut found = Vec::new();
            spread(&used.replace('\n', " "), &[], &mut found);
            for (name, path) in found {
                module.paths.insert(path.clone());
                module.names.insert(name, path);
            }
            body += rest;
            last = part;
        }
        let inside = |c: char| !(is_name(c) || c == ':');
        let words = body.split(inside).filter(|word| word.contains("::"));
        let words = words.filter(|word| !word.starts_with(':'));
        module.paths.extend(words.map(path));
        module
    }
}

impl Modules {
    fn read(files: impl IntoIterator<Item = (String, String)>) -> Modules {
        let read = |(name, text): (String, String)| {
            let name = name.trim_end_matches(".rs");
            let mut path: Path = name.split('/').map(String::from).collect();
            if path
                .last()
                .is_some_and(|last| ["mod", "lib"].contains(&last.as_str()))
            {
                path.pop();
            }
            (path, Module::read(&text))
        };
        Modules(files.into_iter().map(read).collect())
    }

    /// The module that a path in the module `from` leads to; `None` if it leads out of the crate.
    fn lead(&self, from: &[String], path: &[String], steps: usize) -> Option<Path> {
        // Names that stand for each other lead nowhere.
        let steps = steps.checked_sub(1)?;
        let (first, mut rest) = path.split_first()?;
        let mut at = from.to_vec();
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
                while rest.first().is_some_and(|next| next == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                let below = [from, &[name.to_string()]].concat();
                if self.0.contains_key(&below) {
                    at = below;
                } else {
                    let known = self.0[from]
                        .names
                        .get(name)
                        .filter(|known| *known != path)?;
                    let whole = [&known[..], rest].concat();
                    return self.lead(from, &whole, steps);
                }
            }
        }
        while let Some((next, after)) = rest.split_first() {
            let below = [&at[..], std::slice::from_ref(next)].concat();
            if self.0.contains_key(&below) {
                (at, rest) = (below, after);
                continue;
            }
            if let Some(known) = self.0.get(&at)?.names.get(next) {
                return self.lead(&at, &[&known[..], after].concat(), steps);
            }
            break;
        }
        Some(at)
    }

    /// What each module depends on. The root hands on only.
    fn arrows(&self) -> BTreeMap<&Path, BTreeSet<Path>> {
        let of = |(from, module): (&Path, &Module)| {
            let leads = module
                .paths
                .iter()
                .filter_map(|path| self.lead(from, path, 16));
            leads
                .filter(|to| to != from && !to.is_empty() && self.0.contains_key(to))
                .collect::<BTreeSet<Path>>()
        };
        self.0.iter().map(|entry| (entry.0, of(entry))).collect()
    }

    /// A circle, if there is one.
    fn circle(&self) -> Option<String> {
        let mut arrows = self.arrows();
        // What depends on nothing that is left is in no circle.
        loop {
            let done = arrows.iter().find(|(_, to)| to.is_empty());
            let Some(done) = done.map(|(from, _)| (*from).clone()) else {
                break;
            };
            arrows.remove(&done);
            arrows.values_mut().for_each(|to| {
                to.remove(&done);
            });
        }
        let mut at = (*arrows.keys().next()?).clone();
        let mut seen = Vec::new();
        while !seen.contains(&at) {
            seen.push(at.clone());
            at = arrows[&at].first()?.clone();
        }
        let start = seen.iter().position(|path| *path == at)?;
        seen.push(at);
        let names: Vec<String> = seen[start..].iter().map(|path| path.join("/")).collect();
        Some(names.join(" -> "))
    }
}

#[test]
fn modules_of_attention_point_one_way() {
    let files = sources("attention/src").into_iter();
    // These two are modules of tests.
    let apart = ["/tests", "/testing", "/equality"];
    let files = files.filter(|(name, _)| !apart.iter().any(|part| name.contains(part)));
    let inside = |(name, text): (String, String)| {
        let name = name.trim_start_matches("attention/src/").to_string();
        (name, text)
    };
    let modules = Modules::read(files.map(inside));
    assert!(modules.0.len() > 100, "{} modules", modules.0.len());
    let arrows: usize = modules.arrows().values().map(BTreeSet::len).sum();
    assert!(arrows > 300, "{arrows} arrows");
    assert_eq!(modules.circle(), None);
}

#[test]
fn circles_are_found() {
    let circle = |files: &[(&str, &str)]| {
        let files = files
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()));
        Modules::read(files).circle()
    };
    let root = ("lib.rs", "mod a;\nmod b;\npub use a::A;");
    let a = ("a.rs", "use crate::b::{self, B};\npub struct A(B);");
    assert_eq!(circle(&[root, a, ("b.rs", "pub struct B;")]), None);
    // By a name, by a whole path, and through what another hands on; words are nothing.
    for text in [
        "use super::a::A;",
        "fn f() { crate::a::f(); }",
        "use crate::A;",
    ] {
        let found = circle(&[root, a, ("b.rs", text)]);
        assert_eq!(found.as_deref(), Some("a -> b -> a"), "{text}");
    }
    let words = "// use super::a::A;\nconst WORDS: &str = \"crate::a\";";
    assert_eq!(circle(&[root, a, ("b.rs", words)]), None);
    // A file and one below it; a file that only hands on is none.
    let below = ("a/c.rs", "use super::D;");
    let both = ("a.rs", "mod c;\nuse c::C;\npub struct D;");
    assert!(circle(&[both, below]).is_some());
    let hands_on = ("a.rs", "mod c;\nmod d;\npub use c::C;\nuse d::D;");
    assert_eq!(
        circle(&[hands_on, below, ("a/d.rs", "pub struct D;")]),
        None
    );
}
