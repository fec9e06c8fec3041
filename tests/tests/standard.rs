//! The standard study: the text that it reads, its records, and where schemes stand among them.

use farspan_acceptance::{run, text};
use farspan_datasets::{DataConfig, NamedCorpus, TextData};
use farspan_reports::fixture::{self, Options};
use farspan_reports::store::{RunDir, is_pack, load};
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

/// The document is there exactly if the program has records, and tells what they say.
#[test]
fn results_are_those_of_the_records() {
    let document = root().join("docs/results.md");
    let made = run(&["rank"]);
    if !is_pack(&root().join("results/standard-1")) {
        assert_eq!(made.status.code(), Some(65), "{}", text(&made.stdout));
        let words = "built without the records of standard-1";
        assert!(text(&made.stderr).contains(words), "{}", text(&made.stderr));
        assert!(!document.exists(), "a document without records");
        return;
    }
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let kept = std::fs::read_to_string(document).expect("the document");
    assert!(
        text(&made.stdout) == kept,
        "docs/results.md is old: run `farspan rank > docs/results.md`"
    );
    for picture in kept.split("](images/").skip(1) {
        let name = picture.split(')').next().expect("an end");
        assert!(root().join("docs/images").join(name).is_file(), "{name}");
    }
    let size: u64 = std::fs::read_dir(root().join("results/standard-1"))
        .expect("the folder")
        .map(|entry| entry.and_then(|e| e.metadata()).expect("a file").len())
        .sum();
    assert!(size <= 15_000_000, "{size} bytes");
}

/// A pack is read like the run that it was made from.
#[test]
fn packs_are_read_like_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let field = field(folder.path());
    let pack = folder.path().join("pack").display().to_string();
    let made = run(&["pack", &field, "-o", &pack]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let made = run(&["export", &pack, "--format", "csv"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(made.stdout.len() > 10_000, "a row for every sample");
    // Every sample is the same, so that every paired difference is 0, with an interval of no width.
    let compared = json(&["compare", &pack, &field, "--json"]);
    let studies = compared["studies"].as_array().expect("studies");
    let all = studies
        .iter()
        .flat_map(|s| s["differences"].as_array().expect("rows"));
    let all: Vec<&Value> = all.collect();
    assert!(all.len() > 20, "{} differences", all.len());
    for row in all {
        assert_eq!(row["difference"]["value"].as_f64(), Some(0.0), "{row}");
    }
    let page = folder.path().join("page.html").display().to_string();
    let made = run(&["report", &pack, "-o", &page]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
}

/// Records of an imagined study of the schemes of a config, in place of those in the program.
fn field(folder: &Path) -> String {
    let path = folder.join("field");
    let options = Options {
        language: true,
        retrieval: true,
        seeds: vec![0, 1, 2],
        ..Options::default()
    };
    fixture::write(&path, &options).expect("a run folder");
    path.display().to_string()
}

/// A place in every study, within its range, with a page.
#[test]
fn a_scheme_has_a_place_in_every_study() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (field, page) = (field(folder.path()), folder.path().join("rank.html"));
    let page = page.display().to_string();
    let rows = json(&[
        "rank",
        "rope",
        "--json",
        "--records",
        &field,
        "--page",
        &page,
    ]);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 2, "one for each study");
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
    let made = run(&["rank", "--records", &field]);
    for words in ["# Results of the standard study", "| rope ", "## Families"] {
        assert!(text(&made.stdout).contains(words), "{words}");
    }
}

/// The records of ALiBi in a run folder of one's own, as those of a scheme that is not in the registry.
fn mine(field: &str, out: &Path, change: impl Fn(&mut Value)) {
    let field = load(Path::new(field)).expect("the records");
    let mut plan = field.plan.clone();
    plan.cells.retain(|cell| cell.scheme == "alibi");
    for cell in &mut plan.cells {
        cell.scheme = "mine".into();
        change(&mut cell.config);
    }
    let dir = RunDir::create(out, &plan, "", "").expect("a run folder");
    for cell in field.cells.iter().filter(|c| c.planned.scheme == "alibi") {
        let mut result = cell.result.clone().expect("a result");
        result.scheme.name = "mine".into();
        dir.write_result(&cell.planned.id, &result)
            .expect("written");
    }
}

const OWN: &str = "schemes.mine.custom.score=raw";

#[test]
fn a_scheme_of_ones_own_is_ranked_among_all_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (field, out) = (field(folder.path()), folder.path().join("out"));
    mine(&field, &out, |_| ());
    let out = out.display().to_string();
    let rank = |args: &[&str]| {
        json(
            &[
                &["rank", "--json", "--records", &field, "--out", &out],
                args,
            ]
            .concat(),
        )
    };
    let (rows, theirs) = (rank(&["mine", OWN]), rank(&["alibi"]));
    let (rows, theirs) = (
        rows.as_array().expect("rows"),
        theirs.as_array().expect("rows"),
    );
    assert_eq!(rows.len(), 2);
    for (row, other) in rows.iter().zip(theirs) {
        assert_eq!(row["study"], other["study"]);
        // The same answers stand in the same place, and are each other's neighbours.
        assert_eq!(row["place"], other["place"], "{row}");
        assert_eq!(row["score"], other["score"]);
        assert_eq!(row["nearest"][0], "alibi");
        let of = |row: &Value| row["of"].as_u64().expect("a number");
        assert_eq!(of(row), of(other) + 1, "one more than without it");
    }
    assert!(Path::new(&format!("{out}.html")).is_file());
}

/// What was trained or asked in another way is not ranked.
#[test]
fn records_of_another_protocol_are_refused() {
    for key in ["reads", "train", "evaluate", "architecture"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (field, out) = (field(folder.path()), folder.path().join("out"));
        mine(&field, &out, |config| config[key] = Value::from("another"));
        let out = out.display().to_string();
        let made = run(&["rank", "mine", OWN, "--records", &field, "--out", &out]);
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
    let field = field(folder.path());
    let cases: [(&[&str], &str); 8] = [
        (&["mine", "--config", &config], "mine has no records"),
        (
            &["mine", "schemes.mine.custom.score=raw - 0.1 * log1p(q - k)"],
            "mine has no records",
        ),
        (&["mine"], "no scheme is named \"mine\""),
        (&["alibbi"], "did you mean \"alibi\"?"),
        (&["alibi", "train.steps=1"], "the protocol stands as it is"),
        (&["mine", "schemes.mine.custom.score=raw -"], "score"),
        (
            &["rope", "schemes.rope.rope.base=500"],
            "which stands as it is",
        ),
        (
            &["alibi", "schemes.alibi.alibi.scale=2"],
            "which stands as it is",
        ),
    ];
    for (args, words) in cases {
        let all = [&["rank", "--records", &field, "--out", &out], args].concat();
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
