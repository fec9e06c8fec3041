//! Device memory that nobody uses and that the next array of its size takes over.

use ::wgpu;
use std::collections::HashMap;

/// Unused buffers that are kept; beyond it they are freed.
const POOL_BYTES: u64 = 1 << 30;

/// Buffers that nobody uses, by size.
#[derive(Default)]
pub(super) struct Pool {
    free: HashMap<u64, Vec<wgpu::Buffer>>,
    bytes: u64,
}

impl Pool {
    /// Takes a buffer in, or drops it if the pool is full; says which.
    pub(super) fn keep(&mut self, buffer: wgpu::Buffer) -> bool {
        let size = buffer.size();
        let fits = self.bytes + size <= POOL_BYTES;
        if fits {
            self.bytes += size;
            self.free.entry(size).or_default().push(buffer);
        }
        fits
    }

    /// Frees all; gives their bytes.
    pub(super) fn clear(&mut self) -> u64 {
        self.free.clear();
        std::mem::take(&mut self.bytes)
    }

    /// Gives a buffer of exactly `size` bytes, if there is one.
    pub(super) fn take(&mut self, size: u64) -> Option<wgpu::Buffer> {
        let buffer = self.free.get_mut(&size)?.pop()?;
        self.bytes -= size;
        Some(buffer)
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
