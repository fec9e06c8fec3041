//! Operations of a decoder as single nodes of the autograd graph, with their own backward passes.
//!
//! On the CPU with f32 these are fused, vectorised and multi-threaded; results do not depend on the number of threads.
//! On other devices and types the same functions are composed from tensor operations; which of the two runs is decided
//! by device and type alone.

mod across_heads;
pub(crate) mod bridge;
pub(crate) mod chain;
mod embed;
pub(crate) mod feed_forward;
mod gelu;
mod layer_norm;
pub(crate) mod linear;
mod loss;
pub(crate) mod norm;
pub(crate) mod norm_linear;
mod peak;
mod running_sum;
pub(crate) mod simd;
pub(crate) mod softmax;
mod swiglu;
mod token_score;
mod turn;

pub use across_heads::across_heads;
pub use bridge::{set_threads, threads};
pub use embed::embed;
pub use feed_forward::FeedForward;
pub use gelu::{Gelu, gelu};
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_add};
pub use loss::{cross_entropy, token_scores};
pub use norm::rms_norm;
pub use norm_linear::norm_linear;
pub use peak::{measure_peak, peak_flops};
pub use running_sum::running_sum;
pub use simd::instruction_set;
pub use swiglu::swiglu;
pub use token_score::TokenScore;
pub use turn::turn;

#[cfg(test)]
mod tests;
