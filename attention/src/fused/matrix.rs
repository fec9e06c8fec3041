//! Products of whole small matrices.

use super::product::{Product, STRIP, Start, parts};
use crate::ops::simd::Simd;

/// The left operand: its numbers, and the steps from row to row and along a row.
pub(super) type Left<'a> = (&'a [f32], usize, usize);

/// `c = start + a · b` for a of `rows` rows and `inner` columns, b of `cols` columns; `b` and `c` are given with the
/// step between their rows. `rows` in whole strips, `cols` in whole vectors.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    s: S,
    (a, a_row, a_step): Left<'_>,
    (b, b_row): (&[f32], usize),
    (c, c_row): (&mut [f32], usize),
    (rows, inner, cols): (usize, usize, usize),
    start: Start<'_>,
) {
    for part in parts(cols) {
        for row in (0..rows).step_by(STRIP) {
            s.call(Product {
                a: &a[row * a_row..],
                a_row,
                a_step,
                b: &b[part.start..],
                b_row,
                c: &mut c[row * c_row + part.start..],
                c_row,
                inner,
                cols: part.len(),
                start,
            });
        }
    }
}

/// Rows of `width` numbers out of a matrix to columns of `out`: `out[c][r] = x[r][c]`.
#[inline(always)]
pub(super) fn transpose(
    (x, x_row): (&[f32], usize),
    (out, out_row): (&mut [f32], usize),
    rows: usize,
    cols: usize,
) {
    for (c, column) in out.chunks_mut(out_row).take(cols).enumerate() {
        for (r, y) in column[..rows].iter_mut().enumerate() {
            *y = x[r * x_row + c];
        }
    }
}
