//! Buffers of one thread.

use super::compile::Compiled;
use super::product::padded;
use super::scan::{Scan, Sums};
use super::sizes::{KEY_STEP, KEYS, ROW_STEP, ROWS};

/// Buffers of one thread. Columns from head_dim to `width` and rows past the last key stay zero.
#[derive(Debug)]
pub(super) struct Scratch {
    /// head_dim in whole vectors.
    pub(super) width: usize,
    /// By turn: rotated keys, \[keys, width\].
    pub(super) k: Vec<Vec<f32>>,
    /// By turn: the same, transposed tile by tile, \[tiles, head_dim, KEY_STEP\].
    pub(super) kt: Vec<Vec<f32>>,
    /// Values, \[keys, width\].
    pub(super) v: Vec<f32>,
    /// By tile: an upper bound of the length of its keys of the first turn; ∞ where a key or value is no finite number.
    pub(super) longest_key: Vec<f32>,
    /// The same of a block's queries.
    pub(super) longest_query: f32,
    /// By turn: rotated and scaled queries of a block, \[ROWS, width\].
    pub(super) q: Vec<Vec<f32>>,
    /// Sums over keys for a block, \[ROWS, width\].
    pub(super) sums: Vec<f32>,
    /// By turn: raw scores of a tile; the first also takes the scores.
    pub(super) s: Vec<Vec<f32>>,
    /// What the steps of the program leave, \[steps, KEYS\].
    pub(super) registers: Vec<f32>,
    /// One row of the inputs in f32, \[head_dim\].
    pub(super) space: Vec<f32>,
    /// Of a scan along rows, if the call has one.
    pub(super) scan: Option<Sums>,
}

impl Scratch {
    pub(super) fn new(compiled: &Compiled, scan: Option<&Scan>) -> Scratch {
        let width = padded(compiled.head_dim);
        let rotations = compiled.rotations.len();
        let keys = padded(compiled.keys);
        let tiles = compiled.keys.div_ceil(KEYS);
        let many = |n: usize, len: usize| vec![vec![0.0; len]; n];
        Scratch {
            width,
            k: many(rotations, keys * width),
            kt: many(rotations, tiles * compiled.head_dim * KEY_STEP),
            v: vec![0.0; keys * width],
            longest_key: vec![0.0; tiles],
            longest_query: 0.0,
            q: many(rotations, ROWS * width),
            sums: vec![0.0; ROWS * width],
            s: many(rotations.max(1), ROWS * ROW_STEP),
            registers: vec![0.0; compiled.steps.len() * KEYS],
            space: vec![0.0; compiled.head_dim],
            scan: scan.map(|scan| scan.buffers(compiled.head_dim)),
        }
    }
}

/// Rows \[keys, width\] to columns, tile by tile: \[tiles, inner, KEY_STEP\].
#[inline(always)]
pub(super) fn transpose(rows: &[f32], width: usize, inner: usize, columns: &mut [f32]) {
    let tiles = rows
        .chunks(KEYS * width)
        .zip(columns.chunks_exact_mut(inner * KEY_STEP));
    for (rows, columns) in tiles {
        for (c, column) in columns.chunks_exact_mut(KEY_STEP).enumerate() {
            for (x, row) in column.iter_mut().zip(rows.chunks_exact(width)) {
                *x = row[c];
            }
        }
    }
}

/// An upper bound of the lengths of rows, rounding included; ∞ if a number is not finite.
#[inline(always)]
pub(super) fn longest_row(rows: &[f32], width: usize) -> f32 {
    let square = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
    let longest = rows.chunks_exact(width).map(square).fold(0.0, f32::max);
    // `max` passes over NaN.
    match rows.iter().all(|x| x.is_finite()) {
        true => longest.sqrt() * 1.001,
        false => f32::INFINITY,
    }
}
