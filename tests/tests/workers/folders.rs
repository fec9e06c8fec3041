//! Run folders that are moved and merged.

use super::{Place, leases, work};
use farspan_acceptance::{TINY, farspan, results, text, write_config};
use farspan_reports::store::RunDir;
use std::path::Path;

/// A plan holds nothing of the machine that made it.
#[test]
fn a_run_folder_can_be_moved_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (
        folder.path().join("here"),
        folder.path().join("there/deeper"),
    );
    std::fs::create_dir_all(here.join("books")).unwrap();
    let words =
        "the quick brown fox jumps over the lazy dog and runs away from the bear ".repeat(400);
    for i in 0..12 {
        std::fs::write(here.join(format!("books/{i}.txt")), format!("{i} {words}")).unwrap();
    }
    let config = r#"
name = "moved"
seeds = [0]
[data]
files = ["books/*.txt"]
tokenizer = "byte"
max_overlap = 1
[model]
layers = 1
width = 32
heads = 2
[train]
length = 32
batch = 4
steps = 4
warmup = 1
[schemes.rope.rope]
[schemes.nope.nope]
[evaluate.perplexity]
lengths = [32, 64]
segments = 4
"#;
    write_config(&here, config);
    let at = |folder: &Path, args: &[&str]| {
        let output = farspan(args).current_dir(folder).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let (code, words) = at(
        &here,
        &["run", "config.toml", "--out", "runs/plain", "--jobs", "1"],
    );
    assert_eq!(code, 0, "{words}");
    let expected = results(&here.join("runs/plain"));
    assert_eq!(at(&here, &["plan", "config.toml", "--out", "runs/a"]).0, 0);
    let plan = std::fs::read_to_string(here.join("runs/a/plan.json")).unwrap();
    let machine = [folder.path().to_str().unwrap(), "/home", "\"machine\""];
    for word in machine {
        assert!(!plan.contains(word), "{word} in {plan}");
    }
    let cost = |run: &Path| {
        let dir = RunDir::open(run).unwrap();
        let id = dir.plan().unwrap().cells[0].id.clone();
        dir.cost(&id).unwrap().unwrap()
    };
    let cost = cost(&here.join("runs/plain"));
    assert!(
        cost.machine.contains("Linux") && cost.device.contains("cpu"),
        "{cost:?}"
    );
    // All of it elsewhere.
    std::fs::create_dir_all(there.parent().unwrap()).unwrap();
    std::fs::rename(&here, &there).unwrap();
    let (code, words) = at(
        Path::new("/"),
        &["work", there.join("runs/a").to_str().unwrap()],
    );
    assert_eq!(code, 0, "{words}");
    assert!(results(&there.join("runs/a")) == expected);
    // The run folder alone: who goes on says where the data lies.
    assert_eq!(at(&there, &["plan", "config.toml", "--out", "runs/b"]).0, 0);
    let alone = folder.path().join("alone");
    std::fs::rename(there.join("runs/b"), &alone).unwrap();
    let (code, words) = at(folder.path(), &["work", "alone"]);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("books"), "{words}");
    let (code, words) = at(
        &there,
        &["run", "config.toml", "--out", alone.to_str().unwrap()],
    );
    assert_eq!(code, 0, "{words}");
    assert!(results(&alone) == expected);
}

#[test]
fn run_folders_are_merged() {
    let place = Place::with(&TINY.replace("steps = 150", "steps = 20"));
    let expected = place.plain();
    let (a, b, both) = (place.path("a"), place.path("b"), place.path("both"));
    assert_eq!(place.verb("run", &a, &["-k", "rope"]).0, 0);
    assert_eq!(place.verb("run", &b, &["-k", "alibi"]).0, 0);
    let merge = |from: &[&Path], out: &Path| {
        let output = farspan(&["merge"])
            .args(from)
            .arg("-o")
            .arg(out)
            .output()
            .unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let (code, words) = merge(&[&a, &b], &both);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("4 cells, 2 of them done"), "{words}");
    assert!(leases(&both).is_empty());
    assert_eq!(merge(&[&a, &b], &both).0, 2);
    // What is left is made in the new folder, from the weights that were copied.
    let (code, words) = work(&both, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("rope/s0: done before"), "{words}");
    assert!(results(&both) == expected);
    let report = farspan(&["report"]).arg(&both).output().unwrap();
    assert!(report.status.success(), "{}", text(&report.stderr));

    // Another seed makes other cells: all of them are kept.
    let more = place.path("more");
    assert_eq!(place.verb("run", &more, &["seeds=[1]", "-k", "alibi"]).0, 0);
    let (code, words) = merge(&[&both, &more], &place.path("three"));
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("8 cells, 5 of them done"), "{words}");

    // Two results of one cell.
    let dir = RunDir::open(&b).unwrap();
    let alibi = dir
        .plan()
        .unwrap()
        .cells
        .into_iter()
        .find(|cell| cell.scheme == "alibi")
        .unwrap();
    let mut record = dir.result(&alibi.id).unwrap().unwrap();
    record.train.lr *= 2.0;
    dir.write_result(&alibi.id, &record).unwrap();
    let (code, words) = merge(&[&both, &b], &place.path("four"));
    assert_eq!(code, 65, "{words}");
    assert!(
        words.contains("retrieval/alibi/s0") && words.contains("other results"),
        "{words}"
    );
    assert!(!place.path("four").exists());
}
