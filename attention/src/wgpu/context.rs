//! The open adapter: buffers from a pool, pipelines by shader text, commands gathered into few submissions.

mod memory;
mod traffic;

use super::adapters::{adapters, bounds, label, largest_array};
use super::pool::Pool;
use crate::{DeviceSpec, Error, Result};
use ::wgpu;
pub(crate) use memory::Buffer;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use traffic::{Counters, tally};

/// Commands that are gathered before they are handed over; more would let the device idle meanwhile.
const COMMANDS_PER_SUBMISSION: usize = 256;

/// Room for the sizes and strides of the commands of one submission.
const INFO_BYTES: usize = 1 << 20;

/// Threads of a workgroup in every kernel of one dimension; each adapter allows them.
pub(crate) const GROUP: usize = 64;

/// An open adapter. Cheap to clone; all clones share one queue.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    spec: DeviceSpec,
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    features: wgpu::Features,
    /// Bytes that arrays may take up together; less than the device has in tests alone.
    memory: u64,
    /// Bytes that arrays and the pool take up.
    held: AtomicU64,
    info: wgpu::Buffer,
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
    pool: Mutex<Pool>,
    pending: Mutex<Pending>,
    /// Why the device can no longer be used, or what it refused.
    fault: Arc<Mutex<Option<String>>>,
    counters: Counters,
}

/// What a device is opened with.
pub(crate) struct Offer {
    pub(crate) limits: wgpu::Limits,
    pub(crate) features: wgpu::Features,
    pub(crate) memory: u64,
}

/// Commands that are not handed over yet.
#[derive(Default)]
struct Pending {
    encoder: Option<wgpu::CommandEncoder>,
    commands: usize,
    info: Vec<u8>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// A panic elsewhere leaves maps of buffers and pipelines whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Adapter number `ordinal`, which is opened once for the whole process, and again after it was lost.
    pub fn shared(ordinal: usize) -> Result<Context> {
        static OPEN: Mutex<BTreeMap<usize, Context>> = Mutex::new(BTreeMap::new());
        let mut open = lock(&OPEN);
        if let Some(context) = open.get(&ordinal)
            && context.check().is_ok()
        {
            return Ok(context.clone());
        }
        let context = Context::open(ordinal)?;
        open.insert(ordinal, context.clone());
        Ok(context)
    }

    /// Opens adapter number `ordinal`. Fails where there is none, or where its driver refuses.
    pub fn open(ordinal: usize) -> Result<Context> {
        Context::open_with(ordinal, |_| {})
    }

    /// The same, as if the adapter had less.
    pub(crate) fn open_with(ordinal: usize, lower: impl FnOnce(&mut Offer)) -> Result<Context> {
        let spec = DeviceSpec::Wgpu(ordinal);
        let fail = |why: String| Error::Device {
            asked: spec.to_string(),
            why,
        };
        let adapters = adapters();
        let Some(adapter) = adapters.get(ordinal) else {
            return Err(fail(match adapters.len() {
                0 => "this machine shows no adapter of Vulkan, Metal or DirectX 12; install a driver \
                      (on Debian and Ubuntu mesa-vulkan-drivers, which has a software one as well)"
                    .into(),
                n => format!("expected an adapter below {n}, the number on this machine"),
            }));
        };
        let mut offer = Offer {
            limits: adapter.limits(),
            features: adapter.features() & wgpu::Features::SUBGROUP,
            memory: u64::MAX,
        };
        lower(&mut offer);
        let Offer {
            limits,
            features,
            memory,
        } = offer;
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
        Ok(Context(Arc::new(Inner {
            spec,
            device,
            queue,
            adapter: adapter.get_info(),
            limits,
            features,
            memory,
            held: AtomicU64::new(0),
            info,
            pipelines: Mutex::default(),
            pool: Mutex::default(),
            pending: Mutex::default(),
            fault,
            counters: Counters::default(),
        })))
    }

    /// The kind and ordinal that open it again.
    pub fn spec(&self) -> DeviceSpec {
        self.0.spec
    }

    /// Name, backend, driver, and whether it is software.
    pub fn describe(&self) -> String {
        label(&self.0.adapter)
    }

    /// The limits that matter, in words.
    pub fn bounds(&self) -> String {
        bounds(&self.0.limits, self.0.features)
    }

    /// Whether kernels may join what threads of a subgroup found.
    pub(crate) fn has_subgroups(&self) -> bool {
        self.0.features.contains(wgpu::Features::SUBGROUP)
    }

    /// Whether the adapter is a program on the processor.
    pub fn is_software(&self) -> bool {
        self.0.adapter.device_type == wgpu::DeviceType::Cpu
    }

    /// Most bytes that one array may have.
    pub fn largest_array(&self) -> u64 {
        largest_array(&self.0.limits)
    }

    /// Arrays that one kernel may bind beside its info.
    pub(crate) fn arrays(&self) -> usize {
        self.0.limits.max_storage_buffers_per_shader_stage as usize - 1
    }

    /// Whether both are the same open adapter.
    pub fn is(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn error(&self, why: impl Into<String>) -> Error {
        Error::Device {
            asked: self.0.spec.to_string(),
            why: format!("{}: {}", self.describe(), why.into()),
        }
    }

    /// Fails once the device was lost or refused a command.
    fn check(&self) -> Result<()> {
        match &*lock(&self.0.fault) {
            None => Ok(()),
            Some(why) => Err(self.error(why.clone())),
        }
    }

    /// Hands gathered commands over and waits until all work is done.
    pub fn synchronize(&self) -> Result<()> {
        self.submit()?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        let done = self.0.device.poll(wgpu::PollType::wait_indefinitely());
        done.map_err(|e| self.error(e.to_string()))?;
        self.check()
    }

    /// Adds one kernel to the commands. `shader` has the entry point `main` and binds `info` (behind one word with the
    /// bits of ∞, which WGSL cannot write) at 0 and `buffers` at 1, 2, …; `groups` workgroups run, counted by
    /// `group.x + group.y · groups.x`, possibly some more than asked for.
    pub(crate) fn dispatch(
        &self,
        shader: &str,
        info: &[u32],
        buffers: &[&Buffer],
        groups: usize,
    ) -> Result<()> {
        if groups == 0 {
            return Ok(());
        }
        let pipeline = self.pipeline(shader)?;
        tally(&self.0.counters.kernels);
        let align = (self.0.limits.min_storage_buffer_offset_alignment as usize).max(4);
        let bytes = 4 * (info.len() + 1);
        let mut pending = lock(&self.0.pending);
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
        let mut entries = vec![bind(0, &self.0.info, offset as u64, bytes as u64)];
        let bound = buffers.iter().enumerate();
        entries.extend(bound.map(|(i, buffer)| bind(i + 1, &buffer.raw, 0, buffer.bytes)));
        let group = self.0.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let most = self.0.limits.max_compute_workgroups_per_dimension as usize;
        let (x, y) = (groups.min(most), groups.div_ceil(most));
        let mut pass = self
            .encoder(&mut pending)
            .begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x as u32, y as u32, 1);
        Ok(())
    }

    fn encoder<'a>(&self, pending: &'a mut Pending) -> &'a mut wgpu::CommandEncoder {
        pending.commands += 1;
        pending.encoder.get_or_insert_with(|| {
            self.0
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        })
    }

    /// Hands gathered commands over.
    fn submit(&self) -> Result<()> {
        self.hand_over(&mut lock(&self.0.pending));
        self.check()
    }

    fn hand_over(&self, pending: &mut Pending) {
        let Pending { encoder, info, .. } = std::mem::take(pending);
        if let Some(encoder) = encoder {
            tally(&self.0.counters.submissions);
            self.0.queue.write_buffer(&self.0.info, 0, &info);
            self.0.queue.submit([encoder.finish()]);
        }
    }

    fn pipeline(&self, shader: &str) -> Result<wgpu::ComputePipeline> {
        if let Some(pipeline) = lock(&self.0.pipelines).get(shader) {
            return Ok(pipeline.clone());
        }
        let device = &self.0.device;
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
            return Err(self.error(format!("refused a kernel: {error}\n{shader}")));
        }
        lock(&self.0.pipelines).insert(shader.to_string(), pipeline.clone());
        Ok(pipeline)
    }

    /// Has the driver compile a kernel. Fails with its words if it refuses.
    pub(crate) fn compile(&self, shader: &str) -> Result<()> {
        self.pipeline(shader).map(|_| ())
    }

    /// Takes the device away, as a pulled card would.
    #[cfg(test)]
    pub(super) fn destroy(&self) {
        self.0.device.destroy();
    }

    /// Number of kernels compiled so far.
    pub fn kernels(&self) -> usize {
        lock(&self.0.pipelines).len()
    }
}
