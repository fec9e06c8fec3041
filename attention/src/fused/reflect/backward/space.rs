//! Buffers of the backward pass.

use crate::fused::reflect::carried::Carried;
use crate::fused::reflect::chunk::{self, Chunk};
use crate::fused::reflect::sizes::Sizes;
use crate::fused::shape::{SIDE, STEP};

/// Buffers of one thread. Rows are \[tokens, width\] or \[SIDE, width\], squares \[SIDE, STEP\].
#[derive(Debug)]
pub(in crate::fused::reflect) struct Space {
    pub(super) chunk: Chunk,
    pub(super) chunk_space: chunk::Space,
    pub(super) carried: Carried,
    /// P of each chunk, transposed.
    pub(super) across_t: Vec<f32>,
    /// Values by chunk, transposed, \[width, STEP\].
    pub(super) v_t: Vec<f32>,
    /// A block's queries as every chunk sees them.
    pub(super) seen: Vec<f32>,
    pub(super) q: Vec<f32>,
    pub(super) left_edge: Vec<f32>,
    pub(super) upstream: Vec<f32>,
    pub(super) met: Vec<f32>,
    pub(super) scores: Vec<f32>,
    pub(super) weights: Vec<f32>,
    pub(super) dweights: Vec<f32>,
    pub(super) dmet: Vec<f32>,
    pub(super) felt_t: Vec<f32>,
    pub(super) moved_t: Vec<f32>,
    /// Gradients of the carried queries, and room for the next.
    pub(super) dseen: Vec<f32>,
    pub(super) next: Vec<f32>,
    pub(super) dq: Vec<f32>,
    /// Gradients over all tokens: keys, as carried and as they are, values, reflections, and what chunks say.
    pub(super) dkeys: Vec<f32>,
    pub(super) dk: Vec<f32>,
    pub(super) dv: Vec<f32>,
    pub(super) dw: Vec<f32>,
    pub(super) dmoved: Vec<f32>,
    pub(super) dfelt: Vec<f32>,
    pub(super) dacross: Vec<f32>,
}

impl Space {
    pub(in crate::fused::reflect) fn new(sizes: &Sizes) -> Space {
        let (chunks, width) = (sizes.tiles(), sizes.width);
        let (rows, square) = (|| vec![0.0; SIDE * width], || vec![0.0; SIDE * STEP]);
        let all = || vec![0.0; chunks * SIDE * width];
        let across = || vec![0.0; chunks * width * width];
        Space {
            chunk: Chunk::new(width),
            chunk_space: chunk::Space::new(width),
            carried: Carried::new(sizes),
            across_t: across(),
            v_t: vec![0.0; chunks * width * STEP],
            seen: all(),
            q: rows(),
            left_edge: rows(),
            upstream: rows(),
            met: square(),
            scores: square(),
            weights: square(),
            dweights: square(),
            dmet: square(),
            felt_t: square(),
            moved_t: vec![0.0; width * STEP],
            dseen: rows(),
            next: rows(),
            dq: rows(),
            dkeys: all(),
            dk: all(),
            dv: all(),
            dw: all(),
            dmoved: all(),
            dfelt: vec![0.0; chunks * SIDE * STEP],
            dacross: across(),
        }
    }
}
