//! What the crates depend on: that it is used, that program and tests ask for the same of it, and under which licences it
//! comes.

use super::{root, sources};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::process::Command;

/// Dependencies that no source names: the sources of the first two are read, as part of the cargo corpus; the others are
/// there for their features.
const UNNAMED: [&str; 4] = ["anyhow", "candle-nn", "getrandom", "percent-encoding"];

#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for member in ["attention", "datasets", "harness", "pe", "reports", "tests"] {
        let manifest = read_to_string(root().join(member).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let text: String = sources(member).into_iter().map(|(_, text)| text).collect();
        let words: BTreeSet<&str> = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        let platforms = manifest.get("target").and_then(toml::Value::as_table);
        let platforms = platforms.into_iter().flat_map(|t| t.values());
        let tables = platforms
            .filter_map(toml::Value::as_table)
            .chain([&manifest])
            .flat_map(|table| [table.get("dependencies"), table.get("dev-dependencies")])
            .flatten();
        for name in tables
            .filter_map(toml::Value::as_table)
            .flat_map(|t| t.keys())
        {
            if !words.contains(name.replace('-', "_").as_str()) && !UNNAMED.contains(&name.as_str())
            {
                unused.push(format!("{member}: {name}"));
            }
        }
    }
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

/// Whether an SPDX expression is met by licences that are allowed: `OR` is a choice, `AND` and the old `/` are not mixed with
/// it in any manifest without parentheses.
fn met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let any = |part: &str| {
        part.split(" OR ")
            .any(|l| allowed.iter().any(|a| a == l.trim()))
    };
    expression.split(" AND ").all(any)
}

/// This platform, as rustc names it.
fn host() -> String {
    let told = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let told = String::from_utf8(told.stdout).expect("text");
    let mut lines = told.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: "));
    host.expect("a host").to_string()
}

/// `cargo run` after `./test.sh`, and the other way round, compiles no dependency again.
#[test]
fn the_program_and_the_tests_ask_for_the_same_features() {
    let tree = |args: &[&str]| -> BTreeSet<String> {
        let told = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--target", &host()])
            .args(["--prefix", "none", "--format", "{p} {f}"])
            .args(args)
            .current_dir(root())
            .output()
            .expect("cargo runs");
        let failed = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.success(), "{failed}");
        let told = String::from_utf8(told.stdout).expect("text");
        let lines = told.lines().map(|line| line.trim_end_matches(" (*)"));
        lines.map(str::to_string).collect()
    };
    let alone = tree(&["--package", "farspan", "--edges", "normal,build"]);
    let all = tree(&["--workspace"]);
    assert!(alone.len() > 200, "{}", alone.len());
    let differ: Vec<&str> = alone.difference(&all).map(String::as_str).collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// As `cargo deny check licenses` does, which needs a program that is not everywhere.
#[test]
fn licences_are_those_allowed() {
    let deny = read_to_string(root().join("deny.toml")).expect("deny.toml");
    let deny: toml::Table = deny.parse().expect("TOML");
    let allowed: Vec<String> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|licence| licence.as_str().expect("a name").to_string())
        .collect();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT/Apache-2.0", true),
        ("GPL-2.0-only OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT AND GPL-2.0-only", false),
    ] {
        assert_eq!(met(expression, &allowed), expected, "{expression}");
    }
    // Packages of other platforms may not be here.
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let rustc = String::from_utf8(rustc.stdout).expect("text");
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("a host");
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", host])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let failed = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.success(), "{failed}");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    // What only tests need is handed to nobody.
    let handed = |dep: &Value| {
        list(&dep["dep_kinds"])
            .iter()
            .any(|kind| kind["kind"] != "dev")
    };
    let nodes: BTreeMap<String, Vec<String>> = list(&told["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let deps = list(&node["deps"]);
            let deps = deps.iter().filter(|dep| handed(dep));
            (
                node["id"].to_string(),
                deps.map(|dep| dep["pkg"].to_string()).collect(),
            )
        })
        .collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = list(&told["workspace_members"])
        .iter()
        .map(Value::to_string)
        .collect();
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(nodes[&id].iter().cloned());
        }
    }
    assert!(found.len() > 200, "{}", found.len());
    let wrong: Vec<String> = list(&told["packages"])
        .iter()
        .filter(|package| found.contains(&package["id"].to_string()))
        .filter(|package| {
            !package["license"]
                .as_str()
                .is_some_and(|l| met(l, &allowed))
        })
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
