//! Device memory: buffers from the pool, copies to the device and back.

use super::{Context, lock, tally};
use crate::Result;
use crate::wgpu::pool::size_class;
use ::wgpu;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Device memory; goes back to the pool when the last owner drops it.
pub(crate) struct Buffer {
    pub(super) raw: wgpu::Buffer,
    /// Bytes asked for; the buffer may be larger.
    pub(super) bytes: u64,
    context: Context,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let kept = lock(&self.context.0.pool).keep(self.raw.clone());
        if !kept {
            let held = &self.context.0.held;
            held.fetch_sub(self.raw.size(), Ordering::Relaxed);
        }
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

    /// A new buffer. Where memory is short, unused buffers of other sizes are freed first.
    fn create(&self, size: u64) -> Result<wgpu::Buffer> {
        let held = &self.0.held;
        let raw = self.try_create(size).or_else(|_| {
            self.synchronize()?;
            held.fetch_sub(lock(&self.0.pool).clear(), Ordering::Relaxed);
            // The device lets go of them when it is asked next.
            self.wait()?;
            self.try_create(size).map_err(|why| {
                let held = held.load(Ordering::Relaxed);
                self.error(format!(
                    "no memory for an array of {size} bytes beside the {held} bytes in use; fewer windows at a time \
                     or shorter ones need less: {why}"
                ))
            })
        })?;
        held.fetch_add(size, Ordering::Relaxed);
        Ok(raw)
    }

    fn try_create(&self, size: u64) -> std::result::Result<wgpu::Buffer, String> {
        let held = self.0.held.load(Ordering::Relaxed);
        if held + size > self.0.memory {
            return Err(format!("the device has {} bytes", self.0.memory));
        }
        let device = &self.0.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("array"),
            size,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(raw),
            Some(error) => Err(error.to_string()),
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
