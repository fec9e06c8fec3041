//! Weights that an extension goes by, and states of training.

use super::{DAMAGES, Run};
use farspan::cell::CellConfig;
use farspan::checkpoint::{Loaded, Owner, load, save};
use farspan_acceptance::{TINY, farspan, results, text, write_config};
use farspan_reports::record::Stage;
use farspan_reports::store::RunDir;
use std::path::Path;

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
