use super::*;
use crate::fixture::{self, Options};
use crate::record::{Samples, Served};
use std::io::ErrorKind;
use std::sync::Arc;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn small() -> Options {
    Options {
        units: 4,
        trials: 2,
        multiples: vec![1, 2],
        ..Options::default()
    }
}

#[test]
fn a_written_run_loads_as_it_was() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let path = tmp.path().join("run");
    let dir = fixture::write(&path, &small())?;
    let expected = fixture::run(&small());
    let loaded = dir.load()?;
    assert_eq!(loaded.plan, expected.plan);
    assert_eq!(loaded.cells, expected.cells);
    assert_eq!(loaded.problems, Vec::<String>::new());
    assert_eq!(loaded.config, expected.config);
    Ok(())
}

#[test]
fn non_finite_losses_survive_the_file() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let mut record = fixture::run(&small()).cells[0]
        .result
        .clone()
        .ok_or("no result")?;
    record.measures[0].points[0].value = vec![f64::INFINITY, f64::NAN, 0.0, 1.5];
    let id = record.id.clone();
    dir.write_result(&id, &record)?;
    let back = dir.result(&id)?.ok_or("no result")?;
    let nll = &back.measures[0].points[0].value;
    assert!(nll[0] == f64::INFINITY && nll[1].is_nan() && nll[2] == 0.0 && nll[3] == 1.5);
    Ok(())
}

/// The disk refuses its nth operation, for every n: the previous file is intact, and a retry succeeds.
#[test]
fn a_refused_write_leaves_the_previous_file() -> Outcome {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for nth in 0.. {
            let tmp = tempfile::tempdir()?;
            let path = tmp.path().join("run");
            let dir = fixture::write(&path, &small())?;
            let id = dir.plan()?.cells[0].id.clone();
            let before = std::fs::read(dir.cell_dir(&id).join("status.json"))?;
            let mut status = dir.status(&id)?.ok_or("no status")?;
            status.step += 1;
            let faulty = Arc::new(FaultyDisk::new(nth, kind));
            let outcome = RunDir::open_on(faulty.clone(), &path)?.write_status(&id, &status);
            if !faulty.struck() {
                outcome?;
                assert!(nth >= 4, "write, sync, rename, sync: {nth} operations seen");
                break;
            }
            let error = outcome.expect_err("the failure must be reported");
            assert_eq!(error.is_disk_full(), kind == ErrorKind::StorageFull);
            assert!(error.to_string().contains("status.json"), "{error}");
            let after = std::fs::read(dir.cell_dir(&id).join("status.json"))?;
            // The last operation forces the folder's entries to the disk: the new file is in place then.
            assert!(after == before || dir.status(&id)? == Some(status.clone()));
            if nth < 3 {
                assert_eq!(after, before, "operation {nth}");
            }
            dir.write_status(&id, &status)?;
            assert_eq!(dir.status(&id)?, Some(status));
        }
    }
    Ok(())
}

/// A folder whose making was cut off anywhere is no run yet, and making it again succeeds.
#[test]
fn making_a_run_folder_can_be_cut_off_anywhere() -> Outcome {
    let run = fixture::run(&Options {
        only: Some("rope"),
        ..small()
    });
    let mut nth = 0;
    loop {
        let tmp = tempfile::tempdir()?;
        let path = tmp.path().join("run");
        let faulty = Arc::new(FaultyDisk::new(nth, ErrorKind::StorageFull));
        let outcome = RunDir::create_on(faulty.clone(), &path, &run.plan, "a", "b");
        if !faulty.struck() {
            outcome?;
            assert!(nth > 12, "the folder takes many operations, seen {nth}");
            return Ok(());
        }
        assert!(outcome.is_err_and(|e| e.is_disk_full()));
        if !RunDir::exists(&path) {
            RunDir::create(&path, &run.plan, "a", "b")?;
        }
        assert_eq!(RunDir::open(&path)?.plan()?, run.plan);
        assert_eq!(RunDir::open(&path)?.config()?.as_deref(), Some("a"));
        nth += 1;
    }
}

#[test]
fn a_torn_event_is_reported_and_cut_off() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let path = tmp.path().join("run");
    let dir = fixture::write(&path, &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    let whole = dir.events(&id)?.lines.len();
    let faulty = Arc::new(FaultyDisk::new(0, ErrorKind::StorageFull));
    let event = serde_json::json!({"event": "note", "text": "two\nlines ünd more"});
    let torn = RunDir::open_on(faulty, &path)?.append_event(&id, &event);
    assert!(torn.is_err_and(|e| e.is_disk_full()));
    let events = dir.events(&id)?;
    assert_eq!(events.lines.len(), whole);
    assert!(events.torn.is_some_and(|t| t.starts_with("{\"event\"")));
    dir.append_event(&id, &event)?;
    let events = dir.events(&id)?;
    assert_eq!((events.lines.len(), events.torn), (whole + 1, None));
    assert_eq!(events.lines.last(), Some(&event));
    Ok(())
}

#[test]
fn a_bad_line_inside_is_named() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    std::fs::write(dir.cell_dir(&id).join("events.jsonl"), "{}\nnonsense\n{}\n")?;
    let error = dir.events(&id).expect_err("line 2 is no JSON").to_string();
    assert!(
        error.contains("events.jsonl, line 2") && error.contains("nonsense"),
        "{error}"
    );
    Ok(())
}

#[test]
fn unreadable_cells_are_listed_and_never_guessed() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let ids: Vec<String> = dir.plan()?.cells.iter().map(|c| c.id.clone()).collect();
    let result = |i: usize| dir.cell_dir(&ids[i]).join("result.json");
    let text = std::fs::read_to_string(result(0))?;
    std::fs::write(result(0), &text[..text.len() / 2])?;
    let newer = std::fs::read_to_string(result(1))?.replace(&version(SCHEMA_VERSION), &version(99));
    let (unsealed, _) = newer.rsplit_once(",\n  \"blake3\"").ok_or("no hash")?;
    std::fs::write(result(1), format!("{unsealed}\n}}\n"))?;
    std::fs::copy(result(3), result(2))?;
    std::fs::remove_file(result(3))?;
    let loaded = dir.load()?;
    let reason = |i: usize| loaded.cells[i].unreadable.clone().unwrap_or_default();
    assert!(reason(0).contains("cut off"), "{}", reason(0));
    assert!(
        reason(1).contains("result.json: newer schema: the file has version 99"),
        "{}",
        reason(1)
    );
    assert!(
        reason(2).contains(&format!("expected the result of cell {}", ids[2])),
        "{}",
        reason(2)
    );
    assert!(reason(3).contains("no result.json"), "{}", reason(3));
    assert!(loaded.cells[..4].iter().all(|c| c.result.is_none()));
    assert_eq!(
        loaded.problems[0],
        format!("4 of {} cells unreadable.", loaded.cells.len())
    );
    Ok(())
}

#[test]
fn a_record_that_breaks_an_invariant_is_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let mut record = fixture::run(&small()).cells[0]
        .result
        .clone()
        .ok_or("no result")?;
    let id = record.id.clone();
    record.measures[0].points[0].weight.pop();
    let error = dir
        .write_result(&id, &record)
        .expect_err("a token count is missing")
        .to_string();
    assert!(
        error.contains("(non-overlap), length 128") && error.contains("3 weights"),
        "{error}"
    );
    let mut record = fixture::run(&small()).cells[0]
        .result
        .clone()
        .ok_or("no result")?;
    let twice = record.measures[1].clone();
    record.measures.push(twice);
    let error = dir
        .write_result(&id, &record)
        .expect_err("recorded twice")
        .to_string();
    assert!(error.contains("recorded twice"), "{error}");
    Ok(())
}

/// A process that nobody has waited for is listed, but writes no more; of one on another machine nothing is known.
#[cfg(target_os = "linux")]
#[test]
fn what_dead_writers_left_is_swept_before_their_parents_notice() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let mut writer = std::process::Command::new("true").spawn()?;
    let stat = format!("/proc/{}/stat", writer.id());
    while !std::fs::read_to_string(&stat)?.contains(") Z") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let me = Process::me();
    let half = |host: &str, machine: &str, pid: u32| {
        let name = format!(".a.half-written-{host}-{machine}-{pid}-0123");
        tmp.path().join(name)
    };
    let (dead, alive) = (
        half("a-b", &me.machine, writer.id()),
        half("a-b", &me.machine, me.pid),
    );
    let (new, old) = (half("far-away", "beef", 1), half("far-away", "beef", 2));
    for file in [&dead, &alive, &new, &old] {
        std::fs::write(file, "")?;
    }
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    File::options()
        .write(true)
        .open(&old)?
        .set_modified(long_ago)?;
    write_atomic(&tmp.path().join("a"), b"whole")?;
    assert!(!dead.exists() && alive.exists());
    assert!(!old.exists() && new.exists());
    writer.wait()?;
    Ok(())
}

#[test]
fn foreign_folders_and_ids_are_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    std::fs::write(tmp.path().join("thesis.tex"), "years of work")?;
    let mut plan = fixture::run(&small()).plan;
    let error = RunDir::create(tmp.path(), &plan, "", "")
        .expect_err("occupied")
        .to_string();
    assert!(error.contains("thesis.tex"), "{error}");
    assert!(matches!(
        RunDir::open(tmp.path()),
        Err(StoreError::NotARun { .. })
    ));
    let run = tmp.path().join("run");
    RunDir::create(&run, &plan, "", "")?;
    assert!(matches!(
        RunDir::create(&run, &plan, "", ""),
        Err(StoreError::Exists { .. })
    ));
    plan.cells[0].id = "../../etc".into();
    let error = RunDir::create(&tmp.path().join("new"), &plan, "", "")
        .expect_err("traversal")
        .to_string();
    assert!(error.contains("../../etc"), "{error}");
    plan.cells[0].id = plan.cells[1].id.clone();
    assert!(RunDir::create(&tmp.path().join("new"), &plan, "", "").is_err());
    Ok(())
}

#[test]
fn samples_come_back() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    let rows = vec![
        serde_json::json!({"prompt": "a\nb", "hit": true}),
        serde_json::json!({"prompt": "ü"}),
    ];
    dir.write_samples(&id, &rows)?;
    assert_eq!(dir.samples(&id)?, rows);
    Ok(())
}

#[test]
fn marking_keeps_the_reported_steps() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    dir.mark(&id, State::Failed, "out of memory")?;
    let status = dir.status(&id)?.ok_or("no status")?;
    assert_eq!(
        (status.step, status.steps, status.state),
        (800, 800, State::Failed)
    );
    assert_eq!(status.reason.as_deref(), Some("out of memory"));
    // A status that cannot be read does not stand in the way of a new one.
    std::fs::write(dir.cell_dir(&id).join("status.json"), "{")?;
    dir.mark(&id, State::Waiting, "made again")?;
    assert_eq!(dir.status(&id)?.ok_or("no status")?.state, State::Waiting);
    Ok(())
}

/// A digit in any file that a number is read from.
#[test]
fn a_changed_digit_is_refused_by_every_reader() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    dir.write_samples(&id, [serde_json::json!({"nll": 1.25})])?;
    let cell = dir.cell_dir(&id);
    let digit = |path: &Path, from: &str, to: &str| -> Outcome {
        let text = std::fs::read_to_string(path)?;
        assert!(text.contains(from), "{}", path.display());
        Ok(std::fs::write(path, text.replacen(from, to, 1))?)
    };
    let changed = |read: Result<(), StoreError>, file: &str| {
        let error = read.expect_err(file).to_string();
        assert!(error.contains(file) && error.contains("hash"), "{error}");
    };
    digit(&cell.join("result.json"), "\"seed\": 0", "\"seed\": 1")?;
    changed(dir.result(&id).map(drop), "result.json");
    digit(&cell.join("status.json"), "800", "801")?;
    changed(dir.status(&id).map(drop), "status.json");
    digit(&cell.join("cost.json"), "\"jobs\": 2", "\"jobs\": 3")?;
    changed(dir.cost(&id).map(drop), "cost.json");
    digit(&dir.path().join("plan.json"), "0.95", "0.96")?;
    changed(dir.plan().map(drop), "plan.json");
    // A whole file without its hash is one that somebody wrote anew.
    let text = std::fs::read_to_string(cell.join("cost.json"))?;
    let (unsealed, _) = text.rsplit_once(",\n  \"blake3\"").ok_or("no hash")?;
    std::fs::write(cell.join("cost.json"), format!("{unsealed}\n}}\n"))?;
    changed(dir.cost(&id).map(drop), "cost.json");
    Ok(())
}

#[test]
fn samples_of_another_cell_and_changed_samples_are_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let ids: Vec<String> = dir.plan()?.cells.iter().map(|c| c.id.clone()).collect();
    let path = |i: usize| dir.cell_dir(&ids[i]).join("samples.jsonl.zst");
    dir.write_samples(
        &ids[0],
        [
            serde_json::json!({"nll": 1.25}),
            serde_json::json!({"nll": 2.5}),
        ],
    )?;
    std::fs::copy(path(0), path(1))?;
    let error = dir.samples(&ids[1]).expect_err("another's").to_string();
    assert!(error.contains("those of another"), "{error}");
    let text = String::from_utf8(zstd::decode_all(std::fs::read(path(0))?.as_slice())?)?;
    for changed in [
        text.replacen("1.25", "1.26", 1),
        text[text.find('\n').unwrap_or(0) + 1..].into(),
    ] {
        std::fs::write(path(0), zstd::encode_all(changed.as_bytes(), 3)?)?;
        let error = dir.check_samples(&ids[0]).expect_err("changed").to_string();
        assert!(error.contains("hash is of other bytes"), "{error}");
    }
    Ok(())
}

fn version(number: u32) -> String {
    format!("\"schema_version\": {number}")
}

/// Files as version 1 wrote them can be read; the run says that damage to them cannot be seen.
#[test]
fn runs_from_before_files_had_hashes_can_be_read() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let before = dir.load()?;
    let ids: Vec<String> = before.plan.cells.iter().map(|c| c.id.clone()).collect();
    let in_cells = ids.iter().flat_map(|id| {
        ["result.json", "status.json", "cost.json"].map(|name| dir.cell_dir(id).join(name))
    });
    for path in in_cells
        .chain([dir.path().join("plan.json")])
        .filter(|path| path.exists())
    {
        let text = std::fs::read_to_string(&path)?;
        let (unsealed, _) = text.rsplit_once(",\n  \"blake3\"").ok_or("no hash")?;
        let version = match path.ends_with("cost.json") {
            true => unsealed.replace(&format!(",\n  {}", version(SCHEMA_VERSION)), ""),
            false => unsealed.replace(&version(SCHEMA_VERSION), &version(1)),
        };
        std::fs::write(&path, format!("{version}\n}}\n"))?;
    }
    let loaded = dir.load()?;
    assert_eq!(loaded.results().count(), before.results().count());
    assert!(loaded.cells[0].cost == before.cells[0].cost && loaded.cells[0].cost.is_some());
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert!(
        loaded.problems[0].contains("carry no hashes"),
        "{:?}",
        loaded.problems
    );
    Ok(())
}

#[test]
fn numbers_that_cannot_be_are_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let run = fixture::run(&small());
    let of = |study: &str| {
        let cells = run.cells.iter().filter_map(|cell| cell.result.clone());
        cells.into_iter().find(|result| result.study == study)
    };
    let (language, retrieval) = (of("language").ok_or("no")?, of("retrieval").ok_or("no")?);
    type Change = fn(&mut CellRecord);
    fn first_of<'a>(r: &'a mut CellRecord, column: &str) -> &'a mut Vec<f64> {
        &mut r.measures[0].points[0]
            .columns
            .get_mut(column)
            .expect("a column")
            .0
    }
    let changes: [(&CellRecord, Change, &str); 25] = [
        (
            &language,
            |r| r.measures[0].points[0].value[1] *= -1.0,
            "below 0",
        ),
        (
            &language,
            |r| r.measures[1].points[0].value[0] = f64::NEG_INFINITY,
            "below 0",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = 2f64.powi(54),
            "a weight of",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = -1.0,
            "a weight of",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = f64::NAN,
            "a weight of",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = 0.0,
            "of nothing",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight.truncate(2),
            "2 weights",
        ),
        (
            &language,
            |r| r.measures[0].points[0].at = vec![0.5],
            "1 values of 0 factors",
        ),
        (
            &language,
            |r| first_of(r, "bytes")[2] = f64::INFINITY,
            "a bytes of",
        ),
        (
            &language,
            |r| {
                first_of(r, "bytes").pop();
            },
            "3 of bytes",
        ),
        (&language, |r| r.measures[0].points.clear(), "no points"),
        (
            &language,
            |r| r.measures[0].also[0].times = f64::NAN,
            "cannot be",
        ),
        (
            &language,
            |r| r.train.curve[2].1 = -1.5,
            "curve: a loss is below 0",
        ),
        (&language, |r| r.train.curve[3].0 = 0, "steps do not ascend"),
        (&language, |r| r.train.steps = u64::MAX, "cannot be"),
        (
            &language,
            |r| r.model.parameters = u64::MAX,
            "parameters cannot be",
        ),
        (
            &language,
            |r| r.data.parts[0].tokens = u64::MAX,
            "tokens cannot be",
        ),
        (
            &language,
            |r| r.measures[3].points[3].value[0] = -0.5,
            "position, length 256, at [3.0]: a value of -0.5, of 1, is below 0",
        ),
        (
            &language,
            |r| r.measures[3].points[3].length = 128,
            "one length and one factor",
        ),
        (
            &retrieval,
            |r| r.measures[0].points[0].value[0] = 0.5,
            "is no trial",
        ),
        (
            &retrieval,
            |r| r.measures[0].points[0].at[0] = 1.5,
            "cannot have this value",
        ),
        (
            &retrieval,
            |r| r.measures[0].points[1].at[0] = 0.0,
            "recorded twice",
        ),
        (
            &retrieval,
            |r| {
                r.measures[0].points[0]
                    .facts
                    .extend([("distance".into(), 1e9)])
            },
            "tokens back",
        ),
        (
            &retrieval,
            |r| r.measures[0].served = Served::AtLeast(1.5),
            "cannot be",
        ),
        (
            &retrieval,
            |r| {
                r.measures[0].samples = Samples::Sums;
                r.measures[0].points[0].value[0] = 1.5;
            },
            "is no part of it",
        ),
    ];
    for (record, change, words) in changes {
        let mut record = record.clone();
        let id = record.id.clone();
        dir.write_result(&id, &record)?;
        change(&mut record);
        let error = dir.write_result(&id, &record).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let mut plan = dir.plan()?;
    for confidence in [0.0, 1.0, 9.5, f64::NAN] {
        plan.confidence = confidence;
        assert!(dir.write_plan(&plan, "", "").is_err(), "{confidence}");
    }
    Ok(())
}

/// A run that is renamed while it is written is not made again under its old name.
#[test]
fn a_folder_that_is_gone_stays_gone() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let path = tmp.path().join("run");
    let dir = fixture::write(&path, &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    let (status, cost) = (
        dir.status(&id)?.ok_or("no status")?,
        dir.cost(&id)?.ok_or("no cost")?,
    );
    std::fs::rename(&path, tmp.path().join("moved"))?;
    assert!(dir.write_status(&id, &status).is_err());
    assert!(dir.write_cost(&id, &cost).is_err());
    assert!(dir.append_event(&id, &serde_json::json!({})).is_err());
    assert!(dir.cell_log(&id).is_err());
    assert!(!path.exists());
    Ok(())
}

/// What is written in place is not written through a link.
#[test]
#[cfg(unix)]
fn events_are_not_written_through_a_link() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    let (path, precious) = (
        dir.cell_dir(&id).join("events.jsonl"),
        tmp.path().join("thesis.tex"),
    );
    std::fs::write(&precious, "a line\nand no end")?;
    std::fs::remove_file(&path)?;
    std::os::unix::fs::symlink(&precious, &path)?;
    let error = dir
        .append_event(&id, &serde_json::json!({}))
        .expect_err("a link")
        .to_string();
    assert!(
        error.contains("symbolic link") && error.contains("events.jsonl"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&precious)?, "a line\nand no end");
    Ok(())
}
