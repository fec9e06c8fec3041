//! Calls whose inputs are whole arrays: sizes, keys and values as tiles read them.

use super::matrix::{multiply, transpose};
use super::product::{Start, padded};
use super::sizes::{KEY_STEP, KEYS};
use crate::call::Call;
use crate::mask::Mask;
use crate::ops::simd::Simd;

/// Keys of a tile, and elements between rows of one.
pub(super) const SIDE: usize = KEYS;
pub(super) const STEP: usize = KEY_STEP;

/// Queries of a strip.
pub(super) const STRIP: usize = 32;

/// Sizes of a call whose inputs are whole arrays.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// head_dim in whole vectors.
    pub(super) width: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) first_query: usize,
    pub(super) first_key: usize,
    pub(super) mask: Mask,
}

impl Shape {
    pub(super) fn new(call: &Call<'_>) -> Shape {
        let geometry = call.tables.geometry();
        let (queries, keys) = (call.tables.queries(), call.tables.keys());
        Shape {
            batch: call.qkv.q.dims().first().copied().unwrap_or(0),
            heads: geometry.heads,
            kv_heads: geometry.kv_heads,
            head_dim: geometry.head_dim,
            width: padded(geometry.head_dim),
            queries: queries.len(),
            keys: keys.len(),
            first_query: queries.start,
            first_key: keys.start,
            mask: call.mask.clone(),
        }
    }

    pub(super) fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    pub(super) fn tiles(&self) -> usize {
        self.keys.div_ceil(SIDE)
    }

    /// Tiles that queries up to number `end` see something of.
    pub(super) fn reach(&self, end: usize) -> usize {
        let keys = (self.first_query + end).saturating_sub(self.first_key);
        keys.min(self.keys).div_ceil(SIDE)
    }

    /// −∞ where the mask hides a pair: one row of a tile.
    pub(super) fn hide(&self, query: usize, tile: usize, row: &mut [f32]) {
        let (i, first) = (self.first_query + query, self.first_key + tile * SIDE);
        let cols = SIDE.min(self.keys - tile * SIDE);
        let end = (i + 1).saturating_sub(first).min(cols);
        row[end..].fill(f32::NEG_INFINITY);
        if self.mask.window.is_some() || self.mask.documents.is_some() {
            for (col, x) in row[..end].iter_mut().enumerate() {
                if !self.mask.sees(i, first + col) {
                    *x = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// Copies rows of `head_dim` numbers to rows of whole vectors.
    pub(super) fn load(&self, x: &[f32], out: &mut [f32]) {
        let (d, width) = (self.head_dim, self.width);
        for (x, row) in x.chunks_exact(d).zip(out.chunks_exact_mut(width)) {
            row[..d].copy_from_slice(x);
        }
    }

    /// Queries of all heads of a strip (or what has their shape) from number `start` on: \[heads, STRIP, width\].
    pub(super) fn strip(&self, x: &[f32], batch: usize, start: usize, out: &mut [f32]) {
        let (d, n) = (self.head_dim, self.queries);
        out.fill(0.0);
        for (head, out) in out.chunks_exact_mut(STRIP * self.width).enumerate() {
            let first = (batch * self.heads + head) * n;
            self.load(
                &x[(first + start) * d..(first + n.min(start + STRIP)) * d],
                out,
            );
        }
    }
}

/// Keys or values of one batch entry, by key head: rows \[keys in whole tiles, width\], and by tile transposed,
/// \[width, STEP\].
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<f32>,
    turned: Vec<f32>,
    sizes: [usize; 2],
}

impl Rows {
    pub(super) fn new(shape: &Shape, x: &[f32], batch: usize) -> Rows {
        let (tiles, width) = (shape.tiles(), shape.width);
        let [row, column] = [tiles * SIDE * width, tiles * width * STEP];
        let mut rows = vec![0.0; shape.kv_heads * row];
        let mut turned = vec![0.0; shape.kv_heads * column];
        let each = shape.keys * shape.head_dim;
        let x = x[batch * shape.kv_heads * each..].chunks_exact(each);
        let out = rows
            .chunks_exact_mut(row)
            .zip(turned.chunks_exact_mut(column));
        for (x, (rows, turned)) in x.zip(out) {
            shape.load(x, rows);
            let tiles = rows.chunks_exact(SIDE * width);
            for (rows, turned) in tiles.zip(turned.chunks_exact_mut(width * STEP)) {
                transpose((rows, width), (turned, STEP), SIDE, width);
            }
        }
        Rows {
            rows,
            turned,
            sizes: [row, column],
        }
    }

    pub(super) fn rows(&self, kv_head: usize, tile: usize, width: usize) -> &[f32] {
        &self.rows[kv_head * self.sizes[0] + tile * SIDE * width..][..SIDE * width]
    }

    pub(super) fn turned(&self, kv_head: usize, tile: usize, width: usize) -> &[f32] {
        &self.turned[kv_head * self.sizes[1] + tile * width * STEP..][..width * STEP]
    }
}

/// Products of a strip with a tile, for every head: row r of head h goes to `out[r][h]`, rows of `out` being `row`
/// elements apart and heads `STEP`.
#[inline(always)]
pub(super) fn products<S: Simd>(
    s: S,
    shape: &Shape,
    strip: &[f32],
    (rows, tile): (&Rows, usize),
    (out, row): (&mut [f32], usize),
) {
    let width = shape.width;
    for (head, strip) in strip.chunks_exact(STRIP * width).enumerate() {
        let keys = (rows.turned(shape.kv_head(head), tile, width), STEP);
        let out = (&mut out[head * STEP..], row);
        multiply(
            s,
            (strip, width, 1),
            keys,
            out,
            (STRIP, width, SIDE),
            Start::Zero,
        );
    }
}
