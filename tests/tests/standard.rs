//! The standard study: the text that it reads, its records, and where schemes stand among them.

use farspan_acceptance::{run, text};
use farspan_datasets::{DataConfig, NamedCorpus, TextData};
use farspan_reports::store::{RunDir, load_pack};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the repository")
        .to_path_buf()
}

/// Two machines and two years read the same tokens, dealt to the same parts.
#[test]
fn the_text_is_the_one_of_the_protocol() {
    let config = DataConfig {
        corpus: Some(NamedCorpus::Standard1),
        ..DataConfig::default()
    };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let found = TextData::open(&config, Path::new("."), cache.path()).expect("the text");
    let protocol = std::fs::read_to_string(root().join("docs/standard.md")).expect("the protocol");
    for words in [found.hash(), overlap(&found.description())] {
        assert!(protocol.contains(words), "docs/standard.md lacks {words}");
    }
}

/// `9.9 % of test stand in training`, as a description tells it.
fn overlap(description: &str) -> &str {
    let (before, _) = description
        .split_once(" stand in training")
        .expect("it is told");
    let start = before.rfind(" and ").expect("validation and test") + " and ".len();
    &before[start..]
}

fn json(args: &[&str]) -> Value {
    let made = run(args);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    serde_json::from_slice(&made.stdout).expect("JSON")
}

#[test]
fn results_are_those_of_the_records() {
    let made = run(&["rank"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let kept = std::fs::read_to_string(root().join("docs/results.md")).expect("the document");
    assert!(
        text(&made.stdout) == kept,
        "docs/results.md is old: run `farspan rank > docs/results.md`"
    );
}

/// The records in the program are those of the folder beside it, which is read like a run.
#[test]
fn records_are_read_like_a_run() {
    let folder = root().join("results/standard-1").display().to_string();
    let made = run(&["export", &folder, "--format", "jsonl"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let first = text(&made.stdout);
    let first: Value = serde_json::from_str(first.lines().next().expect("a line")).expect("JSON");
    assert!(first.get("study").is_some(), "{first}");
    let made = run(&["compare", &folder, &folder, "--json"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let size: u64 = std::fs::read_dir(root().join("results/standard-1"))
        .expect("the folder")
        .map(|entry| entry.and_then(|e| e.metadata()).expect("a file").len())
        .sum();
    assert!(size <= 15_000_000, "{size} bytes");
}

/// Of a scheme with records: a place in every study that it can be read in, within its range, with a page.
#[test]
fn a_scheme_has_a_place_in_every_study() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("rank.html").display().to_string();
    let rows = json(&["rank", "rope", "--json", "--page", &page]);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 7, "one for each study");
    for row in rows {
        let number = |key: &str| row[key].as_u64().expect("a number");
        let (best, place, worst) = (number("best"), number("place"), number("worst"));
        assert!(
            best <= place && place <= worst && worst <= number("of"),
            "{row}"
        );
        assert!(row["score"]["interval"]["low"].is_f64(), "{row}");
    }
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("standard-1: rope"));
}

/// The records of NoPE in a run folder of one's own, as those of a scheme that is not in the registry.
fn mine(out: &Path, change: impl Fn(&mut Value)) {
    let field = load_pack(&root().join("results/standard-1")).expect("the records");
    let mut plan = field.plan.clone();
    plan.cells.retain(|cell| cell.scheme == "nope");
    for cell in &mut plan.cells {
        cell.scheme = "mine".into();
        change(&mut cell.config);
    }
    let dir = RunDir::create(out, &plan, "", "").expect("a run folder");
    for cell in field.cells.iter().filter(|c| c.planned.scheme == "nope") {
        let mut result = cell.result.clone().expect("a result");
        result.scheme.name = "mine".into();
        dir.write_result(&cell.planned.id, &result)
            .expect("written");
    }
}

#[test]
fn a_scheme_of_ones_own_is_ranked_among_all_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    mine(&out, |_| ());
    let out = out.display().to_string();
    let own = "schemes.mine.custom.score=raw";
    let rows = json(&["rank", "mine", own, "--json", "--out", &out]);
    let theirs = json(&["rank", "nope", "--json", "--out", &out]);
    for (row, other) in rows
        .as_array()
        .expect("rows")
        .iter()
        .zip(theirs.as_array().expect("rows"))
    {
        assert_eq!(row["study"], other["study"]);
        // The same answers stand in the same place, and are each other's neighbours.
        assert_eq!(row["place"], other["place"], "{row}");
        assert_eq!(row["score"], other["score"]);
        assert_eq!(row["nearest"][0], "nope");
        let of = |row: &Value| row["of"].as_u64().expect("a number");
        assert_eq!(of(row), of(other) + 1, "one more than without it");
    }
    assert!(Path::new(&out).join("rank.html").is_file());
}

/// What was trained or asked in another way is not ranked.
#[test]
fn records_of_another_protocol_are_refused() {
    for (key, what) in [
        ("train", "steps"),
        ("evaluate", "task"),
        ("architecture", "norm"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("out");
        mine(&out, |config| config[key][what] = Value::from(1));
        let own = "schemes.mine.custom.score=raw";
        let made = run(&["rank", "mine", own, "--out", &out.display().to_string()]);
        assert_eq!(made.status.code(), Some(65), "{key}");
        let words = format!("its {key} differs");
        assert!(
            text(&made.stderr).contains(&words),
            "{}",
            text(&made.stderr)
        );
    }
}

#[test]
fn schemes_of_ones_own_are_known_by_config_and_by_argument() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("mine.toml");
    std::fs::write(
        &config,
        "[schemes.mine.custom]\nscore = \"raw - 0.1 * log1p(q - k)\"\n",
    )
    .expect("a config");
    let (config, out) = (
        config.display().to_string(),
        folder.path().join("out").display().to_string(),
    );
    let cases: [(&[&str], &str); 6] = [
        (&["mine", "--config", &config], "mine has no records"),
        (
            &["mine", "schemes.mine.custom.score=raw - 0.1 * log1p(q - k)"],
            "mine has no records",
        ),
        (&["mine"], "no scheme is named \"mine\""),
        (&["alibbi"], "did you mean \"alibi\"?"),
        (&["alibi", "train.steps=1"], "the protocol stands as it is"),
        (&["mine", "schemes.mine.custom.score=raw -"], "score"),
    ];
    for (args, words) in cases {
        let all = [&["rank"], args, &["--out", &out]].concat();
        let made = run(&all);
        assert_eq!(made.status.code(), Some(2), "{args:?}");
        assert!(
            text(&made.stderr).contains(words),
            "{args:?}: {}",
            text(&made.stderr)
        );
    }
    assert!(!Path::new(&out).exists(), "nothing was written");
}
