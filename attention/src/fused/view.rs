//! Rows of (batch, head, token) inside larger arrays, whatever the order of their axes.

#![expect(
    unsafe_code,
    reason = "jobs on several threads write disjoint rows of one array"
)]

use crate::ops::bridge::Elements;
use candle_core::Layout;
use half::slice::HalfFloatSliceExt;
use std::marker::PhantomData;
use std::ops::Range;

/// Where rows lie: strides in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    start: usize,
    batch: usize,
    head: usize,
    token: usize,
    /// Elements of a row.
    width: usize,
}

impl Grid {
    /// A (batch, heads, tokens, width) tensor whose last axis is contiguous; `None` for other layouts.
    pub(super) fn of(layout: &Layout) -> Option<Grid> {
        match (layout.dims(), layout.stride()) {
            (&[_, _, _, width], &[batch, head, token, last]) if last == 1 || width <= 1 => {
                Some(Grid {
                    start: layout.start_offset(),
                    batch,
                    head,
                    token,
                    width,
                })
            }
            _ => None,
        }
    }

    /// A contiguous (batch, heads, tokens, width) array.
    pub(super) fn split(heads: usize, tokens: usize, width: usize) -> Grid {
        let head = tokens * width;
        Grid {
            start: 0,
            batch: heads * head,
            head,
            token: width,
            width,
        }
    }

    /// Heads from `first` on inside a contiguous (batch, tokens, all · width) array.
    pub(super) fn packed(first: usize, all: usize, tokens: usize, width: usize) -> Grid {
        let token = all * width;
        Grid {
            start: first * width,
            batch: tokens * token,
            head: width,
            token,
            width,
        }
    }

    #[inline(always)]
    fn at(&self, batch: usize, head: usize, token: usize) -> usize {
        self.start + batch * self.batch + head * self.head + token * self.token
    }
}

/// Rows to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) data: Elements<'a>,
    pub(super) grid: Grid,
}

impl<'a> Source<'a> {
    /// A row in f32: as it lies, or converted into `space`, which is as wide.
    #[inline(always)]
    pub(super) fn row<'b>(
        &self,
        (batch, head, token): (usize, usize, usize),
        space: &'b mut [f32],
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        let range = self.range(batch, head, token);
        match self.data {
            Elements::F32(values) => &values[range],
            Elements::Bf16(values) => {
                values[range].convert_to_f32_slice(space);
                space
            }
        }
    }

    /// Copies a row to `out`, which is as wide, in f32.
    #[inline(always)]
    pub(super) fn copy(&self, (batch, head, token): (usize, usize, usize), out: &mut [f32]) {
        let range = self.range(batch, head, token);
        match self.data {
            Elements::F32(values) => out.copy_from_slice(&values[range]),
            Elements::Bf16(values) => values[range].convert_to_f32_slice(out),
        }
    }

    #[inline(always)]
    fn range(&self, batch: usize, head: usize, token: usize) -> Range<usize> {
        let start = self.grid.at(batch, head, token);
        start..start + self.grid.width
    }
}

/// Rows to write, shared between jobs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sink<'a> {
    data: *mut f32,
    len: usize,
    grid: Grid,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a Sink is a mutable borrow that is handed out row by row; `row` demands that no two borrows overlap.
unsafe impl Send for Sink<'_> {}
// SAFETY: as above.
unsafe impl Sync for Sink<'_> {}

impl<'a> Sink<'a> {
    pub(super) fn new(data: &'a mut [f32], grid: Grid) -> Sink<'a> {
        Sink {
            data: data.as_mut_ptr(),
            len: data.len(),
            grid,
            lifetime: PhantomData,
        }
    }

    /// A second view of the same array, with rows elsewhere.
    pub(super) fn with(self, grid: Grid) -> Sink<'a> {
        Sink { grid, ..self }
    }

    /// # Safety
    /// No other borrow of this row is alive: not through a copy of this sink, nor through another view of the array.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for disjoint rows")]
    pub(super) unsafe fn row(&self, batch: usize, head: usize, token: usize) -> &mut [f32] {
        let at = self.grid.at(batch, head, token);
        assert!(at + self.grid.width <= self.len);
        // SAFETY: inside of the array, as just checked; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(at), self.grid.width) }
    }
}
