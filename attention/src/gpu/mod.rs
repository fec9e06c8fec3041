//! The engine for devices other than the processor: arrays on the device, kernels as text, gradients.
//!
//! [`context`] owns the open device, whose kind a file in `driver/` knows; [`mod@array`] has the operations, [`tape`] their
//! gradients. Kernels are text made where they are used; one is compiled once per text.

pub mod array;
pub mod attend;
pub mod context;
mod dialect;
mod driver;
mod kernels;
mod kind;
pub(crate) mod layers;
pub(crate) mod optim;
mod pool;
pub mod tape;

#[cfg(all(test, feature = "wgpu"))]
mod tests;

pub use array::Array;
pub use context::Context;
pub use dialect::{Cuda, cuda};
pub use driver::{keep_kernels, list, validate};
pub use kind::Kind;
pub use tape::Traced;
