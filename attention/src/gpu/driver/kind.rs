//! The interface of a kind of device.

use crate::spec::Precision;
use std::fmt;

/// Memory of a device.
pub(crate) type Handle = u64;

/// What a device allows, or is to be opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most bytes that one array may have.
    pub(crate) array: u64,
    /// Most bytes that one piece of memory may have.
    pub(crate) memory_block: u64,
    /// Bytes that arrays may take up together; less than the device has in tests alone.
    pub(crate) memory: u64,
    /// Arrays that one kernel may bind beside its info.
    pub(crate) arrays: usize,
    /// Workgroups along one axis of the grid.
    pub(crate) groups: usize,
}

/// One input of a [`Product`]: where its matrices lie, in elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) memory: Handle,
    pub(crate) offset: usize,
    /// From one matrix to the next; 0 repeats.
    pub(crate) batch: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// Products of f32 matrices, `batch` of (m, depth) by (depth, n), into row-major memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) batch: usize,
    pub(crate) m: usize,
    pub(crate) depth: usize,
    pub(crate) n: usize,
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) y: Handle,
}

/// Makes of a device one that has less.
pub(crate) type Lower<'a> = &'a dyn Fn(&mut Limits);

/// What is known of an open device.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Name, backend, driver, and whether it is software.
    pub(crate) label: String,
    /// The limits that matter, in words.
    pub(crate) bounds: String,
    pub(crate) limits: Limits,
    /// Whether kernels may join what threads of a subgroup found.
    pub(crate) subgroups: bool,
    /// What is rounded to before it is multiplied.
    pub(crate) precision: Precision,
    /// Whether it is a program on the processor.
    pub(crate) software: bool,
}

/// An open device. What goes wrong is told in the words of its driver.
pub(crate) trait Driver: fmt::Debug + Send + Sync {
    fn facts(&self) -> &Facts;

    /// Why it can no longer be used, or what it refused, if anything.
    fn fault(&self) -> Option<String>;

    /// New memory. Fails where there is none left.
    fn create(&self, bytes: u64) -> Result<Handle, String>;

    /// Gives memory back once commands that use it are done.
    fn free(&self, memory: Handle);

    /// Copies to the device, before commands that come later and after those that came before.
    fn write(&self, memory: Handle, words: &[u32]) -> Result<(), String>;

    /// Copies `count` elements of 4 bytes back once all commands before are done.
    fn read(&self, memory: Handle, count: usize) -> Result<Vec<u32>, String>;

    /// Has the driver compile a kernel.
    fn compile(&self, text: &str) -> Result<(), String>;

    /// Adds one kernel to the commands. `text` has the entry point `main` and reads `info` (behind one word with the bits
    /// of ∞, which WGSL cannot write) and the arrays, each with its bytes, in their order; `groups` workgroups run,
    /// counted by `group.x + group.y · groups.x`, possibly some more than asked for.
    fn launch(
        &self,
        text: &str,
        info: &[u32],
        arrays: &[(Handle, u64)],
        groups: usize,
    ) -> Result<(), String>;

    /// Adds products of matrices to the commands, by a library of the device's. `false` where it has none, or none for
    /// matrices that lie so: a kernel is to do it.
    fn product(&self, _product: &Product) -> Result<bool, String> {
        Ok(false)
    }

    /// Hands over what is gathered and waits until it is done.
    fn finish(&self) -> Result<(), String>;

    /// Texts of the kernels that it was asked for, where it notes them.
    fn noted(&self) -> Vec<String> {
        Vec::new()
    }

    /// Number of kernels compiled so far, and times that commands were handed over.
    fn counts(&self) -> (usize, u64);

    /// Takes the device away, as a pulled card would.
    #[cfg(test)]
    fn destroy(&self);
}
