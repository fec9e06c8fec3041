//! The matrix product that everything here is made of: eight rows at a time, vectors along the columns.

#![expect(
    unsafe_code,
    reason = "the inner loop reads without bounds checks; `run` checks all of them first"
)]

use super::tile::ROW_STEP;
use crate::ops::simd::{Kernel, Simd};
use std::ops::Range;

/// Rows of one product.
pub(super) const STRIP: usize = 8;

/// Columns come in multiples of this on every instruction set.
pub(super) const LANES: usize = 16;

/// `n` rounded up to whole vectors.
pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Parts of about equal width that `cols` columns are taken in, each as wide as one pass through the registers at most.
/// Going through all strips of a part before the next part keeps the part of `b` in the innermost cache.
#[inline(always)]
pub(super) fn parts(cols: usize) -> impl Iterator<Item = Range<usize>> {
    let widest = cols.div_ceil(3 * LANES).max(1);
    let size = padded(cols.div_ceil(widest)).max(LANES);
    (0..cols)
        .step_by(size)
        .map(move |start| start..cols.min(start + size))
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    Zero,
    /// What `c` holds.
    Sum,
    /// A bias by distance: row r of the product begins at element `STRIP − 1 − r` of the slice.
    Diagonal(&'a [f32]),
}

/// `c = start + a · b`: [`STRIP`] rows, `cols` columns, sum over `inner`.
/// Element (r, p) of `a` is `a[r · a_row + p · a_step]`; rows of `b` and `c` are contiguous.
pub(super) struct Product<'a> {
    pub(super) a: &'a [f32],
    pub(super) a_row: usize,
    pub(super) a_step: usize,
    pub(super) b: &'a [f32],
    pub(super) b_row: usize,
    pub(super) c: &'a mut [f32],
    pub(super) c_row: usize,
    pub(super) inner: usize,
    pub(super) cols: usize,
    pub(super) start: Start<'a>,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Product {
            a,
            a_row,
            a_step,
            b,
            b_row,
            c,
            c_row,
            inner,
            cols,
            start,
        } = self;
        if cols == 0 {
            return;
        }
        assert!(cols.is_multiple_of(LANES) && c.len() >= (STRIP - 1) * c_row + cols);
        if inner > 0 {
            let last = inner - 1;
            assert!(a.len() > (STRIP - 1) * a_row + last * a_step);
            assert!(b.len() >= last * b_row + cols);
        }
        let from = match start {
            Start::Zero => None,
            Start::Sum => Some((c.as_ptr(), c_row as isize)),
            Start::Diagonal(bias) => {
                assert!(bias.len() >= STRIP - 1 + cols);
                Some((bias[STRIP - 1..].as_ptr(), -1))
            }
        };
        let operands = Operands {
            a: a.as_ptr(),
            a_row,
            a_step,
            b: b.as_ptr(),
            b_row,
            c: c.as_mut_ptr(),
            c_row,
            from,
            inner,
        };
        // SAFETY: the assertions cover the largest index of each operand.
        unsafe {
            match a_row {
                1 => rows::<S, 1>(s, operands, cols),
                32 => rows::<S, 32>(s, operands, cols),
                64 => rows::<S, 64>(s, operands, cols),
                128 => rows::<S, 128>(s, operands, cols),
                ROW_STEP => rows::<S, ROW_STEP>(s, operands, cols),
                _ => rows::<S, ANY>(s, operands, cols),
            }
        }
    }
}

/// Stands for a distance between rows that is known at run time only.
const ANY: usize = 0;

/// All columns. `A` is `a_row` where the compiler is to know it: eight rows at known distances need one pointer, at
/// unknown ones more than the processor has registers.
///
/// # Safety
/// `STRIP` rows and `cols` columns, a multiple of [`LANES`], lie inside the operands, as [`tile`] says; `A` is `a_row`
/// or [`ANY`].
#[inline(always)]
unsafe fn rows<S: Simd, const A: usize>(s: S, operands: Operands, cols: usize) {
    let mut at = 0;
    // SAFETY: `at` plus the width of a tile never exceeds `cols`.
    unsafe {
        if S::LANES == LANES {
            // Four vectors are better taken two and two than three and one.
            while at + 3 * LANES <= cols && at + 4 * LANES != cols {
                tile::<S, A, STRIP, 3>(s, operands, 0, at);
                at += 3 * LANES;
            }
            while at + 2 * LANES <= cols {
                tile::<S, A, STRIP, 2>(s, operands, 0, at);
                at += 2 * LANES;
            }
            if at < cols {
                tile::<S, A, STRIP, 1>(s, operands, 0, at);
            }
        } else {
            // Sixteen registers hold no more.
            while at < cols {
                tile::<S, A, 4, 2>(s, operands, 0, at);
                tile::<S, A, 4, 2>(s, operands, 4, at);
                at += LANES;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Operands {
    a: *const f32,
    a_row: usize,
    a_step: usize,
    b: *const f32,
    b_row: usize,
    c: *mut f32,
    c_row: usize,
    /// What the product is added to, and the elements between its rows.
    from: Option<(*const f32, isize)>,
    inner: usize,
}

/// `R` rows from `row` on, and `W` vectors of columns from `col` on.
///
/// # Safety
/// These lie inside `c` and `from`, and `inner` steps of them inside `a` and `b`; `c` overlaps neither. `A` is as in
/// [`rows`].
#[inline(always)]
unsafe fn tile<S: Simd, const A: usize, const R: usize, const W: usize>(
    s: S,
    operands: Operands,
    row: usize,
    col: usize,
) {
    let Operands {
        a,
        a_row,
        a_step,
        b,
        b_row,
        c,
        c_row,
        from,
        inner,
    } = operands;
    let a_row = if A == ANY { a_row } else { A };
    let (mut a, mut b) = (a.wrapping_add(row * a_row), b.wrapping_add(col));
    // SAFETY: the caller vouches for all of these.
    unsafe {
        let mut sums = [[s.splat(0.0); W]; R];
        for _ in 0..inner {
            let mut vectors = [s.splat(0.0); W];
            for (w, vector) in vectors.iter_mut().enumerate() {
                *vector = s.load(b.add(w * S::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = s.splat(*a.add(r * a_row));
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = s.fma(x, vector, *sum);
                }
            }
            // One step past the end after the last round, never read.
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_row);
        }
        // Added at the end, for every step would round to the digits of a large bias.
        if let Some((from, from_row)) = from {
            for (r, sums) in sums.iter_mut().enumerate() {
                let from = from.offset((row + r) as isize * from_row).add(col);
                for (w, sum) in sums.iter_mut().enumerate() {
                    *sum = s.add(*sum, s.load(from.add(w * S::LANES)));
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (w, sum) in sums.iter().enumerate() {
                s.store(c.add((row + r) * c_row + col + w * S::LANES), *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::simd::dispatch;
    use crate::testing::noise;

    #[test]
    fn equals_the_triple_loop() {
        for (inner, cols) in [(0, 16), (1, 16), (7, 32), (64, 48), (5, 112), (33, 80)] {
            for (a_row, a_step) in [(inner + 3, 1), (1, STRIP + 1), (64, 1), (ROW_STEP, 1)] {
                for start in 0..3 {
                    let f32s = |seed, n| {
                        noise(seed, n)
                            .into_iter()
                            .map(|x| x as f32)
                            .collect::<Vec<_>>()
                    };
                    let a = f32s(1, STRIP * a_row + (inner + 1) * a_step);
                    let b = f32s(2, (inner + 1) * (cols + 5));
                    let before = f32s(3, STRIP * (cols + 2));
                    let bias = f32s(4, STRIP - 1 + cols);
                    let mut c = before.clone();
                    dispatch(Product {
                        a: &a,
                        a_row,
                        a_step,
                        b: &b,
                        b_row: cols + 5,
                        c: &mut c,
                        c_row: cols + 2,
                        inner,
                        cols,
                        start: [Start::Zero, Start::Sum, Start::Diagonal(&bias)][start],
                    });
                    for r in 0..STRIP {
                        for col in 0..cols {
                            let place = r * (cols + 2) + col;
                            let mut sum =
                                f64::from([0.0, before[place], bias[STRIP - 1 - r + col]][start]);
                            for p in 0..inner {
                                let (x, y) = (a[r * a_row + p * a_step], b[p * (cols + 5) + col]);
                                sum += f64::from(x) * f64::from(y);
                            }
                            assert!((f64::from(c[place]) - sum).abs() < 1e-5);
                        }
                    }
                }
            }
        }
    }
}
