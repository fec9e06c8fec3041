//! The command line, as far as nothing is trained: what goes where, what is checked, and every exit code.

#[path = "cli/runs.rs"]
mod runs;

use farspan_acceptance::{TINY, farspan, run, text, write_config};
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

#[track_caller]
fn fine(args: &[&str]) -> Output {
    let output = run(args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}\n{}",
        text(&output.stderr)
    );
    output
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let output = fine(args);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}\n{}", text(&output.stdout)))
}

/// Runs a command that must fail; its words.
#[track_caller]
fn fails(args: &[&str], code: i32) -> String {
    let output = run(args);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{words}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    words
}

#[test]
fn lists_are_tables_for_people_and_json_for_programs() {
    for what in ["schemes", "tasks", "devices", "presets"] {
        assert!(
            text(&fine(&["list", what]).stdout).lines().count() > 2,
            "{what}"
        );
        assert!(
            json(&["list", what, "--json"])
                .as_array()
                .is_some_and(|rows| rows.len() >= 2),
            "{what}"
        );
    }
    let schemes = json(&["list", "schemes", "--json"]);
    let ids: Vec<&str> = schemes
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| s["id"].as_str())
        .collect();
    for id in [
        "rope",
        "alibi",
        "nope",
        "pi",
        "yarn",
        "sinusoidal",
        "learned",
        "ntk",
        "dynamic-ntk",
        "t5",
        "kerple",
    ] {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
    let presets = json(&["list", "presets", "--json"]);
    assert_eq!(
        (&presets[3]["preset"], &presets[3]["width"]),
        (&"d4".into(), &128.into())
    );
}

#[test]
fn explain_holds_numbers_against_papers() {
    let rope = json(&[
        "explain",
        "rope",
        "base=500000",
        "--head-dim",
        "8",
        "--json",
    ]);
    let found: Vec<f64> = rope["inv_freq"][0]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect();
    for (p, found) in found.iter().enumerate() {
        let expected = 500_000f64.powf(-(p as f64) / 4.0);
        assert!(
            (found - expected).abs() <= 1e-12 * expected,
            "{p}: {found} {expected}"
        );
    }
    assert_eq!(found.len(), 4);
    // Press et al.: slopes of 8 heads are 1/2, 1/4, …, 1/256.
    let args = [
        "explain",
        "alibi",
        "--heads",
        "8",
        "--length",
        "64",
        "--queries",
        "5,9",
        "--keys",
        "0,5",
        "--json",
    ];
    let alibi = json(&args);
    let bias = &alibi["bias"]["values"];
    assert_eq!(
        (&bias[0][1][0], &bias[7][1][1]),
        (&(-4.5).into(), &(-4.0 / 256.0).into())
    );
    assert_eq!(
        (&bias[0][0][0], &bias[0][0][1]),
        (&(-2.5).into(), &(-0.0).into())
    );
    let args = [
        "explain",
        "yarn",
        "factor=4",
        "--trained-length",
        "64",
        "--length",
        "256",
        "--json",
    ];
    let scale = json(&args)["attention_scale"].as_f64().unwrap();
    assert!((scale - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12, "{scale}");
    for id in [
        "rope",
        "yarn",
        "alibi",
        "t5",
        "learned",
        "sinusoidal",
        "nope",
    ] {
        let words = text(&fine(&["explain", id]).stdout);
        assert!(
            words.contains("Formula") && words.contains("score = ") && words.contains("Cost"),
            "{words}"
        );
    }
}

#[test]
fn explain_refuses_what_makes_no_sense() {
    assert!(fails(&["explain", "yran"], 2).contains("did you mean \"yarn\""));
    assert!(fails(&["explain", "yarn", "factr=4"], 2).contains("did you mean \"factor\""));
    assert!(fails(&["explain", "yarn", "factor=0.5"], 2).contains("at least 1"));
    assert!(
        fails(&["explain", "yarn", "factor"], 2).contains("expected KEY=VALUE, found \"factor\"")
    );
    assert!(fails(&["explain", "rope", "--head-dim", "7"], 2).contains('7'));
    assert!(
        fails(&["explain", "rope", "--heads", "0"], 2)
            .contains("--heads: expected 1 to 65536, found 0")
    );
    assert!(
        fails(&["explain", "t5", "--length", "1000000000000"], 2)
            .contains("--length: expected 1 to")
    );
    assert!(
        fails(&["explain", "alibi", "--length", "8", "--queries", "8"], 2)
            .contains("below the length, 8")
    );
}

#[test]
fn the_schema_is_draft_7_and_names_every_scheme() {
    let schema = json(&["schema"]);
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let schemes = &schema["properties"]["schemes"]["additionalProperties"]["properties"];
    assert!(schemes["yarn"]["properties"]["beta_fast"].is_object() && schemes["alibi"].is_object());
}

#[test]
fn validate_has_no_effects_and_shows_origins() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let output = fine(&["validate", path(&config)]);
    assert!(
        output.stdout.is_empty() && text(&output.stderr).contains("is valid: studies 1, schemes 3")
    );
    let resolved = text(&fine(&["validate", path(&config), "train.lr=1e-4", "--resolved"]).stdout);
    let line = resolved
        .lines()
        .find(|line| line.starts_with("lr = "))
        .unwrap();
    assert!(
        line.contains("0.0001") && line.ends_with("# command line"),
        "{line}"
    );
    let run = json(&["validate", path(&config), "-schemes.pi", "--json"]);
    assert_eq!(run["schemes"].as_array().map(Vec::len), Some(2));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
}

/// Every walk over an expression is recursive: what is too deep is refused where it is read, by all that read configs,
/// before a cell of theirs can run out of stack.
#[test]
fn sums_of_25000_terms_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let sum = "raw + 1".to_string() + &" + 1".repeat(24_998);
    assert_eq!(sum.matches('+').count() + 1, 25_000);
    let own = format!("[schemes.own.custom]\nscore = \"{sum}\"\n[studies.retrieval]");
    let config = write_config(folder.path(), &TINY.replace("[studies.retrieval]", &own));
    let out = folder.path().join("run");
    let started = std::time::Instant::now();
    for args in [
        &["validate", path(&config)][..],
        &["plan", path(&config)],
        &["run", path(&config), "--out", path(&out)],
    ] {
        let words = fails(args, 2);
        assert!(words.contains("schemes.own.custom.score"), "{words}");
        assert!(words.contains("more than 200 deep"), "{words}");
        assert!(words.len() < 2000, "{} bytes of words", words.len());
    }
    assert!(!out.exists());
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn wrong_configs_end_with_2_and_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &TINY.replace("factor = 2", "facter = 2"));
    for verb in ["validate", "plan", "run"] {
        let words = fails(&[verb, path(&config)], 2);
        assert!(
            words.starts_with("error: ") && words.contains("config.toml:8:1: schemes.pi.pi.facter"),
            "{words}"
        );
        assert!(
            words.contains("did you mean \"factor\"") && words.contains("8 | facter = 2"),
            "{words}"
        );
    }
    let missing = folder.path().join("missing.toml");
    assert!(fails(&["run", path(&missing)], 2).contains("missing.toml: cannot be read"));
    std::fs::write(&missing, [b'a', 0xff]).unwrap();
    assert!(fails(&["run", path(&missing)], 2).contains("invalid byte at offset 1"));
    assert!(fails(&["run", path(folder.path())], 2).contains("found a folder"));
    let config = write_config(folder.path(), TINY);
    let words = fails(&["run", path(&config), "train.stesp=5"], 2);
    assert!(
        words.contains("`train.stesp=5`") && words.contains("did you mean `steps`"),
        "{words}"
    );
    assert!(
        fails(&["run", path(&config), "--device", "gpu"], 2).contains("expected auto, cpu, cuda")
    );
    assert!(fails(&["run", path(&config), "--device", "cuda"], 2).contains("cuda"));
    assert!(
        fails(&["run", path(&config), "-k", "rope and"], 2)
            .contains("expected a word, found the end")
    );
    assert!(fails(&["run", path(&config), "--max-time", "soon"], 2).contains("2h 30m"));
    assert!(fails(&["run", path(&config), "--gpus", "0"], 2).contains("--gpus"));
    assert!(fails(&["run", path(&config), "--jobs", "0"], 2).contains('0'));
    // The program runs where the tests do.
    assert!(!Path::new("runs").exists());
}

#[test]
fn data_that_cannot_be_used_ends_with_65() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[data]\nfiles = \"none-*.txt\"\n[model]\nsize = \"d1\"\n[schemes.rope.rope]\n";
    let config = write_config(folder.path(), text);
    assert!(fails(&["plan", path(&config)], 65).contains("none-*.txt"));
    std::fs::write(folder.path().join("short.txt"), "too short").unwrap();
    let files = format!("data.files={}", path(&folder.path().join("short.txt")));
    let words = fails(&["plan", path(&config), &files], 65);
    assert!(
        words.contains("token") || words.contains("bytes"),
        "{words}"
    );
}

#[test]
fn help_has_examples_and_usage_errors_end_with_2() {
    for verb in [
        "run", "plan", "status", "watch", "report", "compare", "export", "list", "explain", "new",
        "validate", "doctor",
    ] {
        let help = text(&fine(&[verb, "--help"]).stdout);
        assert!(
            help.contains("Example") && help.contains(&format!("farspan {verb}")),
            "{verb}: {help}"
        );
    }
    assert!(text(&fine(&["--version"]).stdout).starts_with("farspan 0."));
    assert!(!text(&fine(&["--help"]).stdout).contains("cell  "));
    for args in [
        &["nonsense"][..],
        &["run"],
        &["list", "cats"],
        &["explain", "rope", "--nonsense"],
    ] {
        assert!(!fails(args, 2).is_empty());
    }
}

#[test]
fn output_is_plain_off_a_terminal_and_may_be_cut_short() {
    let output = fine(&["list", "schemes"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
    // The reader is gone before anything is written.
    let mut child = farspan(&["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
}
