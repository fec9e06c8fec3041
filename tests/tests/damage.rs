//! Files of a run folder that are not what was written: they are named, set aside, and the cell is made again, so that
//! the run ends with the bytes that it would have had.

#[path = "damage/weights.rs"]
mod weights;

use farspan_acceptance::{TINY, farspan, results, text, write_config};
use farspan_reports::record::{PlannedCell, Stage};
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};

/// A finished run of four cells, to be damaged.
struct Run {
    folder: tempfile::TempDir,
    config: PathBuf,
    out: PathBuf,
    expected: Vec<(String, Vec<u8>)>,
}

impl Run {
    fn finished() -> Run {
        let folder = tempfile::tempdir().unwrap();
        let config = write_config(folder.path(), &TINY.replace("steps = 150", "steps = 12"));
        let out = folder.path().join("run");
        let mut run = Run {
            folder,
            config,
            out,
            expected: Vec::new(),
        };
        let (code, words) = run.again(&[]);
        assert_eq!(code, 0, "{words}");
        run.expected = results(&run.out);
        run
    }

    fn again(&self, more: &[&str]) -> (i32, String) {
        let args = ["run", self.config.to_str().unwrap(), "--out"];
        let output = farspan(&args).arg(&self.out).args(more).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    }

    fn verb(&self, verb: &str) -> (i32, String) {
        let output = farspan(&[verb]).arg(&self.out).output().unwrap();
        let words = text(&output.stdout) + &text(&output.stderr);
        (output.status.code().unwrap(), words)
    }

    fn dir(&self) -> RunDir {
        RunDir::open(&self.out).unwrap()
    }

    fn cell(&self, scheme: &str, stage: Stage) -> PlannedCell {
        let cells = self.dir().plan().unwrap().cells;
        let found = |cell: &PlannedCell| cell.scheme == scheme && cell.stage == stage;
        cells.into_iter().find(found).unwrap()
    }

    fn file(&self, cell: &PlannedCell, name: &str) -> PathBuf {
        self.dir().cell_dir(&cell.id).join(name)
    }
}

/// Files of a folder that were set aside.
fn set_aside(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".set-aside-")).collect()
}

fn flip(path: &Path, at: f64) {
    let mut bytes = std::fs::read(path).unwrap();
    let byte = (at * (bytes.len() - 1) as f64) as usize;
    bytes[byte] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// What may happen to a file. The last argument is the same file of another cell.
type Damage = (&'static str, fn(&Path, &Path));

const DAMAGES: [Damage; 9] = [
    ("a bit at the start", |path, _| flip(path, 0.02)),
    ("a bit in the middle", |path, _| flip(path, 0.51)),
    ("a bit at the end", |path, _| flip(path, 0.97)),
    ("cut in half", |path, _| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("empty", |path, _| std::fs::write(path, "").unwrap()),
    ("zeros", |path, _| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, vec![0; bytes.len()]).unwrap();
    }),
    ("longer", |path, _| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.extend_from_slice(b"\n{}");
        std::fs::write(path, bytes).unwrap();
    }),
    ("another cell's", |path, other| {
        std::fs::copy(other, path).unwrap();
    }),
    ("a folder", |path, _| {
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
    }),
];

#[test]
fn a_damaged_file_is_named_set_aside_and_made_again() {
    let run = Run::finished();
    let rope = run.cell("rope", Stage::Trained);
    let alibi = run.cell("alibi", Stage::Trained);
    let pi = run.cell("pi", Stage::ZeroShot);
    let tuned = run.cell("pi", Stage::FineTuned);
    for (name, damage) in DAMAGES {
        // Each file in another cell, so that all are seen in one run.
        let files = [
            (&pi, &alibi, "result.json"),
            (&alibi, &rope, "samples.jsonl.zst"),
            (&rope, &alibi, "checkpoint.safetensors"),
            (&tuned, &rope, "checkpoint.safetensors"),
        ];
        let kept = |i: usize| run.folder.path().join(format!("kept-{i}"));
        for (i, (_, other, file)) in files.iter().enumerate() {
            std::fs::copy(run.file(other, file), kept(i)).unwrap();
        }
        for (i, (cell, _, file)) in files.iter().enumerate() {
            damage(&run.file(cell, file), &kept(i));
        }
        let (_, words) = run.verb("status");
        assert!(words.contains("3 of 4 cells done"), "{name}: {words}");
        let (code, words) = run.again(&[]);
        assert_eq!(code, 0, "{name}: {words}");
        for (cell, _, file) in files {
            let told = format!("{}/{file}", cell.id);
            assert!(
                words.contains(&told),
                "{name}: {told} is not named in\n{words}"
            );
            let aside = set_aside(&run.dir().cell_dir(&cell.id));
            let here = aside.iter().any(|aside| aside.starts_with(file));
            assert!(here, "{name}: {told}: {aside:?}");
        }
        assert!(
            results(&run.out) == run.expected,
            "{name}: the results differ"
        );
        for (cell, _, _) in files {
            let dir = run.dir().cell_dir(&cell.id);
            for aside in set_aside(&dir) {
                let path = dir.join(aside);
                let _ = std::fs::remove_dir(&path).or_else(|_| std::fs::remove_file(&path));
            }
        }
    }
}

#[test]
fn a_status_decides_nothing_about_a_cell_that_has_a_result() {
    let run = Run::finished();
    for (i, status) in ["", "{", "null", "[]", "\u{0}"].iter().enumerate() {
        let cells = run.dir().plan().unwrap().cells;
        std::fs::write(run.file(&cells[i % cells.len()], "status.json"), status).unwrap();
    }
    let rope = run.cell("rope", Stage::Trained);
    // As a process leaves it that was killed between its result and its status.
    let dir = run.dir();
    let mut status = dir
        .status(&run.cell("alibi", Stage::Trained).id)
        .ok()
        .flatten();
    if let Some(status) = &mut status {
        status.state = farspan_reports::record::State::Running;
        dir.write_status(&rope.id, status).unwrap();
    }
    let (code, words) = run.verb("status");
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("4 of 4 cells done"), "{words}");
    let (code, words) = run.again(&[]);
    assert_eq!(code, 0, "{words}");
    assert!(
        words.contains("4 cells done") && words.contains("status.json"),
        "{words}"
    );
    assert!(results(&run.out) == run.expected);
}

#[test]
fn a_changed_plan_is_made_again_from_the_config() {
    let run = Run::finished();
    let path = run.out.join("plan.json");
    let plan = std::fs::read_to_string(&path).unwrap();
    for changed in [
        // A digit of a cell's config.
        plan.replacen("\"warmup\": 10", "\"warmup\": 11", 1),
        plan.replacen("\"confidence\": 0.95", "\"confidence\": 9.95", 1),
        plan[..plan.len() / 2].to_string(),
        String::new(),
    ] {
        assert_ne!(changed, plan);
        std::fs::write(&path, &changed).unwrap();
        for verb in ["status", "report"] {
            let (code, words) = run.verb(verb);
            assert_eq!(code, 65, "{verb}: {words}");
            assert!(words.contains("plan.json"), "{verb}: {words}");
        }
        let (code, words) = run.again(&[]);
        assert_eq!(code, 0, "{words}");
        assert!(words.contains("plan.json.set-aside-"), "{words}");
        assert!(results(&run.out) == run.expected);
    }
    // A plan that carries a fitting hash, whose cell is not what its identity says.
    let dir = run.dir();
    let mut plan = dir.plan().unwrap();
    plan.cells[0].config["train"]["warmup"] = 11.into();
    dir.write_plan(&plan, "", "").unwrap();
    let output = farspan(&["cell"])
        .arg(&run.out)
        .arg(&plan.cells[0].id)
        .args(["0", "120"])
        .output()
        .unwrap();
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{words}");
    assert!(words.contains("the plan was changed"), "{words}");
    // A damaged plan beside the cells of another config is left alone.
    std::fs::write(&path, "").unwrap();
    let (code, words) = run.again(&["train.lr=1e-4"]);
    assert_eq!(code, 65, "{words}");
    assert!(
        words.contains("is no cell of this config") && words.contains("--out"),
        "{words}"
    );
}

#[test]
fn what_only_the_page_uses_takes_effect_in_a_finished_folder() {
    let run = Run::finished();
    let more = ["name=\"renamed\"", "confidence=0.9", "reference=\"alibi\""];
    let (code, words) = run.again(&more);
    assert_eq!(code, 0, "{words}");
    for told in [
        "name is renamed from now on (it was tiny)",
        "confidence is 0.9 from now on (it was 0.95)",
        "reference is alibi from now on (it was none)",
    ] {
        assert!(words.contains(told), "{words}");
    }
    let plan = run.dir().plan().unwrap();
    assert_eq!(
        (plan.confidence, plan.reference.as_deref()),
        (0.9, Some("alibi"))
    );
    let page = std::fs::read_to_string(run.out.join("report/report.html")).unwrap();
    assert!(
        page.contains("renamed") && page.contains("90"),
        "the page is the old one"
    );
    assert!(run.dir().resolved().unwrap().unwrap().contains("0.9"));
    assert!(results(&run.out) == run.expected);
    let (code, words) = run.again(&more);
    assert_eq!(code, 0);
    assert!(!words.contains("from now on"), "{words}");
}
