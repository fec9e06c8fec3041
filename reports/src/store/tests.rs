use super::*;
use crate::fixture::{self, Options};
use crate::record::{CellRecord, SCHEMA_VERSION, State};
use std::fs::File;

mod cut_off;
mod hashes;
mod invariants;

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

fn version(number: u32) -> String {
    format!("\"schema_version\": {number}")
}
