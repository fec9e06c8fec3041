//! What all jobs of a call share.

use crate::fused::shape::Shape;
use std::ops::Deref;

/// What all jobs of a call share.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) shape: Shape,
    pub(super) hidden: usize,
    /// Columns of the bias.
    pub(super) distances: usize,
    pub(super) biased: bool,
    pub(super) slope: f32,
}

impl Deref for Sizes {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}
