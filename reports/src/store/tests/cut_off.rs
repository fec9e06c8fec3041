//! Writing that is refused, cut off or aimed elsewhere: what was there stays, and what is left is swept.

use super::*;
use std::io::ErrorKind;
use std::sync::Arc;

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
