//! Device memory: buffers from the pool, copies to the device and back.

use super::{Context, lock, tally};
use crate::Result;
use crate::wgpu::pool::size_class;
use ::wgpu;
use std::fmt;
use std::sync::Arc;

/// Device memory; goes back to the pool when the last owner drops it.
pub(crate) struct Buffer {
    pub(super) raw: wgpu::Buffer,
    /// Bytes asked for; the buffer may be larger.
    pub(super) bytes: u64,
    context: Context,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.context.0.pool).keep(self.raw.clone());
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes)
    }
}

impl Context {
    /// Memory for `count` elements of 4 bytes; its contents are left over from earlier uses.
    pub(crate) fn alloc(&self, count: usize) -> Result<Arc<Buffer>> {
        self.check()?;
        // A binding has at least one element.
        let bytes = 4 * count.max(1) as u64;
        if bytes > self.largest_array() {
            return Err(self.error(format!(
                "an array of {bytes} bytes is needed, the adapter allows {}; fewer windows at a time or shorter ones \
                 need smaller arrays",
                self.largest_array()
            )));
        }
        let size = size_class(bytes).min(self.0.limits.max_buffer_size & !3);
        let unused = lock(&self.0.pool).take(size);
        let raw = match unused {
            Some(raw) => raw,
            None => self.create(size)?,
        };
        Ok(Arc::new(Buffer {
            raw,
            bytes,
            context: self.clone(),
        }))
    }

    fn create(&self, size: u64) -> Result<wgpu::Buffer> {
        let scope = self
            .0
            .device
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("array"),
            size,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(raw),
            Some(error) => Err(self.error(format!("no memory for {size} bytes: {error}"))),
        }
    }

    /// Copies to the device.
    pub(crate) fn upload(&self, words: &[u32]) -> Result<Arc<Buffer>> {
        let buffer = self.alloc(words.len())?;
        tally(&self.0.counters.uploads);
        // The copy happens before commands that are handed over later, and a reused buffer may still occur in those
        // that are gathered.
        self.submit()?;
        self.0
            .queue
            .write_buffer(&buffer.raw, 0, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    /// Copies `count` elements back and waits for all commands before.
    pub(crate) fn download(&self, buffer: &Buffer, count: usize) -> Result<Vec<u32>> {
        let bytes = 4 * count as u64;
        if count == 0 {
            return Ok(Vec::new());
        }
        tally(&self.0.counters.read_backs);
        let staging = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read-back"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        {
            let mut pending = lock(&self.0.pending);
            self.encoder(&mut pending)
                .copy_buffer_to_buffer(&buffer.raw, 0, &staging, 0, bytes);
        }
        self.submit()?;
        let fault = self.0.fault.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |mapped| {
            if let Err(error) = mapped {
                lock(&fault).get_or_insert_with(|| format!("reading back: {error}"));
            }
        });
        self.wait()?;
        let view = staging
            .get_mapped_range(..)
            .map_err(|e| self.error(format!("reading back: {e}")))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }
}
