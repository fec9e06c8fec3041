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

#[cfg(not(feature = "naga"))]
pub use absent::cuda;
#[cfg(feature = "naga")]
pub use cuda::cuda;

/// A kernel as CUDA C++.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuda {
    /// Text for NVRTC without any header. Its entry point is `extern "C" farspan_kernel(const u32* info, …)`, with one
    /// pointer for each storage binding in the order of their numbers.
    pub text: String,
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
}
