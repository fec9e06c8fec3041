//! Kernels in other languages than the one they are generated in. They are generated as WGSL; a driver that takes another
//! language gets it from what [naga](https://docs.rs/naga) makes of that WGSL, so that one kernel is one text.

#[cfg(not(feature = "naga"))]
mod absent;
#[cfg(feature = "naga")]
mod cuda;
#[cfg(feature = "naga")]
mod parsed;
#[cfg(all(test, feature = "naga"))]
mod tests;
mod written;

#[cfg(not(feature = "naga"))]
pub use absent::cuda;
#[cfg(feature = "naga")]
pub use cuda::cuda;
pub use written::Cuda;
