use super::*;
use crate::fixture::{self, Options};
use crate::record::Protocol;
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
    record.perplexity[0].nll = vec![f64::INFINITY, f64::NAN, f64::NEG_INFINITY, 1.5];
    let id = record.id.clone();
    dir.write_result(&id, &record)?;
    let back = dir.result(&id)?.ok_or("no result")?;
    let nll = &back.perplexity[0].nll;
    assert!(
        nll[0] == f64::INFINITY && nll[1].is_nan() && nll[2] == f64::NEG_INFINITY && nll[3] == 1.5
    );
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
            assert!(nth > 20, "the folder takes many operations, seen {nth}");
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
    let newer = std::fs::read_to_string(result(1))?
        .replace("\"schema_version\": 1", "\"schema_version\": 99");
    std::fs::write(result(1), newer)?;
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
    record.perplexity[0].tokens.pop();
    let error = dir
        .write_result(&id, &record)
        .expect_err("a token count is missing")
        .to_string();
    assert!(
        error.contains("NonOverlap, length 128") && error.contains("3 token counts"),
        "{error}"
    );
    let twice = record.perplexity[1].clone();
    record.perplexity = vec![twice.clone(), twice];
    assert_eq!(record.perplexity[0].protocol, Protocol::Sliding);
    let error = dir
        .write_result(&id, &record)
        .expect_err("recorded twice")
        .to_string();
    assert!(error.contains("recorded twice"), "{error}");
    Ok(())
}

#[test]
fn a_second_writer_is_told_who_holds_the_folder() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let held = dir.hold()?;
    let error = RunDir::open(dir.path())?.hold().expect_err("held");
    assert!(error.is_held());
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(held);
    let _again = dir.hold()?;
    let id = dir.plan()?.cells[0].id.clone();
    let _cell = dir.hold_cell(&id)?;
    assert!(dir.hold_cell(&id).is_err_and(|e| e.is_held()));
    Ok(())
}

#[test]
fn holding_a_folder_sweeps_half_written_files() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let stale = dir.path().join(".plan.json.half-written-1-2");
    std::fs::write(&stale, "{")?;
    let _held = dir.hold()?;
    assert!(!stale.exists());
    assert!(dir.path().join("plan.json").exists());
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
    Ok(())
}
