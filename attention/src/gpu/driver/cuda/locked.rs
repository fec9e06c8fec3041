//! Mutexes that a panic elsewhere leaves usable.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic leaves what the driver locks whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
