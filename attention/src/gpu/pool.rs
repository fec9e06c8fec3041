//! Device memory that nobody uses and that the next array of its size takes over.

use super::driver::Handle;
use std::collections::HashMap;

/// Unused buffers that are kept; beyond it they are freed.
const POOL_BYTES: u64 = 1 << 30;

/// Memory that nobody uses, by size.
#[derive(Default)]
pub(super) struct Pool {
    free: HashMap<u64, Vec<Handle>>,
    bytes: u64,
}

impl Pool {
    /// Takes memory of `size` bytes in, unless the pool is full; says whether it did.
    pub(super) fn keep(&mut self, memory: Handle, size: u64) -> bool {
        let fits = self.bytes + size <= POOL_BYTES;
        if fits {
            self.bytes += size;
            self.free.entry(size).or_default().push(memory);
        }
        fits
    }

    /// Gives all away, to be freed, and their bytes.
    pub(super) fn clear(&mut self) -> (Vec<Handle>, u64) {
        let all = self.free.drain().flat_map(|(_, free)| free).collect();
        (all, std::mem::take(&mut self.bytes))
    }

    /// Gives memory of exactly `size` bytes, if there is one.
    pub(super) fn take(&mut self, size: u64) -> Option<Handle> {
        let memory = self.free.get_mut(&size)?.pop()?;
        self.bytes -= size;
        Some(memory)
    }
}

/// Few sizes, so that buffers fit again: powers of two, above 1 MiB whole MiB.
pub(super) fn size_class(bytes: u64) -> u64 {
    if bytes <= 1 << 20 {
        bytes.next_power_of_two().max(256)
    } else {
        bytes.next_multiple_of(1 << 20)
    }
}
