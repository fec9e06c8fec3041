//! Counts of what was asked of a device.

use super::Context;
use crate::device::Traffic;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn tally(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters of a context.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) kernels: AtomicU64,
    pub(super) submissions: AtomicU64,
    pub(super) uploads: AtomicU64,
    pub(super) read_backs: AtomicU64,
}

impl Context {
    /// What was asked of the device so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            kernels: of(&self.0.counters.kernels),
            submissions: of(&self.0.counters.submissions),
            uploads: of(&self.0.counters.uploads),
            read_backs: of(&self.0.counters.read_backs),
        }
    }
}
