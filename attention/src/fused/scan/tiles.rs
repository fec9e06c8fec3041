//! A scan within the passes over tiles.

use super::Scan;
use crate::fused::backward::{Backward, Block};
use crate::fused::program;
use crate::fused::scratch::Scratch;
use crate::fused::sizes::ROWS;
use crate::fused::tile::{Call, Tile, at};
use crate::ops::simd::Simd;
use std::ops::Range;

impl Call<'_> {
    /// Whether keys farther out have no weight for any of a block's rows.
    #[inline(always)]
    pub(in crate::fused) fn is_spent(&self, rows: usize, scratch: &Scratch) -> bool {
        match (self.scan, &scratch.scan) {
            (Some(scan), Some(sums)) => scan.is_spent(rows, sums),
            _ => false,
        }
    }

    /// Output of query number `query`, row `r` of its block, whose pieces of values are in `scratch.sums`.
    #[inline(always)]
    pub(in crate::fused) fn finish_sticks(
        &self,
        (r, query): (usize, usize),
        scratch: &Scratch,
        out: &mut [f32],
    ) {
        let width = scratch.width;
        out.copy_from_slice(&scratch.sums[r * width..][..out.len()]);
        let left = match (self.scan, &scratch.scan) {
            (Some(scan), Some(sums)) => scan.left(sums.carried[r]),
            _ => None,
        };
        if let (Some(left), Some(own)) = (left, self.own_key(query)) {
            let own = &scratch.v[own * width..];
            for (y, v) in out.iter_mut().zip(own) {
                *y += left * v;
            }
        }
    }

    /// Begins a block of queries, of which no sum is above `most`.
    #[inline(always)]
    pub(in crate::fused) fn load_scan<S: Simd>(
        &self,
        s: S,
        (batch, head): (usize, usize),
        rows: &Range<usize>,
        most: usize,
        scratch: &mut Scratch,
    ) {
        let (Some(scan), Some(sums)) = (self.scan, &mut scratch.scan) else {
            return;
        };
        if let Some(table) = &scan.table {
            let width = scratch.width;
            for (r, i) in rows.clone().enumerate() {
                let query = &mut sums.queries[r * width..][..self.compiled.head_dim];
                self.q.copy((batch, head, i), query);
            }
            table.load(s, rows.len(), most, width, sums);
        }
    }

    /// Column of a tile that is the query's own key, if it is among the first `cols`.
    #[inline(always)]
    fn own(&self, tile: &Tile, r: usize, cols: usize) -> Option<usize> {
        let own = self.own_key(tile.rows.start + r)?.checked_sub(tile.key)?;
        (own < cols).then_some(own)
    }

    /// Number of the query's own key, if the call has it.
    #[inline(always)]
    pub(in crate::fused) fn own_key(&self, query: usize) -> Option<usize> {
        let c = self.compiled;
        let own = (c.first_query + query).checked_sub(c.first_key)?;
        (own < c.keys).then_some(own)
    }

    /// Row `r` of the plan's scores in `scratch.s` becomes what the scan makes of it; `again` on the way back.
    #[inline(always)]
    pub(in crate::fused) fn scan_row<S: Simd>(
        &self,
        s: S,
        tile: &Tile,
        (r, cols): (usize, usize),
        again: bool,
        scratch: &mut Scratch,
    ) {
        let (Some(scan), Some(sums)) = (self.scan, &mut scratch.scan) else {
            return;
        };
        let own = self.own(tile, r, cols);
        let row = &mut scratch.s[0][at(r)..][..cols];
        match again {
            false => scan.forward(s, r, own, row, sums),
            true => scan.again(s, r, own, row, sums),
        }
    }
}

impl Backward<'_, '_> {
    /// Brings in what the scan left of a block's rows; returns the first key that they looked at.
    #[inline(always)]
    pub(in crate::fused) fn load_scan<S: Simd>(&mut self, s: S, block: &mut Block<'_>) -> usize {
        let c = self.call.compiled;
        let Some(scan) = self.call.scan else {
            return 0;
        };
        let rows = block.rows.clone();
        let ends = &self.scanned.sums[block.in_group * c.queries..][rows.clone()];
        let most = ends.iter().copied().fold(0.0, f64::max).ceil() as usize;
        let place = (block.batch, block.head);
        self.call.load_scan(s, place, &rows, most, self.scratch);
        if let Some(sums) = &mut self.scratch.scan {
            sums.carried[..rows.len()].copy_from_slice(ends);
            sums.above.fill(0.0);
            sums.dterms.fill(0.0);
            if !scan.is_softmax() {
                block.means.fill(0.0);
            }
            for (r, i) in rows.clone().enumerate() {
                let (Some(left), Some(own)) = (scan.left(ends[r]), self.call.own_key(i)) else {
                    continue;
                };
                let place = own * self.scratch.width..(own + 1) * self.scratch.width;
                let upstream = &self.extra.upstream[r * self.scratch.width..];
                let pairs = upstream.iter().zip(&self.scratch.v[place.clone()]);
                let dleft: f64 = pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                sums.above[r] = -f64::from(left) * dleft;
                for (dv, x) in self.extra.dv[place].iter_mut().zip(upstream) {
                    *dv += left * x;
                }
            }
        }
        let blocks = c.queries.div_ceil(ROWS);
        self.scanned.firsts[block.in_group * blocks + rows.start / ROWS]
    }

    /// Gradients of the table and, in the place of the queries, of these.
    #[inline(always)]
    pub(in crate::fused) fn finish_scan<S: Simd>(
        &mut self,
        s: S,
        block: &Block<'_>,
        into: &mut program::Sums,
    ) {
        let (Some(scan), Some(sums)) = (self.call.scan, &mut self.scratch.scan) else {
            return;
        };
        if let Some(table) = &scan.table {
            let start = block.in_group * self.call.compiled.queries;
            let ends = &self.scanned.sums[start..][block.rows.clone()];
            let most = ends.iter().copied().fold(0.0, f64::max).ceil() as usize;
            let width = self.scratch.width;
            table.finish(s, block.rows.len(), most, width, (sums, &mut into.scan));
        }
    }
}

impl Call<'_> {
    /// Adds what the table's gradient says of query `r` of a block.
    #[inline(always)]
    pub(in crate::fused) fn add_read(&self, r: usize, scratch: &Scratch, out: &mut [f32]) {
        if let (Some(Scan { table: Some(_), .. }), Some(sums)) = (self.scan, &scratch.scan) {
            let own = &sums.queries[r * scratch.width..];
            out.iter_mut().zip(own).for_each(|(x, y)| *x += y);
        }
    }
}
