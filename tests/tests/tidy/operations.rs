//! An operation of the score language is one line in each lowering.

use super::{proper, root};
use std::fs::read_to_string;

/// Files of lowerings, and how many tables of operations each has: values, and slopes where they stand apart.
const LOWERINGS: [(&str, usize); 5] = [
    ("expr/eval.rs", 1),
    ("expr/grad.rs", 1),
    ("composed/value.rs", 1),
    ("fused/rowwise.rs", 2),
    ("gpu/attend/rules.rs", 1),
];

fn text(file: &str) -> String {
    let path = root().join("attention/src").join(file);
    proper(&read_to_string(path).expect(file)).to_string()
}

/// Names of the variants of an enum.
fn variants<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let start = text.find(&format!("pub enum {name} {{")).expect(name);
    let body = text[start..].split('}').next().unwrap_or_default();
    let lines = body.lines().skip(1).map(str::trim);
    lines
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.strip_suffix(','))
        .collect()
}

#[test]
fn an_operation_is_one_line_in_each_lowering() {
    let tree = text("expr/tree.rs");
    let mut wrong = Vec::new();
    for (kind, least) in [("Unary", 9), ("Binary", 7)] {
        let names = variants(&tree, kind);
        assert!(names.len() >= least, "{kind}: {names:?}");
        for (file, tables) in LOWERINGS {
            let text = text(file);
            for name in &names {
                let whole = format!("{kind}::{name}");
                let mentions = |line: &&str| {
                    let mut after = line.split(&whole).skip(1);
                    after.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
                };
                let found = text.lines().filter(mentions).count();
                if found != tables {
                    wrong.push(format!("{file}: {whole} on {found} lines, not {tables}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
