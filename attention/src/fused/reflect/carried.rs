//! Keys as tiles see them through the chunks between.

use super::chunk::Chunk;
use super::sizes::Sizes;
use crate::fused::matrix::transpose;
use crate::fused::product::LANES;
use crate::fused::shape::{SIDE, STEP};
use crate::ops::simd::Simd;

/// Keys of a job as tiles read them; grows chunk by chunk.
#[derive(Debug)]
pub(super) struct Carried {
    /// As their chunk's right edge sees them, \[tokens, width\], and by chunk transposed, \[width, STEP\].
    pub(super) keys: Vec<f32>,
    pub(super) keys_t: Vec<f32>,
    /// By chunk: P, \[width, width\].
    pub(super) across: Vec<f32>,
}

impl Carried {
    pub(super) fn new(sizes: &Sizes) -> Carried {
        let (chunks, width) = (sizes.tiles(), sizes.width);
        Carried {
            keys: vec![0.0; chunks * SIDE * width],
            keys_t: vec![0.0; chunks * width * STEP],
            across: vec![0.0; chunks * width * width],
        }
    }

    pub(super) fn keys(&self, c: usize, width: usize) -> &[f32] {
        &self.keys[c * SIDE * width..][..SIDE * width]
    }

    pub(super) fn keys_t(&self, c: usize, width: usize) -> &[f32] {
        &self.keys_t[c * width * STEP..][..width * STEP]
    }

    pub(super) fn across(&self, c: usize, width: usize) -> &[f32] {
        &self.across[c * width * width..][..width * width]
    }

    /// Takes in what a chunk says.
    #[inline(always)]
    pub(super) fn add<S: Simd>(&mut self, s: S, c: usize, chunk: &Chunk, width: usize) {
        let keys = &mut self.keys[c * SIDE * width..][..SIDE * width];
        chunk.carried_keys(s, keys);
        let keys_t = &mut self.keys_t[c * width * STEP..][..width * STEP];
        transpose((keys, width), (keys_t, STEP), SIDE, width);
        let across = &mut self.across[c * width * width..][..width * width];
        chunk.across(s, across);
    }
}

const _: () = assert!(SIDE.is_multiple_of(LANES));
