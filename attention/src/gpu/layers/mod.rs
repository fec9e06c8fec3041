//! Layers of a decoder as kernels of their own, forward and backward: what chains of elementwise kernels would read and
//! write many times.

mod loss;
mod norm;
mod swiglu;

pub(crate) use loss::{cross_entropy, token_scores};
pub(crate) use norm::norm;
pub(crate) use swiglu::swiglu;

#[cfg(all(test, feature = "wgpu"))]
mod tests;
