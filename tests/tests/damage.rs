//! Files of a run folder that are not what was written: they are named, set aside, and the cell is made again, so that
//! the run ends with the bytes that it would have had.

use farspan::cell::CellConfig;
use farspan::checkpoint::{Loaded, Owner, load, save};
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

#[test]
fn extensions_follow_the_weights_of_their_base() {
    let run = Run::finished();
    let rope = run.cell("rope", Stage::Trained);
    let path = run.file(&rope, "checkpoint.safetensors");
    let owner = Owner {
        cell: rope.id.clone(),
        base: None,
    };
    let mut base: Loaded<serde_json::Value> = load(&path, &owner).unwrap();
    let weight = base.values.values_mut().next().unwrap();
    weight.1[0] += 0.5;
    save(&run.dir(), &path, &owner, &base.values, &base.meta).unwrap();
    let (code, words) = run.again(&[]);
    assert_eq!(code, 0, "{words}");
    let pi = run.cell("pi", Stage::ZeroShot).id;
    assert!(
        words.contains(&format!("{pi}/result.json: the weights of its base")),
        "{words}"
    );
    let found = results(&run.out);
    for ((id, now), (_, before)) in found.iter().zip(&run.expected) {
        let extends = run
            .dir()
            .plan()
            .unwrap()
            .cells
            .iter()
            .any(|c| c.id == *id && c.base.is_some());
        assert_eq!(now != before, extends, "{id}");
    }
    // Weights that are no numbers are refused even where the hash fits.
    let weight = base.values.values_mut().next().unwrap();
    weight.1[0] = f32::NAN;
    save(&run.dir(), &path, &owner, &base.values, &base.meta).unwrap();
    let (code, words) = run.again(&[]);
    assert_eq!(code, 0, "{words}");
    assert!(
        words.contains("expected finite numbers, found NaN"),
        "{words}"
    );
    assert!(results(&run.out) == run.expected);
    // Weights that were removed are made again where something needs them.
    std::fs::remove_file(&path).unwrap();
    let (code, words) = run.again(&[]);
    assert_eq!((code, words.contains("made again")), (0, false), "{words}");
    std::fs::remove_file(run.file(&run.cell("pi", Stage::ZeroShot), "result.json")).unwrap();
    let (code, words) = run.again(&[]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("its weights are missing"), "{words}");
    assert!(results(&run.out) == run.expected);
}

#[test]
fn a_damaged_training_state_is_set_aside_and_training_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &TINY.replace("steps = 150", "steps = 1500"));
    let run = |out: &Path| {
        let args = ["run", config.to_str().unwrap(), "-k", "alibi", "--out"];
        let mut command = farspan(&args);
        command.arg(out);
        command
    };
    let result = |out: &Path| {
        let dir = RunDir::open(out).unwrap();
        let plan = dir.plan().unwrap();
        let cell = plan.cells.iter().find(|c| c.scheme == "alibi").unwrap();
        let folder = dir.cell_dir(&cell.id);
        (
            folder.clone(),
            std::fs::read(folder.join("result.json")).ok(),
        )
    };
    let plain = folder.path().join("plain");
    assert!(run(&plain).output().unwrap().status.success());
    let expected = result(&plain).1;
    assert!(expected.is_some());
    for (name, damage) in DAMAGES.iter().filter(|(name, _)| *name != "another cell's") {
        let out = folder.path().join(name);
        let mut child = run(&out)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let state = loop {
            std::thread::sleep(std::time::Duration::from_millis(20));
            if RunDir::exists(&out) {
                let (cell, _) = result(&out);
                let status = std::fs::read_to_string(cell.join("status.json"));
                let steps = status.unwrap_or_default();
                if steps.contains("\"steps\": 1500") {
                    break cell.join("state.safetensors");
                }
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        };
        std::thread::sleep(std::time::Duration::from_millis(100));
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        damage(&state, &state);
        let output = run(&out).output().unwrap();
        let words = text(&output.stderr);
        assert!(output.status.success(), "{name}: {words}");
        assert!(
            words.contains("state.safetensors") && words.contains("set aside as"),
            "{name}: {words}"
        );
        assert!(result(&out).1 == expected, "{name}: the results differ");
    }
}

/// Fine-tuning reads what its base did not: its first loss is that of the base's weights on the batch after the base's
/// last, computed here from the pieces.
#[test]
fn fine_tuning_goes_on_after_the_batches_of_its_base() {
    use farspan::model::Decoder;
    use farspan_attention::Device;
    use farspan_datasets::tasks::train_batch;
    use farspan_pe::{Len, Registry};
    use std::sync::Arc;

    let folder = tempfile::tempdir().unwrap();
    let text = TINY
        .replace("steps = 150", "steps = 12, accumulate = 3")
        .replace(
            "finetune = { steps = 20",
            "finetune = { accumulate = 2, steps = 20",
        );
    let config = write_config(folder.path(), &text);
    let out = folder.path().join("run");
    let args = [
        "run",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    assert!(farspan(&args).output().unwrap().status.success());
    let dir = RunDir::open(&out).unwrap();
    let plan = dir.plan().unwrap();
    let tuned = plan
        .cells
        .iter()
        .find(|c| c.stage == Stage::FineTuned)
        .unwrap();
    let config: CellConfig = serde_json::from_value(tuned.config.clone()).unwrap();
    let owner = Owner {
        cell: tuned.base.clone().unwrap(),
        base: None,
    };
    let path = dir.cell_dir(&owner.cell).join("checkpoint.safetensors");
    let base: Loaded<serde_json::Value> = load(&path, &owner).unwrap();
    let registry = Registry::builtin();
    let scheme = registry
        .parse(&config.scheme.id, config.scheme.settings.clone())
        .unwrap();
    let length = config.train.length;
    assert_eq!(length, 64);
    let (architecture, device) = (config.architecture.clone(), Device::cpu());
    let (context_len, values) = (Len(length), Some(&base.values));
    let model = Decoder::drawn(
        architecture,
        Arc::from(scheme),
        context_len,
        0,
        values,
        &device,
    )
    .unwrap();
    let ready = model.prepare(context_len, length).unwrap();
    let farspan::config::Reads::Task(task) = &config.reads else {
        panic!("{:?}", config.reads);
    };
    let task = task.task(&serde_json::Map::new()).unwrap();
    let loss = |number: u64| {
        let batch = train_batch(
            task.as_ref(),
            config.seed,
            number,
            config.train.batch,
            length,
        );
        model.backward(&batch, &ready).unwrap().loss
    };
    let record = dir.result(&tuned.id).unwrap().unwrap();
    let (step, first) = record.train.curve[0];
    assert_eq!(step, 1);
    // The base read batches 0 to 35.
    let expected = (loss(36) + loss(37)) / 2.0;
    assert!((first - expected).abs() < 1e-6, "{first} for {expected}");
    let again = (0..35).map(|number| (loss(number) + loss(number + 1)) / 2.0);
    for (number, old) in again.enumerate() {
        assert!((first - old).abs() > 1e-6, "batch {number} of the base");
    }
}
