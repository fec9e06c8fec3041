//! Cards of NVIDIA: kernels as CUDA text, compiled when they are first used, commands on one stream.
//!
//! Nothing of CUDA is needed to build. The driver's library and NVRTC are looked for when a card is asked for.
#![expect(unsafe_code, reason = "the driver's interface is one of C")]

mod cache;
mod cublas;
mod library;
mod nvrtc;
mod system;

use super::kind::{Driver, Facts, Handle, Limits, Lower, Product};
use crate::gpu::dialect;
use crate::locked::lock;
use crate::spec::{DeviceSpec, Precision};
use crate::{Error, Result};
pub(super) use cache::keep_kernels;
use cublas::Cublas;
use cudarc::driver::DriverError;
use cudarc::driver::result::{self, ctx, module, primary_ctx, stream};
use cudarc::driver::sys::{
    self, CUcontext, CUdevice, CUfunction, CUmemoryPool, CUmodule, CUstream,
};
use nvrtc::Nvrtc;
use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use system::list;
use system::{ARRAY_BYTES, System, words};

/// Words of info that a kernel takes, the first of which are the bits of infinity.
const INFO: usize = 128;

/// Arrays that a kernel takes at most; the driver would take some more.
const ARRAYS: usize = 64;

/// Its name in the text.
const ENTRY: &CStr = c"farspan_kernel";

/// An open card.
struct Card {
    facts: Facts,
    device: CUdevice,
    context: CUcontext,
    /// All commands run in the order they were given.
    stream: CUstream,
    pool: CUmemoryPool,
    nvrtc: Nvrtc,
    /// As 90 for sm_90.
    architecture: c_int,
    cublas: Option<Cublas>,
    kernels: Mutex<HashMap<String, Kernel>>,
    launches: AtomicU64,
    /// Why the card can no longer be used.
    fault: Mutex<Option<String>>,
}

// SAFETY: the driver's functions may be called from any thread that has made the context current, which every call here
// does first; what its handles point to is the driver's own.
unsafe impl Send for Card {}
// SAFETY: as above.
unsafe impl Sync for Card {}

/// A compiled kernel, as long as its module is loaded.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    module: CUmodule,
    function: CUfunction,
    /// Threads of a group along each axis.
    block: [u32; 3],
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.facts.label)
    }
}

/// Opens card number `ordinal`. Fails where there is no driver, no NVRTC or no such card, and says where it looked.
pub(super) fn open(
    ordinal: usize,
    precision: Precision,
    lower: Lower<'_>,
) -> Result<Box<dyn Driver>> {
    let found = System::find();
    let opened = found.and_then(|system| Card::open(system, ordinal, precision, lower));
    match opened {
        Ok(card) => Ok(Box::new(card)),
        Err(why) => Err(Error::Device {
            asked: DeviceSpec::Cuda(ordinal, precision).to_string(),
            why,
        }),
    }
}

impl Card {
    fn open(
        system: System,
        ordinal: usize,
        precision: Precision,
        lower: Lower<'_>,
    ) -> Result<Card, String> {
        let found = system.card(ordinal)?;
        system.rounds(&found, precision)?;
        let architecture = system.nvrtc.architecture(found.capability)?;
        let mut limits = Limits {
            array: ARRAY_BYTES,
            memory_block: u64::MAX,
            memory: u64::MAX,
            arrays: ARRAYS,
            groups: c_int::MAX as usize,
        };
        lower(&mut limits);
        let facts = Facts {
            label: system.label(&found, precision),
            bounds: found.bounds(limits.array.min(found.memory)),
            limits,
            subgroups: true,
            precision,
            software: false,
        };
        let device = found.device;
        let told = |what: &str| {
            let what = what.to_string();
            move |e| format!("{what}: {}", words(e))
        };
        // SAFETY: the device is one that the driver listed. What was made before a failure is given back.
        unsafe {
            let context = primary_ctx::retain(device).map_err(told("opening the card"))?;
            let made = ctx::set_current(context).and_then(|()| {
                let stream = stream::create(stream::StreamKind::NonBlocking)?;
                Ok((stream, pool(device)?))
            });
            let (stream, pool) = match made {
                Ok(made) => made,
                Err(e) => {
                    // It failed already.
                    let _ = primary_ctx::release(device);
                    return Err(told("opening the card")(e));
                }
            };
            Ok(Card {
                facts,
                device,
                context,
                stream,
                pool,
                nvrtc: system.nvrtc,
                architecture,
                cublas: system.cublas.ok(),
                kernels: Mutex::default(),
                launches: AtomicU64::new(0),
                fault: Mutex::new(None),
            })
        }
    }

    /// Makes the context current for this thread. Fails once the card is lost.
    fn enter(&self) -> Result<(), String> {
        if let Some(why) = self.fault() {
            return Err(why);
        }
        // SAFETY: it is retained as long as `self`.
        self.done(unsafe { ctx::set_current(self.context) })
    }

    /// Turns what the driver says into words, and remembers what the card does not recover from.
    fn done<T>(&self, result: Result<T, DriverError>) -> Result<T, String> {
        result.map_err(|e| {
            let why = words(e);
            if !system::recovers(e) {
                lock(&self.fault).get_or_insert_with(|| format!("the device was lost: {why}"));
            }
            why
        })
    }

    /// The kernel of a text, compiled if it is met first.
    fn kernel(&self, text: &str) -> Result<Kernel, String> {
        let mut kernels = lock(&self.kernels);
        if let Some(kernel) = kernels.get(text) {
            return Ok(*kernel);
        }
        let cuda = dialect::cuda(text).map_err(|e| e.to_string())?;
        let image = self.image(&nvrtc::by_value(&cuda.text, INFO)?)?;
        // SAFETY: the image is whole: it comes from the compiler, or from a file whose hash was looked at.
        let loaded = unsafe {
            module::load_data(image.as_ptr().cast()).and_then(|module| {
                let function = module::get_function(module, ENTRY.into())?;
                Ok((module, function))
            })
        };
        let (module, function) = self
            .done(loaded)
            .map_err(|why| format!("refused a kernel: {why}\n{}", cuda.text))?;
        let kernel = Kernel {
            module,
            function,
            block: cuda.block,
        };
        kernels.insert(text.to_string(), kernel);
        Ok(kernel)
    }

    /// The machine code of a text, from its file if there is one.
    fn image(&self, text: &str) -> Result<Vec<u8>, String> {
        let (major, minor) = self.nvrtc.version;
        let made_by = format!("NVRTC {major}.{minor} for sm_{}", self.architecture);
        let file = cache::file(&[&made_by, text]);
        if let Some(image) = file.as_deref().and_then(cache::read) {
            return Ok(image);
        }
        let image = self.nvrtc.compile(text, self.architecture)?;
        if let Some(file) = file {
            cache::write(&file, &image);
        }
        Ok(image)
    }

    fn wait(&self) -> Result<(), String> {
        // SAFETY: the stream lives as long as `self`.
        self.done(unsafe { stream::synchronize(self.stream) })
    }
}

/// The pool that memory comes from. It keeps what is freed, so that the next array of its size need not wait.
///
/// # Safety
/// `device` is one that the driver listed.
unsafe fn pool(device: CUdevice) -> Result<CUmemoryPool, DriverError> {
    let mut all = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(device)?;
        let value: *mut u64 = &mut all;
        result::mem_pool::set_attribute(pool, attribute, value.cast())?;
        Ok(pool)
    }
}

impl Driver for Card {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    fn create(&self, bytes: u64) -> Result<Handle, String> {
        self.enter()?;
        let count = usize::try_from(bytes).map_err(|e| e.to_string())?;
        // SAFETY: all uses of the memory are commands of the same stream.
        let made = unsafe { result::malloc_async(self.stream, count) };
        if made.is_ok() {
            return self.done(made);
        }
        // What was freed is given back whole, so that it serves arrays of any size.
        self.wait()?;
        // SAFETY: the pool is the device's; the memory is as above.
        let made = unsafe {
            self.done(result::mem_pool::trim_to(self.pool, 0))?;
            result::malloc_async(self.stream, count)
        };
        self.done(made)
    }

    fn free(&self, memory: Handle) {
        if self.enter().is_ok() {
            // Commands before this one still see the memory.
            // SAFETY: the engine uses it no more. A failure is told by the next command.
            let _ = self.done(unsafe { result::free_async(memory, self.stream) });
        }
    }

    fn write(&self, memory: Handle, words: &[u32]) -> Result<(), String> {
        self.enter()?;
        // SAFETY: the memory has room for the words. They are not pinned, so the driver has copied them when it returns.
        self.done(unsafe { result::memcpy_htod_async(memory, words, self.stream) })
    }

    fn read(&self, memory: Handle, count: usize) -> Result<Vec<u32>, String> {
        self.enter()?;
        let mut words = vec![0u32; count];
        // SAFETY: as many words are there, and here; they stay where they are until the wait is over.
        let asked = unsafe { result::memcpy_dtoh_async(&mut words, memory, self.stream) };
        self.done(asked)?;
        self.wait()?;
        Ok(words)
    }

    fn compile(&self, text: &str) -> Result<(), String> {
        self.enter()?;
        self.kernel(text).map(|_| ())
    }

    fn launch(
        &self,
        text: &str,
        info: &[u32],
        arrays: &[(Handle, u64)],
        groups: usize,
    ) -> Result<(), String> {
        self.enter()?;
        let kernel = self.kernel(text)?;
        let mut words = [0u32; INFO];
        words[0] = f32::INFINITY.to_bits();
        let Some(room) = words[1..].get_mut(..info.len()) else {
            let (most, found) = (INFO - 1, info.len());
            return Err(format!(
                "a kernel takes {most} words of info, found {found}"
            ));
        };
        room.copy_from_slice(info);
        let mut pointers: Vec<u64> = arrays.iter().map(|(memory, _)| *memory).collect();
        // The driver copies each parameter from where it stands here, before it returns.
        let mut parameters: Vec<*mut c_void> = vec![words.as_mut_ptr().cast()];
        parameters.extend(
            pointers
                .iter_mut()
                .map(|x| std::ptr::from_mut(x).cast::<c_void>()),
        );
        let [x, y, z] = kernel.block;
        let most = self.facts.limits.groups;
        let grid = (groups.min(most) as u32, groups.div_ceil(most) as u32, 1);
        // SAFETY: the text declares these parameters: the words by value, then a pointer to each array.
        let launched = unsafe {
            result::launch_kernel(
                kernel.function,
                grid,
                (x, y, z),
                0,
                self.stream,
                &mut parameters,
            )
        };
        self.done(launched)?;
        self.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn product(&self, product: &Product) -> Result<bool, String> {
        let Some(cublas) = &self.cublas else {
            return Ok(false);
        };
        self.enter()?;
        // SAFETY: the engine's arrays are as large as the product says.
        let done = unsafe { cublas.product(self.stream, product, self.facts.precision) }?;
        self.launches.fetch_add(u64::from(done), Ordering::Relaxed);
        Ok(done)
    }

    fn finish(&self) -> Result<(), String> {
        self.enter()?;
        self.wait()
    }

    fn counts(&self) -> (usize, u64) {
        let launches = self.launches.load(Ordering::Relaxed);
        (lock(&self.kernels).len(), launches)
    }

    #[cfg(test)]
    fn destroy(&self) {
        *lock(&self.fault) = Some("the device was lost: it was taken away".into());
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // SAFETY: nothing of these is used any more. A card that is lost refuses them, which changes nothing.
        unsafe {
            if ctx::set_current(self.context).is_ok() {
                let _ = stream::synchronize(self.stream);
                if let Some(cublas) = &self.cublas {
                    cublas.close();
                }
                for kernel in lock(&self.kernels).values() {
                    let _ = module::unload(kernel.module);
                }
                let _ = stream::destroy(self.stream);
            }
            let _ = primary_ctx::release(self.device);
        }
    }
}
