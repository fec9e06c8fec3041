//! What a kernel is in another language.

/// A kernel as CUDA C++.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuda {
    /// Text for NVRTC without any header. Its entry point is `extern "C" farspan_kernel(const u32* info, …)`, with one
    /// pointer for each storage binding in the order of their numbers.
    pub text: String,
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
}
