//! A run folder as many workers share it: cells that are taken, and what is written under their leases alone.

use super::disk::{self, Disk};
use super::lease::{self, Core, Holder, Lease, LeaseState};
use super::{RunDir, StoreError, failed};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

impl RunDir {
    /// Takes a cell: one process makes it. `None` if another does.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn take_cell(&self, id: &str, me: Holder) -> Result<Option<Lease>, StoreError> {
        Lease::take(&self.make_cell(id)?, me)
    }

    /// Goes on with lease `number` of a cell, which another process of the same worker took or left.
    ///
    /// # Errors
    /// [`StoreError::is_lost`] if it was taken over; the system's refusal.
    pub fn adopt_cell(&self, id: &str, number: u64, me: Holder) -> Result<Lease, StoreError> {
        Lease::adopt(&self.cell_dir(id), number, me)
    }

    /// Where a cell stands between workers, at the time `now` of [`now`](RunDir::now).
    ///
    /// # Errors
    /// The system's refusal.
    pub fn lease_state(&self, id: &str, now: SystemTime) -> Result<LeaseState, StoreError> {
        let folder = self.cell_dir(id);
        lease::lease_state(&folder, now).map_err(failed("reading the leases of", &folder))
    }

    /// Whether lease `number` of a cell was not taken over, as far as can be seen.
    #[must_use]
    pub fn holds(&self, id: &str, number: u64) -> bool {
        lease::is_highest(&self.cell_dir(id), number)
    }

    /// The time by the clock that the times of files in this folder are taken from.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn now(&self) -> Result<SystemTime, StoreError> {
        disk::now_of(&self.path).map_err(failed("asking for the time of", &self.path))
    }

    /// The same folder, to be written by the holder of `lease` alone: once it is taken over, every write is refused with
    /// [`StoreError::is_lost`].
    #[must_use]
    pub fn under(&self, lease: &Lease) -> RunDir {
        RunDir {
            path: self.path.clone(),
            disk: Arc::new(Guarded {
                core: Arc::clone(&lease.core),
                disk: Arc::clone(&self.disk),
            }),
        }
    }

    /// Whether this folder may be written now.
    ///
    /// # Errors
    /// [`StoreError::is_lost`] if the lease that it is written under was taken over.
    pub fn check(&self) -> Result<(), StoreError> {
        self.disk.check().map_err(failed("writing", &self.path))
    }
}

/// A disk that only the holder of a lease changes. A half-written file is nothing that anybody reads.
#[derive(Debug)]
struct Guarded {
    core: Arc<Core>,
    disk: Arc<dyn Disk>,
}

impl Disk for Guarded {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(path, bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.disk.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.core.check()?;
        self.disk.rename(from, to)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.core.check()?;
        self.disk.append(path, bytes)
    }

    fn check(&self) -> io::Result<()> {
        self.core.check()?;
        self.disk.check()
    }
}
