//! What ARCHITECTURE.md and CONTRIBUTING.md promise of the sources, as far as a machine can see it.

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/operations.rs"]
mod operations;

use farspan_pe::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Ids of schemes that are words of their own, too.
const WORDS: [&str; 2] = ["learned", "string"];

/// Where schemes are named outside of `pe/`: what foreign configs say, the words of the reference library, and what speed
/// is compared under.
const TRANSLATE: [&str; 4] = [
    "harness/src/bench/",
    "harness/src/checkpoint/",
    "harness/src/cli/bench/",
    "harness/src/scheme.rs",
];

/// Lines of the largest file of a crate.
const LONGEST: usize = 400;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the repository").to_path_buf()
}

/// Sources below `folder`, by path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let of = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root");
        let name = name.to_string_lossy().replace('\\', "/");
        (name, read_to_string(&path).expect("a source"))
    };
    found.into_iter().map(of).collect()
}

/// The part of a source that is no test.
fn proper(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Sources of the program, without tests and what is made for them.
fn program(folder: &str) -> Vec<(String, String)> {
    let made_for_tests = |name: &str| {
        name.contains("/tests") || name.contains("/fixture") || name.contains("/testing")
    };
    let kept = sources(folder).into_iter();
    kept.filter(|(name, _)| !made_for_tests(name))
        .map(|(name, text)| (name, proper(&text).to_string()))
        .collect()
}

#[test]
fn no_scheme_is_named_outside_of_pe() {
    let registry = Registry::builtin();
    let ids = registry.entries().iter().map(|entry| entry.id);
    let ids: Vec<&str> = ids.filter(|id| !WORDS.contains(id)).collect();
    let mut wrong = Vec::new();
    for folder in [
        "attention/src",
        "datasets/src",
        "harness/src",
        "reports/src",
    ] {
        for (name, text) in program(folder) {
            if TRANSLATE.iter().any(|place| name.starts_with(place)) {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let is_code = !line.trim_start().starts_with("//");
                for id in ids.iter().filter(|_| is_code) {
                    if line.contains(&format!("\"{id}\"")) {
                        wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pages know a measure by its record: none is named where results are shown, but for reading those of earlier versions.
/// A scheme's folder is its card's family, and no folder is too full to look through.
#[test]
fn folders_of_schemes_are_their_families() {
    const MOST: usize = 20;
    let registry = Registry::builtin();
    let mut seen = 0;
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    for (name, text) in sources("pe/src/schemes") {
        let (folder, _) = name.rsplit_once('/').expect("a folder");
        *files.entry(folder.to_string()).or_default() += 1;
        let inside = name.trim_start_matches("pe/src/schemes/");
        let ids = proper(&text).split("const ID: &'static str = \"").skip(1);
        for id in ids.filter_map(|rest| rest.split('"').next()) {
            let family = registry.get(id).expect(id).card.family.to_string();
            assert_eq!(inside.split('/').next(), Some(family.as_str()), "{id}");
            seen += 1;
        }
    }
    assert_eq!(seen, registry.entries().len());
    let full: Vec<_> = files.iter().filter(|(_, count)| **count > MOST).collect();
    assert!(full.is_empty(), "{full:?}");
}

#[test]
fn no_measure_is_named_where_results_are_shown() {
    let tasks = farspan_datasets::tasks::BUILTIN.iter().map(|task| task.id);
    let measures = farspan::measure::IDS.iter().copied();
    // The last is a word of pages and of other formats.
    let ids = measures.chain(tasks).filter(|id| *id != "task");
    let ids: Vec<&str> = ids.collect();
    let mut wrong = Vec::new();
    for (name, text) in program("reports/src") {
        if name.ends_with("store/upgrade.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let named = |id: &&&str| line.contains(&format!("\"{id}\""));
            if let Some(id) = ids.iter().find(named) {
                wrong.push(format!("{name}:{}: {id}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Which of our crates each names, in its manifest and in its sources.
#[test]
fn arrows_between_crates_point_one_way() {
    let may = BTreeMap::from([
        ("attention", BTreeSet::new()),
        ("datasets", BTreeSet::new()),
        ("reports", BTreeSet::new()),
        ("pe", BTreeSet::from(["attention"])),
        (
            "harness",
            BTreeSet::from(["attention", "datasets", "pe", "reports"]),
        ),
    ]);
    for (folder, allowed) in &may {
        let manifest = root().join(folder).join("Cargo.toml");
        let manifest = read_to_string(manifest).expect("a manifest");
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or("");
        for other in may.keys().filter(|other| *other != folder) {
            let named = dependencies.contains(&format!("farspan-{other}"));
            assert_eq!(named, allowed.contains(other), "{folder} -> {other}");
        }
        if ["datasets", "reports"].contains(folder) {
            assert!(!dependencies.contains("candle"), "{folder} -> candle");
        }
    }
}

/// One way from weights to loss: nothing below `model/` knows of files, and nothing asks where weights came from.
#[test]
fn the_decoder_knows_no_files() {
    for (name, text) in program("harness/src/model") {
        for word in [
            "crate::checkpoint",
            "std::fs",
            "crate::cell",
            "crate::grid",
            "crate::cli",
        ] {
            assert!(!text.contains(word), "{name} knows {word}");
        }
    }
    let decoders = program("harness/src").into_iter().filter(|(_, text)| {
        text.lines()
            .any(|line| line.trim_start().starts_with("pub struct Decoder"))
    });
    let names: Vec<String> = decoders.map(|(name, _)| name).collect();
    assert_eq!(names, ["harness/src/model/mod.rs"]);
}

#[test]
fn nothing_is_left_undone_and_no_test_is_left_out() {
    let folders = ["attention", "datasets", "harness", "pe", "reports", "tests"];
    for (name, text) in folders.iter().flat_map(|folder| sources(folder)) {
        // Put together, so that this file does not hold them.
        for word in [
            ["to", "do!("],
            ["unimple", "mented!("],
            ["#[ig", "nore"],
            ["FIX", "ME"],
        ] {
            assert!(!text.contains(&word.concat()), "{name}: {}", word.concat());
        }
    }
}

#[test]
fn no_file_of_a_crate_is_long() {
    let crates = ["attention", "datasets", "harness", "pe", "reports"];
    let all = crates.map(|name| sources(&format!("{name}/src")));
    let long = all.into_iter().flatten().filter_map(|(name, text)| {
        let lines = text.lines().count();
        (lines > LONGEST).then(|| format!("{name}: {lines}"))
    });
    let long: Vec<String> = long.collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// What a reader of CONTRIBUTING.md is to make.
const EXAMPLES: [&str; 2] = [
    "pe/src/schemes/bias/log_alibi.rs",
    "datasets/src/tasks/first_symbol.rs",
];

/// Every path that the two pages name is there.
#[test]
fn pages_name_what_there_is() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read_to_string(root().join(page)).expect("a page");
        let mut named = 0;
        // Code stands between backticks; every second piece is code.
        for word in text.split('`').skip(1).step_by(2) {
            let folders = [
                "attention/",
                "benches/",
                "datasets/",
                "docs/",
                "fuzz/",
                "harness/",
                "pe/",
                "reports/",
                "tests/",
            ];
            let is_path = !EXAMPLES.contains(&word)
                && folders.iter().any(|folder| word.starts_with(folder))
                && !word.contains([' ', '*', '<', '{', '…', '\n']);
            if is_path {
                named += 1;
                assert!(root().join(word).exists(), "{page}: {word}");
            }
        }
        assert!(named > 0, "{page} names no path");
    }
}
