use super::*;
use crate::fixture::{self, Options};
use std::fs::File;
use std::sync::Mutex;
use std::time::Instant;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SHORT: Duration = Duration::from_millis(200);

fn me() -> Holder {
    Holder::me("0.1.0", Some("slurm 7_1".into()), SHORT)
}

/// A holder on another machine, of which nothing can be seen but its lease.
fn elsewhere() -> Holder {
    let mut holder = me();
    holder.process.machine = "another".into();
    holder.process.host = "another".into();
    holder
}

fn take(folder: &Path, me: Holder) -> Result<Lease, Box<dyn std::error::Error>> {
    Ok(Lease::take(folder, me)?.ok_or("the cell is held")?)
}

#[test]
fn one_of_many_takes_a_cell() -> Outcome {
    for _ in 0..50 {
        let tmp = tempfile::tempdir()?;
        let taken = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if let Ok(Some(lease)) = Lease::take(tmp.path(), me()) {
                        taken.lock().expect("no panic").push(lease);
                    }
                });
            }
        });
        let taken = taken.into_inner()?;
        assert_eq!(taken.len(), 1);
        assert!(taken[0].core.check().is_ok());
    }
    Ok(())
}

#[test]
fn a_released_cell_keeps_the_count_of_its_failures() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let tries = Tries {
        failed: 2,
        killed: 1,
        hopeless: true,
    };
    let lease = take(tmp.path(), me())?;
    assert_eq!((lease.number(), lease.tries()), (0, Tries::default()));
    let held = lease_state(tmp.path(), now_of(tmp.path())?)?;
    assert_eq!(held, LeaseState::Held(Some(me())));
    lease.release(tries)?;
    assert_eq!(
        lease_state(tmp.path(), now_of(tmp.path())?)?,
        LeaseState::Free(tries)
    );
    let lease = take(tmp.path(), me())?;
    assert_eq!((lease.number(), lease.tries()), (1, tries));
    assert_eq!(numbers(tmp.path())?, [1]);
    Ok(())
}

#[test]
fn a_lease_lasts_while_it_is_touched_and_no_longer() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let lease = take(tmp.path(), elsewhere())?;
    std::thread::sleep(3 * SHORT);
    assert!(Lease::take(tmp.path(), me())?.is_none());
    lease.leave();
    assert!(Lease::take(tmp.path(), me())?.is_none(), "too early");
    std::thread::sleep(2 * SHORT);
    let lease = take(tmp.path(), me())?;
    assert_eq!(lease.tries().killed, 1);
    Ok(())
}

#[test]
fn a_holder_that_is_seen_to_have_ended_is_not_waited_for() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let mut ended = Holder::me("0.1.0", None, LEASE);
    ended.process.started += 1;
    take(tmp.path(), ended)?.leave();
    if cfg!(target_os = "linux") {
        assert_eq!(take(tmp.path(), me())?.number(), 1);
    }
    Ok(())
}

/// The clock of this machine is no part of it: only times that the file server gave are compared.
#[test]
fn times_of_files_are_compared_with_times_of_files() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let lease = take(tmp.path(), elsewhere())?;
    let path = lease.core.path();
    lease.leave();
    let hour = Duration::from_secs(3600);
    let touched = std::fs::metadata(&path)?.modified()?;
    for (now, held) in [
        (touched, true),
        (touched - hour, true),
        (touched + SHORT / 2, true),
        (touched + 2 * SHORT, false),
        (touched + hour, false),
    ] {
        let lease_state = lease_state(tmp.path(), now)?;
        assert_eq!(matches!(lease_state, LeaseState::Held(_)), held, "{now:?}");
    }
    // A touch is by that clock, too.
    File::options()
        .write(true)
        .open(&path)?
        .set_modified(touched - hour)?;
    touch(&File::options().write(true).open(&path)?)?;
    let age = now_of(tmp.path())?.duration_since(std::fs::metadata(&path)?.modified()?)?;
    assert!(age < Duration::from_secs(60), "{age:?}");
    Ok(())
}

#[test]
fn who_lost_a_cell_writes_nothing() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &Options::default())?;
    let id = dir.plan()?.cells[0].id.clone();
    std::fs::remove_file(dir.cell_dir(&id).join("events.jsonl"))?;
    let first = dir.take_cell(&id, elsewhere())?.ok_or("held")?;
    let theirs = dir.under(&first);
    theirs.append_event(&id, &serde_json::json!({ "event": "mine" }))?;
    // It sleeps through its lease.
    let number = first.number();
    let mut first = first;
    first.rest();
    std::thread::sleep(2 * SHORT);
    let second = dir.take_cell(&id, me())?.ok_or("held")?;
    let before = std::fs::read(dir.cell_dir(&id).join("result.json"))?;
    let record = dir.result(&id)?.ok_or("a result")?;
    let files = || std::fs::read_dir(dir.cell_dir(&id)).map(Iterator::count);
    let count = files()?;
    for refused in [
        theirs.write_result(&id, &record),
        theirs.append_event(&id, &serde_json::json!({ "event": "mine" })),
        theirs
            .set_aside(&dir.cell_dir(&id).join("result.json"))
            .map(|_| ()),
        theirs.check(),
        first.release(Tries::default()),
        dir.adopt_cell(&id, number, me()).map(|_| ()),
    ] {
        let error = refused.expect_err("its lease is lost");
        assert!(error.is_lost(), "{error}");
        let holder = format!("taken over by process {} on", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
    }
    assert_eq!(
        std::fs::read(dir.cell_dir(&id).join("result.json"))?,
        before
    );
    assert_eq!(files()?, count, "a half-written file was left");
    assert_eq!(dir.events(&id)?.lines.len(), 1);
    dir.under(&second)
        .append_event(&id, &serde_json::json!({}))?;
    second.release(Tries::default())?;
    Ok(())
}

#[test]
fn a_cell_whose_folder_was_removed_can_be_taken_again() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let cell = tmp.path().join("cell");
    let free = LeaseState::Free(Tries::default());
    assert_eq!(lease_state(&cell, now_of(tmp.path())?)?, free);
    assert_eq!(take(&cell, me())?.number(), 0);
    // Not so in a run that was moved away.
    assert!(Lease::take(&tmp.path().join("moved/cell"), me()).is_err());
    assert!(!tmp.path().join("moved").exists());
    Ok(())
}

/// A worker's process takes the cell, the process of the cell goes on with it, and the worker ends it.
#[test]
fn a_lease_is_handed_on() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let lease = take(tmp.path(), me())?;
    let number = lease.number();
    lease.leave();
    let adopted = Lease::adopt(tmp.path(), number, elsewhere())?;
    let held = lease_state(tmp.path(), now_of(tmp.path())?)?;
    assert_eq!(held, LeaseState::Held(Some(elsewhere())));
    std::thread::sleep(2 * SHORT);
    assert!(Lease::take(tmp.path(), me())?.is_none());
    adopted.leave();
    let again = Lease::adopt(tmp.path(), number, me())?;
    again.release(Tries {
        failed: 1,
        ..Tries::default()
    })?;
    let found = lease_state(tmp.path(), now_of(tmp.path())?)?;
    assert_eq!(
        found,
        LeaseState::Free(Tries {
            failed: 1,
            ..Tries::default()
        })
    );
    Ok(())
}

#[test]
fn a_lease_whose_words_cannot_be_read_lasts_a_moment() -> Outcome {
    let tmp = tempfile::tempdir()?;
    for words in ["", "{", "[]", "released"] {
        let path = tmp.path().join("lease.3");
        std::fs::write(&path, words)?;
        assert!(Lease::take(tmp.path(), me())?.is_none(), "{words:?}");
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(SystemTime::now() - 2 * WORDLESS)?;
        let lease = take(tmp.path(), me())?;
        assert_eq!(lease.number(), 4);
        drop(lease);
        std::fs::remove_file(tmp.path().join("lease.4"))?;
    }
    // No number of a lease, and no file that is waited on.
    std::fs::write(tmp.path().join("lease.x"), "")?;
    #[cfg(unix)]
    std::os::unix::fs::symlink("/dev/zero", tmp.path().join("lease.9"))?;
    assert!(Lease::take(tmp.path(), me())?.is_none() || cfg!(not(unix)));
    Ok(())
}

#[test]
fn half_written_files_of_lost_holders_are_swept_and_those_of_living_ones_spared() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let mine = super::super::disk::half_of(&tmp.path().join("result.json"));
    let theirs = tmp
        .path()
        .join(".result.json.half-written-far-away-beef-17-00ff");
    std::fs::write(&mine, "")?;
    std::fs::write(&theirs, "")?;
    let _lease = take(tmp.path(), me())?;
    assert!(!theirs.exists());
    assert!(mine.exists() || cfg!(not(target_os = "linux")));
    Ok(())
}

/// Workers that sleep through their leases at random: what is written under a lease is never followed by what an earlier
/// holder wrote, and all that was to be written is there once.
#[test]
fn sleepers_lose_and_nothing_is_written_twice() -> Outcome {
    const STEPS: usize = 12;
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &Options::default())?;
    let id = dir.plan()?.cells[0].id.clone();
    std::fs::remove_file(dir.cell_dir(&id).join("events.jsonl"))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let work = |worker: usize| -> Result<(), StoreError> {
        let mut sleepy = worker;
        while dir.events(&id)?.lines.len() < STEPS && Instant::now() < deadline {
            let lasts = Duration::from_millis(60);
            let holder = Holder {
                seconds: lasts.as_secs_f64(),
                ..elsewhere()
            };
            let Some(mut lease) = dir.take_cell(&id, holder)? else {
                std::thread::sleep(lasts / 4);
                continue;
            };
            let own = dir.under(&lease);
            loop {
                let done = dir.events(&id)?.lines.len();
                if done >= STEPS {
                    break lease.release(Tries::default())?;
                }
                sleepy = (sleepy * 31 + 7) % 11;
                if sleepy < 4 {
                    lease.rest();
                    std::thread::sleep(lasts * 3);
                }
                let step = serde_json::json!({ "step": done, "lease": lease.number() });
                match own.append_event(&id, &step) {
                    Err(e) if e.is_lost() => break,
                    other => other?,
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6).map(|i| scope.spawn(move || work(i))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let lines = dir.events(&id)?.lines;
    let numbers: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["lease"].as_u64())
        .collect();
    let steps: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["step"].as_u64())
        .collect();
    assert_eq!(steps, (0..STEPS as u64).collect::<Vec<_>>(), "{lines:?}");
    assert!(
        numbers.is_sorted() && numbers.last() > Some(&1),
        "{numbers:?}"
    );
    Ok(())
}
