//! Every scheme of the registry at once: it trains, it is read past its trained length, and it is documented.

use farspan_acceptance::{results, run, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the repository")
        .to_path_buf()
}

fn ids() -> BTreeSet<String> {
    let listed = run(&["list", "schemes", "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("a list");
    rows.iter()
        .map(|row| row["id"].as_str().expect("an id").to_string())
        .collect()
}

/// Half of the steps that the config asks for by itself are enough to see the loss fall.
#[test]
fn every_scheme_trains_and_is_read_at_four_times_the_trained_length() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = out.path().join("run").display().to_string();
    let config = root()
        .join("harness/configs/every-scheme.toml")
        .display()
        .to_string();
    let output = run(&["run", &config, "train.steps=20", "--out", &folder]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut seen = BTreeSet::new();
    for (cell, result) in results(Path::new(&folder)) {
        let result: Value = serde_json::from_slice(&result).expect("JSON");
        let scheme = &result["scheme"];
        let name = format!("{} ({}, {cell})", scheme["name"], scheme["stage"]);
        seen.insert(scheme["id"].as_str().expect("an id").to_string());
        let curve: Vec<f64> = result["train"]["curve"]
            .as_array()
            .expect("a curve")
            .iter()
            .map(|point| point[1].as_f64().unwrap_or(f64::NAN))
            .collect();
        assert!(
            curve.iter().all(|loss| loss.is_finite()),
            "{name}: {curve:?}"
        );
        if scheme["stage"] == "trained" {
            let tail = &curve[curve.len() - 5..];
            let last = tail.iter().sum::<f64>() / tail.len() as f64;
            assert!(
                last < curve[0] - 0.3,
                "{name}: the loss goes from {} to {last}",
                curve[0]
            );
        }
        let refused = |length: u64| {
            let list = result["refused"].as_array().expect("a list").iter();
            list.clone()
                .any(|refusal| refusal["length"].as_u64() == Some(length))
        };
        for length in [64, 256] {
            let by_length = |m: &&Value| m["role"] == "by-length";
            let measured: Vec<f64> = result["measures"]
                .as_array()
                .expect("a list")
                .iter()
                .filter(by_length)
                .flat_map(|m| m["points"].as_array().expect("a list"))
                .filter(|point| point["length"].as_u64() == Some(length))
                .flat_map(|point| point["value"].as_array().expect("a list"))
                .map(|nll| nll.as_f64().unwrap_or(f64::NAN))
                .collect();
            let whole = !measured.is_empty() && measured.iter().all(|nll| nll.is_finite());
            // A table of positions ends where it ends, and says so.
            assert!(whole != refused(length), "{name} at {length}: {measured:?}");
        }
    }
    // What reads ids that no text gives has a config of its own.
    let missing: Vec<_> = ids().difference(&seen).cloned().collect();
    assert_eq!(missing, ["position-coupling"], "not in every-scheme.toml");
}

/// Schemes that read ids of a task learn sums, and say so where there are none: a text, a task, a table that ends.
#[test]
fn ids_of_a_task_are_read_and_missed_in_words() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = out.path().join("run").display().to_string();
    let config = root().join("harness/configs/digits.toml");
    let config = config.display().to_string();
    let few = ["train.steps=40", "train.warmup=2", "train.batch=16"];
    let small = [
        "evaluate.task.prompts=4",
        "schemes.abacus.abacus.rows=34",
        "schemes.abacus.abacus.offset=20",
    ];
    let args: Vec<&str> = ["run", &config, "--out", &folder]
        .into_iter()
        .chain(few)
        .chain(small)
        .collect();
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut losses = std::collections::BTreeMap::new();
    for (_, result) in results(Path::new(&folder)) {
        let result: Value = serde_json::from_slice(&result).expect("JSON");
        let name = result["scheme"]["name"].as_str().expect("a name");
        let curve = result["train"]["curve"]
            .as_array()
            .expect("a curve")
            .clone();
        let (first, last) = (&curve[0][1], &curve[curve.len() - 1][1]);
        losses.insert(name.to_string(), (first.as_f64(), last.as_f64()));
        let points = result["measures"][0]["points"].as_array().map(Vec::len);
        let refused = result["refused"].as_array().map(Vec::len);
        assert_eq!((points, refused), (Some(5), Some(0)), "{name}");
    }
    assert_eq!(losses.len(), 5, "{losses:?}");
    for (name, (first, last)) in &losses {
        assert!(
            last.is_some() && *last < first.map(|x| x - 0.2),
            "{name}: {first:?} to {last:?}"
        );
    }
    let refused = |args: &[&str], words: &[&str]| {
        let args: Vec<&str> = ["plan", config.as_str()]
            .iter()
            .chain(args)
            .copied()
            .collect();
        let output = run(&args);
        let told = text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{args:?}");
        for words in words {
            assert!(told.contains(words), "{args:?}: {told}");
        }
    };
    refused(
        &["studies.addition.task.addition.reverse=false"],
        &[
            "position-coupling",
            "expected reverse = true or padded = true",
        ],
    );
    refused(
        &["studies.addition.task=parity"],
        &["abacus", "no ids \"place\""],
    );
    refused(&["schemes.abacus.abacus.rows=22"], &["past the 22 rows"]);
}

#[test]
fn the_list_of_schemes_is_fresh() {
    let made = run(&["list", "schemes", "--markdown"]);
    let path = root().join("docs/schemes.md");
    let kept = std::fs::read_to_string(&path).expect("docs/schemes.md");
    assert!(
        text(&made.stdout) == kept,
        "docs/schemes.md is old: run `farspan list schemes --markdown > docs/schemes.md`"
    );
}

/// What an example of the harness prints.
fn example(name: &str, args: &[&str]) -> String {
    let program = farspan_acceptance::program();
    let example = program
        .with_file_name("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let output = std::process::Command::new(&example).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", example.display()));
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{told}");
    text(&output.stdout)
}

/// The scheme of CONTRIBUTING.md, as it stands there: it is listed, explained and trained, and the run of every scheme and the
/// list of the documents have it without another word.
#[test]
fn the_scheme_of_the_page_is_one_file_and_one_line() {
    if ids().contains("log-alibi") {
        // Somebody has followed the page: the other tests have it.
        return;
    }
    let page = std::fs::read_to_string(root().join("CONTRIBUTING.md")).expect("a page");
    let source = root().join("harness/examples/page_scheme/log_alibi.rs");
    let source = std::fs::read_to_string(source).expect("the example");
    let blocks = page.split("```rust").map(|rest| rest.split("```").next());
    let shown = blocks.flatten().find(|block| block.contains("LogAlibi"));
    let lines = shown.expect("the scheme").lines().skip(1);
    let shown: Vec<&str> = lines.map(|l| l.strip_prefix("   ").unwrap_or(l)).collect();
    assert_eq!(shown.join("\n").trim(), source.trim());

    let program = |args: &[&str]| example("page_scheme", args);
    assert!(program(&["explain", "log-alibi"]).contains("raw - slope[h] * log1p(q - k)"));
    assert!(program(&["list", "schemes", "--markdown"]).contains("**Log-ALiBi.**"));
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = out.path().join("run").display().to_string();
    let config = root().join("harness/configs/every-scheme.toml");
    let config = config.display().to_string();
    let steps = "train.steps=20";
    program(&["run", &config, steps, "-k", "log-alibi", "--out", &folder]);
    let cells = std::fs::read_dir(Path::new(&folder).join("cells")).expect("cells");
    let files = cells.map(|cell| cell.expect("a cell").path().join("result.json"));
    let found: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    assert_eq!(found.len(), 1);
    let result = std::fs::read(&found[0]).expect("a result");
    let result: Value = serde_json::from_slice(&result).expect("JSON");
    assert_eq!(result["scheme"]["id"], "log-alibi");
    assert_eq!(result["refused"].as_array().map(Vec::len), Some(0));
}

/// The task of CONTRIBUTING.md, as it stands there, in a crate of its own: it is listed, trained on, asked for and
/// reported.
#[test]
fn a_task_of_another_crate_is_trained_on_and_asked_for() {
    let page = std::fs::read_to_string(root().join("CONTRIBUTING.md")).expect("a page");
    let source = std::fs::read_to_string(root().join("harness/examples/own_task.rs"));
    let source = source.expect("the example");
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let from = "/// Id of the question";
    let shown = page.split("```").find(|block| block.contains(from));
    let shown = shown
        .and_then(|block| block.split_once(from))
        .expect("the task")
        .1;
    let written = source.split_once(from).expect("the task").1;
    let written = written.split_once("fn main").expect("an end").0;
    assert_eq!(
        flat(shown),
        flat(written),
        "the example is not what the page shows"
    );

    assert!(example("own_task", &["list", "tasks"]).contains("first-symbol"));
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = out.path().join("run").display().to_string();
    let config = root().join("harness/examples/own-task.toml");
    let config = config.display().to_string();
    example(
        "own_task",
        &["run", &config, "train.steps=30", "--out", &folder],
    );
    for (_, result) in results(Path::new(&folder)) {
        let result: Value = serde_json::from_slice(&result).expect("JSON");
        let measure = &result["measures"][0];
        assert_eq!(measure["of"], "first-symbol");
        assert_eq!(measure["points"].as_array().map(Vec::len), Some(3));
    }
    let report = std::fs::read_to_string(Path::new(&folder).join("report/report.html"));
    assert!(report.expect("a page").contains("First symbol"));
}

/// The example of a crate with its own schemes: it explains them, trains them and reports them.
#[test]
fn schemes_of_another_crate_train_and_are_reported() {
    let run = |args: &[&str]| example("own_scheme", args);
    assert!(run(&["explain", "my-log-alibi"]).contains("raw - slope[h] * log1p(q - k)"));
    assert!(run(&["explain", "key-shift"]).contains("k[t] + share[h]·k[t-1]"));
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = out.path().join("run").display().to_string();
    let config = root()
        .join("harness/examples/own-scheme.toml")
        .display()
        .to_string();
    run(&["run", &config, "train.steps=30", "--out", &folder]);
    let losses: std::collections::BTreeMap<String, Value> = results(Path::new(&folder))
        .iter()
        .map(|(_, result)| serde_json::from_slice::<Value>(result).expect("JSON"))
        .map(|result| {
            (
                result["scheme"]["name"].to_string(),
                result["train"]["curve"].clone(),
            )
        })
        .collect();
    assert_eq!(losses.len(), 5);
    // The scheme in Rust and the same one as text draw the same numbers and end at the same loss.
    assert_eq!(losses["\"log-alibi\""].as_array().map(Vec::len), Some(30));
    assert_eq!(losses["\"log-alibi\""], losses["\"as-text\""]);
    let report = std::fs::read_to_string(Path::new(&folder).join("report/report.html"));
    assert!(report.expect("a page").contains("Key shift"));
}
