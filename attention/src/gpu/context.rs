//! The open device: memory from a pool, copies, and kernels, whatever its kind.

use super::driver::{self, Driver, Handle, Lower, Noted, Product};
use super::pool::{Pool, size_class};
use crate::locked::lock;
use crate::spec::{DeviceSpec, Precision, Traffic};
use crate::{Error, Result};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Threads of a workgroup in every kernel of one dimension; each device allows them.
pub(crate) const GROUP: usize = 64;

/// An open device. Cheap to clone; all clones share one queue.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    spec: DeviceSpec,
    driver: Box<dyn Driver>,
    pool: Mutex<Pool>,
    /// Bytes that arrays and the pool take up.
    held: AtomicU64,
    kernels: AtomicU64,
    uploads: AtomicU64,
    read_backs: AtomicU64,
}

/// Device memory; goes back to the pool when the last owner drops it.
pub(crate) struct Buffer {
    memory: Handle,
    /// Bytes that it has.
    size: u64,
    /// Bytes asked for.
    bytes: u64,
    context: Context,
}

impl Buffer {
    pub(crate) fn memory(&self) -> Handle {
        self.memory
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Inner {
            driver, pool, held, ..
        } = &*self.context.0;
        if !lock(pool).keep(self.memory, self.size) {
            held.fetch_sub(self.size, Ordering::Relaxed);
            driver.free(self.memory);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

fn tally(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Context {
    /// The device that `spec` names, which is opened once for the whole process, and again after it was lost.
    pub fn shared(spec: DeviceSpec) -> Result<Context> {
        static OPEN: Mutex<Vec<Context>> = Mutex::new(Vec::new());
        let mut open = lock(&OPEN);
        if let Some(context) = open.iter().find(|context| context.spec() == spec)
            && context.check().is_ok()
        {
            return Ok(context.clone());
        }
        // What is lost is let go of first.
        open.retain(|context| context.spec() != spec);
        let context = Context::open(spec)?;
        open.push(context.clone());
        Ok(context)
    }

    /// Opens the device that `spec` names. Fails where there is none, or where its driver refuses.
    pub fn open(spec: DeviceSpec) -> Result<Context> {
        Context::open_with(spec, &|_| {})
    }

    /// The same, as if the device had less.
    pub(crate) fn open_with(spec: DeviceSpec, lower: Lower<'_>) -> Result<Context> {
        Ok(Context::over(spec, driver::open(spec, lower)?))
    }

    /// A device that runs nothing and notes the kernels that it is asked for; whatever it is read from is zero. For tests
    /// of what is generated. `subgroups` is whether kernels may join what threads of a subgroup found.
    pub fn noting(subgroups: bool) -> Context {
        Context::over(DeviceSpec::Wgpu(0), Box::new(Noted::new(subgroups)))
    }

    /// Texts of the kernels that [`noting`](Context::noting) noted.
    pub fn noted(&self) -> Vec<String> {
        self.0.driver.noted()
    }

    fn over(spec: DeviceSpec, driver: Box<dyn Driver>) -> Context {
        Context(Arc::new(Inner {
            spec,
            driver,
            pool: Mutex::default(),
            held: AtomicU64::new(0),
            kernels: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            read_backs: AtomicU64::new(0),
        }))
    }

    /// The kind and ordinal that open it again.
    pub fn spec(&self) -> DeviceSpec {
        self.0.spec
    }

    /// Name, backend, driver, and whether it is software.
    pub fn describe(&self) -> String {
        self.0.driver.facts().label.clone()
    }

    /// The limits that matter, in words.
    pub fn bounds(&self) -> String {
        self.0.driver.facts().bounds.clone()
    }

    /// Whether kernels may join what threads of a subgroup found.
    pub(crate) fn has_subgroups(&self) -> bool {
        self.0.driver.facts().subgroups
    }

    /// What is rounded to before it is multiplied.
    pub(crate) fn precision(&self) -> Precision {
        self.0.driver.facts().precision
    }

    /// Whether the adapter is a program on the processor.
    pub fn is_software(&self) -> bool {
        self.0.driver.facts().software
    }

    /// Most bytes that one array may have.
    pub fn largest_array(&self) -> u64 {
        self.0.driver.facts().limits.array
    }

    /// Arrays that one kernel may bind beside its info.
    pub(crate) fn arrays(&self) -> usize {
        self.0.driver.facts().limits.arrays
    }

    /// Whether both are the same open adapter.
    pub fn is(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Number of kernels compiled so far.
    pub fn kernels(&self) -> usize {
        self.0.driver.counts().0
    }

    /// What was asked of the device so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            kernels: of(&self.0.kernels),
            submissions: self.0.driver.counts().1,
            uploads: of(&self.0.uploads),
            read_backs: of(&self.0.read_backs),
        }
    }

    fn error(&self, why: impl Into<String>) -> Error {
        Error::Device {
            asked: self.0.spec.to_string(),
            why: format!("{}: {}", self.describe(), why.into()),
        }
    }

    /// Fails once the device was lost or refused a command.
    fn check(&self) -> Result<()> {
        match self.0.driver.fault() {
            None => Ok(()),
            Some(why) => Err(self.error(why)),
        }
    }

    /// Hands gathered commands over and waits until all work is done.
    pub fn synchronize(&self) -> Result<()> {
        self.0.driver.finish().map_err(|why| self.error(why))
    }

    /// Adds one kernel to the commands; see [`Driver::launch`].
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
        let arrays: Vec<(Handle, u64)> = buffers.iter().map(|x| (x.memory, x.bytes)).collect();
        let launched = self.0.driver.launch(shader, info, &arrays, groups);
        launched.map_err(|why| self.error(why))?;
        tally(&self.0.kernels);
        Ok(())
    }

    /// Adds products of matrices to the commands, unless a kernel is to do it; see [`Driver::product`].
    pub(crate) fn product(&self, product: &Product) -> Result<bool> {
        let done = self.0.driver.product(product);
        let done = done.map_err(|why| self.error(why))?;
        if done {
            tally(&self.0.kernels);
        }
        Ok(done)
    }

    /// Has the driver compile a kernel. Fails with its words if it refuses.
    pub(crate) fn compile(&self, shader: &str) -> Result<()> {
        let done = self.0.driver.compile(shader);
        done.map_err(|why| self.error(why))
    }

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
        let most = self.0.driver.facts().limits.memory_block;
        let size = size_class(bytes).min(most);
        let unused = lock(&self.0.pool).take(size);
        let memory = match unused {
            Some(memory) => memory,
            None => self.create(size)?,
        };
        Ok(Arc::new(Buffer {
            memory,
            size,
            bytes,
            context: self.clone(),
        }))
    }

    /// New memory. Where it is short, unused memory of other sizes is freed first.
    fn create(&self, size: u64) -> Result<Handle> {
        let Inner {
            driver, pool, held, ..
        } = &*self.0;
        let memory = self.try_create(size).or_else(|_| {
            self.synchronize()?;
            let (unused, bytes) = lock(pool).clear();
            unused.into_iter().for_each(|memory| driver.free(memory));
            held.fetch_sub(bytes, Ordering::Relaxed);
            // The device lets go of them when it is asked next.
            self.synchronize()?;
            self.try_create(size).map_err(|why| {
                let held = held.load(Ordering::Relaxed);
                self.error(format!(
                    "no memory for an array of {size} bytes beside the {held} bytes in use; fewer windows at a time \
                     or shorter ones need less: {why}"
                ))
            })
        })?;
        held.fetch_add(size, Ordering::Relaxed);
        Ok(memory)
    }

    fn try_create(&self, size: u64) -> Result<Handle, String> {
        let held = self.0.held.load(Ordering::Relaxed);
        let most = self.0.driver.facts().limits.memory;
        if held + size > most {
            return Err(format!("the device has {most} bytes"));
        }
        self.0.driver.create(size)
    }

    /// Copies to the device.
    pub(crate) fn upload(&self, words: &[u32]) -> Result<Arc<Buffer>> {
        let buffer = self.alloc(words.len())?;
        tally(&self.0.uploads);
        let written = self.0.driver.write(buffer.memory, words);
        written.map_err(|why| self.error(why))?;
        Ok(buffer)
    }

    /// Copies `count` elements back and waits for all commands before.
    pub(crate) fn download(&self, buffer: &Buffer, count: usize) -> Result<Vec<u32>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        tally(&self.0.read_backs);
        let read = self.0.driver.read(buffer.memory, count);
        read.map_err(|why| self.error(why))
    }

    /// Takes the device away, as a pulled card would.
    #[cfg(test)]
    #[cfg_attr(
        not(feature = "wgpu"),
        allow(dead_code, reason = "the tests of this engine open a device of wgpu")
    )]
    pub(super) fn destroy(&self) {
        self.0.driver.destroy();
    }
}
