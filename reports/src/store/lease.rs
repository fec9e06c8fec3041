//! Leases: which process makes a cell. Any number of workers on any number of machines share a run folder; all they need
//! of its file system is that a file can be made only once, that a rename replaces, and one clock.
//!
//! A cell's folder holds `lease.N`, made with "only if it is not there". Whoever has the highest number holds the cell, as
//! long as it touches the file: one that was not touched for the time that its holder promised, by the clock of the file
//! server, and one whose holder can be seen to have ended, is taken over by making `lease.N+1`. The highest file stays
//! when it is released, with the word how often the cell went wrong; lower ones are removed. The holder looks before every
//! write whether its number is still the highest (`guard.rs`), so a process that slept through its lease and wakes
//! up writes nothing.
//!
//! A look and a write are two steps. What slips between them is harmless, because a cell's files are replaced whole and
//! are a function of its config: at worst a state of training goes back to an earlier one that is just as right.

mod file;

use super::StoreError;
use super::disk::{now_of, sweep, touch};
use super::process::{Life, Process};
use file::{Words, bytes, numbers, of, read, replace};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// How long a lease lasts without a touch. Clients of NFS may see a file's time as it was a minute ago.
pub const LEASE: Duration = Duration::from_secs(120);
/// Touches within the time that a lease lasts.
const TOUCHES: u32 = 8;
/// How long a lease without a holder's words lasts: they are written in the moment in which it is made. Whoever writes them
/// later looks again before it works.
const WORDLESS: Duration = Duration::from_secs(10);

/// How often a cell went wrong since somebody last asked for it anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tries {
    /// Its process ended with an error.
    pub failed: u32,
    /// Its process was ended from outside, or its whole machine was.
    pub killed: u32,
    /// Trying again cannot help.
    pub hopeless: bool,
}

/// Who makes a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    #[serde(flatten)]
    pub process: Process,
    /// The job of a scheduler that it is a part of (`slurm 12_3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Seconds without a touch after which it is to be taken for gone.
    pub seconds: f64,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn me(version: &str, job: Option<String>, lasts: Duration) -> Holder {
        Holder {
            process: Process::me(),
            job,
            version: version.to_string(),
            seconds: lasts.as_secs_f64(),
        }
    }

    fn lasts(&self) -> Duration {
        // What another wrote may be no time at all.
        let time = Duration::try_from_secs_f64(self.seconds);
        time.ok().filter(|time| !time.is_zero()).unwrap_or(LEASE)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.process.pid, self.process.host)?;
        match &self.job {
            Some(job) => write!(f, ", {job}"),
            None => Ok(()),
        }
    }
}

/// Where a cell stands between workers.
#[derive(Clone, Debug, PartialEq)]
pub enum LeaseState {
    /// Nobody makes it.
    Free(Tries),
    /// It is being made; by whom is not known in the moment in which a lease is made.
    Held(Option<Holder>),
}

/// The error of a holder whose lease was taken over; inside of an [`io::Error`], so that it passes through every write.
#[derive(Debug, thiserror::Error)]
#[error("its lease was taken over by {0}")]
pub(crate) struct Lost(String);

/// The right to write a cell's folder, kept fresh by a thread of its own.
#[derive(Debug)]
pub struct Lease {
    pub(super) core: Arc<Core>,
    tries: Tries,
    /// The thread, and what ends it.
    beating: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
}

#[derive(Debug)]
pub(super) struct Core {
    folder: PathBuf,
    number: u64,
    lost: AtomicBool,
}

impl Core {
    fn path(&self) -> PathBuf {
        of(&self.folder, self.number)
    }

    fn touch(&self) -> io::Result<()> {
        touch(&OpenOptions::new().write(true).open(self.path())?)
    }

    /// Whether the cell is still ours.
    pub(super) fn check(&self) -> io::Result<()> {
        let highest = numbers(&self.folder)?.last().copied();
        if highest == Some(self.number) && !self.lost.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.lost.store(true, Ordering::Relaxed);
        let words = highest.and_then(|number| read(&of(&self.folder, number)));
        let by = words.and_then(|(words, _)| words?.holder);
        let by = by.map_or("another process".to_string(), |holder| holder.to_string());
        Err(io::Error::other(Lost(by)))
    }
}

impl Lease {
    /// Takes the cell whose folder this is; `None` if somebody has it.
    ///
    /// # Errors
    /// The system's refusal.
    pub(super) fn take(folder: &Path, me: Holder) -> Result<Option<Lease>, StoreError> {
        let taken = try_take(folder, me);
        taken.map_err(super::failed("taking the lease of", folder))
    }

    /// Goes on with lease `number`, which another process of the same worker took or left.
    ///
    /// # Errors
    /// [`StoreError::is_lost`] if it was taken over; the system's refusal.
    pub(super) fn adopt(folder: &Path, number: u64, me: Holder) -> Result<Lease, StoreError> {
        let failed = |e| super::failed("going on with the lease of", folder)(e);
        let core = Core {
            folder: folder.to_path_buf(),
            number,
            lost: AtomicBool::new(false),
        };
        core.check().map_err(failed)?;
        let tries = read(&core.path()).and_then(|(words, _)| words);
        let tries = tries.map(|words| words.tries).unwrap_or_default();
        let lasts = me.lasts();
        let words = Words {
            holder: Some(me),
            tries,
        };
        replace(&core.path(), &words)?;
        core.check().and_then(|()| core.touch()).map_err(failed)?;
        Ok(Lease::beating(core, tries, lasts))
    }

    fn beating(core: Core, tries: Tries, lasts: Duration) -> Lease {
        let core = Arc::new(core);
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, over) = (Arc::clone(&core), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            loop {
                std::thread::park_timeout(lasts / TOUCHES);
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // A disk that refuses now may not the next time; a holder who lost sees so when it writes.
                let _ = kept.check().and_then(|()| kept.touch());
            }
        });
        Lease {
            core,
            tries,
            beating: Some((thread, stop)),
        }
    }

    /// Its number, for [`adopt`](super::RunDir::adopt_cell).
    #[must_use]
    pub fn number(&self) -> u64 {
        self.core.number
    }

    /// How often the cell went wrong before.
    #[must_use]
    pub fn tries(&self) -> Tries {
        self.tries
    }

    /// Whether it was seen that the lease was taken over.
    pub fn is_lost(&self) -> bool {
        self.core.lost.load(Ordering::Relaxed)
    }

    /// Gives the cell back, with the word how often it went wrong.
    ///
    /// # Errors
    /// [`StoreError::is_lost`] if it was taken over; the system's refusal.
    pub fn release(mut self, tries: Tries) -> Result<(), StoreError> {
        self.rest();
        let path = self.core.path();
        self.core
            .check()
            .map_err(super::failed("releasing", &path))?;
        replace(
            &path,
            &Words {
                holder: None,
                tries,
            },
        )
    }

    /// Lets another process of the same worker go on with it.
    pub fn leave(mut self) {
        self.rest();
    }

    /// Touches it no more.
    fn rest(&mut self) {
        if let Some((thread, stop)) = self.beating.take() {
            stop.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            // A thread that panicked touches nothing, either.
            let _ = thread.join();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Where the cell whose folder this is stands, at the time `now` of the file server.
pub(super) fn lease_state(folder: &Path, now: SystemTime) -> io::Result<LeaseState> {
    match numbers(folder) {
        // A cell whose folder somebody removed is to be made again.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(LeaseState::Free(Tries::default())),
        Err(e) => Err(e),
        Ok(all) => Ok(match all.last() {
            None => LeaseState::Free(Tries::default()),
            Some(&number) => lease_state_of(&of(folder, number), now),
        }),
    }
}

/// Whether there is no higher lease in a folder than `number`; what cannot be read is no proof of one.
pub(super) fn is_highest(folder: &Path, number: u64) -> bool {
    numbers(folder).map_or(true, |all| all.last().is_none_or(|last| *last <= number))
}

fn lease_state_of(path: &Path, now: SystemTime) -> LeaseState {
    // It was there: its successor is being made, or its holder adopts it.
    let Some((words, touched)) = read(path) else {
        return LeaseState::Held(None);
    };
    let words = match words {
        Some(words) => words,
        None if expired(touched, now, WORDLESS) => {
            return LeaseState::Free(killed(Tries::default()));
        }
        None => return LeaseState::Held(None),
    };
    let Some(holder) = words.holder else {
        return LeaseState::Free(words.tries);
    };
    match holder.process.life() {
        Life::Ended => LeaseState::Free(killed(words.tries)),
        _ if expired(touched, now, holder.lasts()) => LeaseState::Free(killed(words.tries)),
        _ => LeaseState::Held(Some(holder)),
    }
}

fn killed(tries: Tries) -> Tries {
    Tries {
        killed: tries.killed.saturating_add(1),
        ..tries
    }
}

fn expired(touched: SystemTime, now: SystemTime, lasts: Duration) -> bool {
    // One that was touched after `now` was asked for is fresh.
    now.duration_since(touched).is_ok_and(|age| age > lasts)
}

fn try_take(folder: &Path, me: Holder) -> io::Result<Option<Lease>> {
    // Not its parents: a run that was moved away must not be begun anew.
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let (next, tries) = match numbers(folder)?.last() {
        None => (0, Tries::default()),
        Some(&number) => match lease_state_of(&of(folder, number), now_of(folder)?) {
            LeaseState::Free(tries) => (number + 1, tries),
            LeaseState::Held(_) => return Ok(None),
        },
    };
    let lasts = me.lasts();
    let words = Words {
        holder: Some(me),
        tries,
    };
    let path = of(folder, next);
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(e) => return Err(e),
        Ok(mut file) => {
            let written = file
                .write_all(&bytes(&words))
                .and_then(|()| file.sync_all())
                .and_then(|()| touch(&file));
            if let Err(e) = written {
                let _ = std::fs::remove_file(&path);
                return Err(e);
            }
        }
    }
    let all = numbers(folder)?;
    // Who was slow may have made a number again that was removed because there are higher ones.
    if all.last() != Some(&next) {
        let _ = std::fs::remove_file(&path);
        return Ok(None);
    }
    for number in all.into_iter().filter(|number| *number < next) {
        // One that stays is lower than ours, and counts for nothing.
        let _ = std::fs::remove_file(of(folder, number));
    }
    // Writers of other machines have lost the cell; those of this one end, and then their files are swept.
    sweep(folder, |writer| {
        writer.is_none_or(|writer| writer.life() != Life::Lives)
    });
    let core = Core {
        folder: folder.to_path_buf(),
        number: next,
        lost: AtomicBool::new(false),
    };
    Ok(Some(Lease::beating(core, tries, lasts)))
}

#[cfg(test)]
mod tests;
