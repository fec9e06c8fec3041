//! Devices of wgpu: Vulkan, Metal, DirectX 12. Pipelines by shader text, commands gathered into few submissions.

mod adapters;
mod valid;

use super::kind::{Driver, Facts, Handle, Limits, Lower};
use crate::locked::lock;
use crate::spec::{DeviceSpec, Precision};
use crate::{Error, Result};
pub(super) use adapters::list;
use adapters::{adapters, bounds, label, largest_array};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
pub use valid::validate;

/// Commands that are gathered before they are handed over; more would let the device idle meanwhile.
const COMMANDS_PER_SUBMISSION: usize = 256;

/// Room for the sizes and strides of the commands of one submission.
const INFO_BYTES: usize = 1 << 20;

/// An open adapter.
struct Adapter {
    facts: Facts,
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// Bytes that the offset of a binding is a multiple of.
    align: usize,
    info: wgpu::Buffer,
    buffers: Mutex<HashMap<Handle, wgpu::Buffer>>,
    next: AtomicU64,
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
    pending: Mutex<Pending>,
    submissions: AtomicU64,
    /// Why the device can no longer be used, or what it refused.
    fault: Arc<Mutex<Option<String>>>,
}

/// Commands that are not handed over yet.
#[derive(Default)]
struct Pending {
    encoder: Option<wgpu::CommandEncoder>,
    commands: usize,
    info: Vec<u8>,
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.facts.label)
    }
}

/// Opens adapter number `ordinal`. Fails where there is none, or where its driver refuses.
pub(super) fn open(ordinal: usize, lower: Lower<'_>) -> Result<Box<dyn Driver>> {
    let spec = DeviceSpec::Wgpu(ordinal);
    let fail = |why: String| Error::Device {
        asked: spec.to_string(),
        why,
    };
    let adapters = adapters();
    let Some(adapter) = adapters.get(ordinal) else {
        return Err(fail(match adapters.len() {
            0 => adapters::NONE.into(),
            n => format!("expected an adapter below {n}, the number on this machine"),
        }));
    };
    let mut limits = adapter.limits();
    let features = adapter.features() & wgpu::Features::SUBGROUP;
    let mut own = Limits {
        array: largest_array(&limits),
        memory_block: limits.max_buffer_size & !3,
        memory: u64::MAX,
        arrays: limits.max_storage_buffers_per_shader_stage as usize - 1,
        groups: limits.max_compute_workgroups_per_dimension as usize,
    };
    lower(&mut own);
    limits.max_storage_buffer_binding_size = own.array;
    limits.max_storage_buffers_per_shader_stage = own.arrays as u32 + 1;
    limits.max_compute_workgroups_per_dimension = own.groups as u32;
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("farspan"),
        required_limits: limits.clone(),
        required_features: features,
        ..wgpu::DeviceDescriptor::default()
    };
    let opened = pollster::block_on(adapter.request_device(&descriptor));
    let (device, queue) = opened.map_err(|e| fail(e.to_string()))?;
    let fault = Arc::new(Mutex::new(None));
    let noted = fault.clone();
    device.set_device_lost_callback(move |reason, message| {
        *lock(&noted) = Some(format!("the device was lost ({reason:?}): {message}"));
    });
    let noted = fault.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        lock(&noted).get_or_insert_with(|| error.to_string());
    }));
    let info = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("info"),
        size: INFO_BYTES as u64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let found = adapter.get_info();
    let facts = Facts {
        label: label(&found),
        bounds: bounds(&limits, features),
        limits: own,
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        precision: Precision::F32,
        software: found.device_type == wgpu::DeviceType::Cpu,
    };
    Ok(Box::new(Adapter {
        facts,
        device,
        queue,
        align: (limits.min_storage_buffer_offset_alignment as usize).max(4),
        info,
        buffers: Mutex::default(),
        next: AtomicU64::new(0),
        pipelines: Mutex::default(),
        pending: Mutex::default(),
        submissions: AtomicU64::new(0),
        fault,
    }))
}

impl Adapter {
    fn check(&self) -> Result<(), String> {
        self.fault().map_or(Ok(()), Err)
    }

    fn wait(&self) -> Result<(), String> {
        let done = self.device.poll(wgpu::PollType::wait_indefinitely());
        done.map_err(|e| e.to_string())?;
        self.check()
    }

    /// The buffer behind a handle, which is one that [`Driver::create`] gave.
    fn buffer(&self, memory: Handle) -> Result<wgpu::Buffer, String> {
        let found = lock(&self.buffers).get(&memory).cloned();
        found.ok_or_else(|| format!("no memory has number {memory}"))
    }

    fn encoder<'a>(&self, pending: &'a mut Pending) -> &'a mut wgpu::CommandEncoder {
        pending.commands += 1;
        pending.encoder.get_or_insert_with(|| {
            self.device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        })
    }

    /// Hands gathered commands over.
    fn submit(&self) -> Result<(), String> {
        self.hand_over(&mut lock(&self.pending));
        self.check()
    }

    fn hand_over(&self, pending: &mut Pending) {
        let Pending { encoder, info, .. } = std::mem::take(pending);
        if let Some(encoder) = encoder {
            self.submissions.fetch_add(1, Ordering::Relaxed);
            self.queue.write_buffer(&self.info, 0, &info);
            self.queue.submit([encoder.finish()]);
        }
    }

    fn pipeline(&self, shader: &str) -> Result<wgpu::ComputePipeline, String> {
        if let Some(pipeline) = lock(&self.pipelines).get(shader) {
            return Ok(pipeline.clone());
        }
        let device = &self.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(shader.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(format!("refused a kernel: {error}\n{shader}"));
        }
        lock(&self.pipelines).insert(shader.to_string(), pipeline.clone());
        Ok(pipeline)
    }
}

impl Driver for Adapter {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    fn create(&self, bytes: u64) -> Result<Handle, String> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("array"),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(error.to_string());
        }
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.buffers).insert(handle, raw);
        Ok(handle)
    }

    fn free(&self, memory: Handle) {
        lock(&self.buffers).remove(&memory);
    }

    fn write(&self, memory: Handle, words: &[u32]) -> Result<(), String> {
        // The copy happens before commands that are handed over later, and a reused buffer may still occur in those
        // that are gathered.
        self.submit()?;
        let words = bytemuck::cast_slice(words);
        self.queue.write_buffer(&self.buffer(memory)?, 0, words);
        Ok(())
    }

    fn read(&self, memory: Handle, count: usize) -> Result<Vec<u32>, String> {
        let bytes = 4 * count as u64;
        let raw = self.buffer(memory)?;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read-back"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        {
            let mut pending = lock(&self.pending);
            self.encoder(&mut pending)
                .copy_buffer_to_buffer(&raw, 0, &staging, 0, bytes);
        }
        self.submit()?;
        let fault = self.fault.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |mapped| {
            if let Err(error) = mapped {
                lock(&fault).get_or_insert_with(|| format!("reading back: {error}"));
            }
        });
        self.wait()?;
        let view = staging
            .get_mapped_range(..)
            .map_err(|e| format!("reading back: {e}"))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }

    fn compile(&self, text: &str) -> Result<(), String> {
        self.pipeline(text).map(|_| ())
    }

    fn launch(
        &self,
        text: &str,
        info: &[u32],
        arrays: &[(Handle, u64)],
        groups: usize,
    ) -> Result<(), String> {
        let pipeline = self.pipeline(text)?;
        let align = self.align;
        let bytes = 4 * (info.len() + 1);
        let mut pending = lock(&self.pending);
        let full = pending.info.len() + bytes + align > INFO_BYTES;
        if full || pending.commands >= COMMANDS_PER_SUBMISSION {
            self.hand_over(&mut pending);
        }
        let offset = pending.info.len().next_multiple_of(align);
        pending.info.resize(offset, 0);
        let infinity = f32::INFINITY.to_bits().to_ne_bytes();
        pending.info.extend_from_slice(&infinity);
        pending.info.extend_from_slice(bytemuck::cast_slice(info));
        let bind = |binding: usize, buffer, offset: u64, bytes: u64| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: std::num::NonZeroU64::new(bytes),
            }),
        };
        let bound = arrays
            .iter()
            .map(|(memory, bytes)| Ok((self.buffer(*memory)?, *bytes)));
        let bound: Vec<(wgpu::Buffer, u64)> = bound.collect::<Result<_, String>>()?;
        let mut entries = vec![bind(0, &self.info, offset as u64, bytes as u64)];
        let numbered = bound.iter().enumerate();
        entries.extend(numbered.map(|(i, (raw, bytes))| bind(i + 1, raw, 0, *bytes)));
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let most = self.facts.limits.groups;
        let (x, y) = (groups.min(most), groups.div_ceil(most));
        let mut pass = self
            .encoder(&mut pending)
            .begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x as u32, y as u32, 1);
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        self.submit()?;
        self.wait()
    }

    fn counts(&self) -> (usize, u64) {
        let submissions = self.submissions.load(Ordering::Relaxed);
        (lock(&self.pipelines).len(), submissions)
    }

    #[cfg(test)]
    fn destroy(&self) {
        self.device.destroy();
    }
}
