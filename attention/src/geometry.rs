//! Sizes of a decoder.

use serde::{Deserialize, Serialize};

/// The sizes of the decoder that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Length the weights are, or were, trained with, in tokens. For an extension: the base's.
    pub trained_length: usize,
}
