//! The engine for any GPU that wgpu reaches (Vulkan, Metal, DirectX 12): device arrays, WGSL kernels, gradients.
//!
//! [`context`] owns the device, [`mod@array`] the operations, [`tape`] their gradients. Kernels are text made where they are
//! used; a pipeline is compiled once per text.

pub mod adapters;
pub mod array;
pub mod attend;
pub mod context;
mod kernels;
pub(crate) mod layers;
pub(crate) mod optim;
mod pool;
pub mod tape;
mod valid;

#[cfg(test)]
mod tests;

pub use array::{Array, Kind};
pub use context::Context;
pub use tape::Traced;
pub use valid::validate;
