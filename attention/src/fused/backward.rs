//! The backward pass: scores are computed again, tile by tile, and every gradient comes out of one sweep.

#![expect(unsafe_code, reason = "each job writes its own rows of the gradients")]

use super::compile::{Compiled, Score};
use super::product::{LANES, Product, STRIP, Start};
use super::program::{Sums, backward};
use super::scan::Scanned;
use super::scratch::{Scratch, transpose};
use super::sizes::{KEY_STEP, KEYS, ROW_STEP, ROWS};
use super::tile::{Call, Tile, at};
use super::view::{Sink, Source};
use crate::ops::simd::{Kernel, Simd};
use crate::score::Step;
use std::ops::Range;

/// Buffers of one thread beyond those of the forward pass.
#[derive(Debug)]
pub(super) struct Extra {
    /// Values transposed, as [`Scratch::kt`].
    vt: Vec<f32>,
    /// Upstream gradient of a block, \[ROWS, width\].
    pub(super) upstream: Vec<f32>,
    /// Weights of a tile.
    p: Vec<f32>,
    /// Upstream times values of a tile.
    dp: Vec<f32>,
    /// By turn: gradient of rotated queries of a block, of rotated keys; gradient of values.
    dq: Vec<Vec<f32>>,
    dk: Vec<Vec<f32>>,
    pub(super) dv: Vec<f32>,
    /// Gradients of the steps of the program, \[steps, KEYS\].
    adjoints: Vec<f32>,
}

impl Extra {
    pub(super) fn new(compiled: &Compiled, scratch: &Scratch) -> Extra {
        let tile = || vec![0.0; ROWS * ROW_STEP];
        Extra {
            vt: vec![0.0; compiled.keys.div_ceil(KEYS) * compiled.head_dim * KEY_STEP],
            upstream: vec![0.0; ROWS * scratch.width],
            p: tile(),
            dp: tile(),
            dq: scratch.q.clone(),
            dk: scratch.k.clone(),
            dv: scratch.v.clone(),
            adjoints: scratch.registers.clone(),
        }
    }
}

/// All queries of one key/value head of one batch entry.
pub(super) struct Backward<'a, 'b> {
    pub(super) call: &'a Call<'b>,
    pub(super) job: usize,
    pub(super) output: Source<'a>,
    pub(super) upstream: Source<'a>,
    /// What the forward pass left, \[heads of the group, queries\].
    pub(super) normalisers: &'a [f32],
    /// What its scan left.
    pub(super) scanned: &'a Scanned,
    pub(super) dq: Sink<'a>,
    pub(super) dk: Sink<'a>,
    pub(super) dv: Sink<'a>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) extra: &'a mut Extra,
}

/// One block of queries.
pub(super) struct Block<'a> {
    pub(super) batch: usize,
    pub(super) head: usize,
    pub(super) in_group: usize,
    pub(super) rows: Range<usize>,
    normalisers: &'a [f32],
    /// ⟨upstream, output⟩ of each row: the mean of the upstream gradient under the weights.
    pub(super) means: [f32; ROWS],
}

impl Kernel for Backward<'_, '_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> Sums {
        let c = self.call.compiled;
        let (batch, kv_head) = self.call.batch(self.job);
        let mut sums = Sums::new(c, self.call.values);
        if let Some(table) = self.call.scan.and_then(|scan| scan.table.as_ref()) {
            sums.scan = table.zeros(c.head_dim);
        }
        self.call.load_keys(batch, kv_head, self.scratch);
        transpose(
            &self.scratch.v,
            self.scratch.width,
            c.head_dim,
            &mut self.extra.vt,
        );
        self.extra.dk.iter_mut().for_each(|dk| dk.fill(0.0));
        self.extra.dv.fill(0.0);
        let normalisers = self.normalisers;
        for (in_group, normalisers) in normalisers.chunks_exact(c.queries).enumerate() {
            let head = kv_head * c.group() + in_group;
            for start in (0..c.queries).step_by(ROWS) {
                let rows = start..c.queries.min(start + ROWS);
                let normalisers = &normalisers[rows.clone()];
                let means = [0.0; ROWS];
                let mut block = Block {
                    batch,
                    head,
                    in_group,
                    rows,
                    normalisers,
                    means,
                };
                self.load(s, &mut block);
                let first = self.load_scan(s, &mut block);
                for tile in self.call.tiles(block.rows.clone()) {
                    if tile.key < first {
                        continue;
                    }
                    let floor = block.normalisers.iter().copied();
                    if self.call.is_weightless(&tile, head, self.scratch, floor) {
                        continue;
                    }
                    self.call.raw_scores(s, &tile, head, self.scratch);
                    self.differentiate(s, &block, &tile, &mut sums);
                    self.products(s, &tile);
                }
                self.finish_scan(s, &block, &mut sums);
                self.finish_queries(&block, &mut sums);
                sums.settle(c, self.call.values, head);
            }
        }
        self.finish_keys(batch, kv_head);
        sums
    }
}

impl Backward<'_, '_> {
    /// Brings in a block's queries and upstream gradient.
    #[inline(always)]
    fn load<S: Simd>(&mut self, s: S, block: &mut Block<'_>) {
        let width = self.scratch.width;
        self.call
            .load_queries(block.batch, block.head, &block.rows, self.scratch);
        let extra = &mut *self.extra;
        for (r, i) in block.rows.clone().enumerate() {
            let place = (block.batch, block.head, i);
            let output = self.output.row(place, &mut self.scratch.space);
            let upstream = &mut extra.upstream[r * width..][..output.len()];
            self.upstream.copy(place, upstream);
            let mut mean = s.splat(0.0);
            for at in (0..output.len()).step_by(S::LANES) {
                mean = s.fma(s.read(upstream, at), s.read(output, at), mean);
            }
            block.means[r] = s.total(mean);
        }
        let rows = block.rows.len();
        extra.upstream[rows * width..rows.next_multiple_of(STRIP) * width].fill(0.0);
        extra.dq.iter_mut().for_each(|dq| dq.fill(0.0));
    }

    /// From raw scores to weights (in `extra.p`) and gradients of raw scores (in `scratch.s`).
    #[inline(always)]
    fn differentiate<S: Simd>(&mut self, s: S, block: &Block<'_>, tile: &Tile, sums: &mut Sums) {
        let call = self.call;
        let c = call.compiled;
        let (scratch, extra) = (&mut *self.scratch, &mut *self.extra);
        let vt = &extra.vt[tile.key / KEYS * c.head_dim * KEY_STEP..];
        let upstream = (extra.upstream.as_slice(), scratch.width);
        call.product(s, tile, upstream, vt, None, &mut extra.dp);
        for r in 0..tile.rows.len() {
            let place = call.scores(s, tile, r, (block.batch, block.head), scratch);
            let (range, cols) = (at(r)..at(r) + place.cols, place.cols);
            call.scan_row(s, tile, (r, cols), true, scratch);
            let (p, dp) = (&mut extra.p[range.clone()], &extra.dp[range.clone()]);
            let row = &mut scratch.s[0][range.clone()];
            let (normaliser, mean) = (s.splat(block.normalisers[r]), s.splat(block.means[r]));
            for at in (0..cols).step_by(S::LANES) {
                let weight = s.exp_down(s.sub(s.read(row, at), normaliser));
                s.write(p, at, weight);
                s.write(row, at, s.mul(weight, s.sub(s.read(dp, at), mean)));
            }
            if let (Some(scan), Some(sums)) = (call.scan, &mut scratch.scan) {
                scan.backward(s, r, row, sums);
            }
            if c.score == Score::Program && cols > 0 {
                let last = (c.steps.len() - 1) * KEYS;
                for step in 0..c.steps.len() {
                    extra.adjoints[step * KEYS..][..cols].fill(0.0);
                }
                extra.adjoints[last..][..cols].copy_from_slice(row);
                let place = (place, block.in_group);
                let adjoints = &mut extra.adjoints;
                backward(s, c, call.values, place, &scratch.registers, adjoints, sums);
                for (step, kind) in c.steps.iter().enumerate() {
                    if let Step::Raw(turn) = *kind {
                        scratch.s[turn][range.clone()]
                            .copy_from_slice(&adjoints[step * KEYS..][..cols]);
                    }
                }
            }
        }
        for r in tile.rows.len()..tile.rows.len().next_multiple_of(STRIP) {
            let range = at(r)..at(r) + KEYS;
            extra.p[range.clone()].fill(0.0);
            scratch
                .s
                .iter_mut()
                .for_each(|s| s[range.clone()].fill(0.0));
        }
        if let Score::Biased(table) = c.score
            && c.tables[table].learned
        {
            for r in 0..tile.rows.len() {
                let end = call.reach(tile, r / STRIP);
                scratch.s[0][at(r) + end..at(r) + KEYS].fill(0.0);
            }
            let axis = c.tables[table].axis;
            let last = tile.rows.end - 1;
            let start = block.in_group * c.padded_places(axis) + c.queries - 1 + tile.key - last;
            let sums = &mut sums.narrow[table][start..];
            diagonals(s, &scratch.s[0], tile.rows.len(), tile.cols, sums);
        }
    }

    /// Adds the tile's share to the gradients of values, keys and queries.
    #[inline(always)]
    fn products<S: Simd>(&mut self, s: S, tile: &Tile) {
        let (scratch, extra) = (&mut *self.scratch, &mut *self.extra);
        let width = scratch.width;
        let strips = tile.rows.len().div_ceil(STRIP);
        let reach = self.call.reach(tile, strips - 1);
        let mut first = 0;
        for col in (0..reach).step_by(STRIP) {
            // Strips before the first one that reaches this column have nothing here.
            while self.call.reach(tile, first) <= col {
                first += 1;
            }
            let (row, key) = (first * STRIP, tile.key + col);
            let sum = |a: &[f32], b: &[f32], c: &mut [f32]| {
                s.call(Product {
                    a: &a[at(row) + col..],
                    a_row: 1,
                    a_step: ROW_STEP,
                    b: &b[row * width..],
                    b_row: width,
                    c: &mut c[key * width..],
                    c_row: width,
                    inner: strips * STRIP - row,
                    cols: width,
                    start: Start::Sum,
                });
            };
            sum(&extra.p, &extra.upstream, &mut extra.dv);
            for ((ds, q), dk) in scratch.s.iter().zip(&scratch.q).zip(&mut extra.dk) {
                sum(ds, q, dk);
            }
        }
        for ((ds, k), dq) in scratch.s.iter().zip(&scratch.k).zip(&mut extra.dq) {
            self.call.add_rows(s, tile, ds, (k, width), dq);
        }
    }

    /// Rotates a block's query gradients back and writes them.
    #[inline(always)]
    fn finish_queries(&mut self, block: &Block<'_>, sums: &mut Sums) {
        let c = self.call.compiled;
        let width = self.scratch.width;
        for (r, i) in block.rows.clone().enumerate() {
            // SAFETY: no other job has this batch entry and head.
            let out = unsafe { self.dq.row(block.batch, block.head, i) };
            out.fill(0.0);
            for (turn, dq) in c.rotations.iter().zip(&self.extra.dq) {
                let place = (block.head, i);
                turn.query
                    .turn_back(place, turn.pairing, 1.0, &dq[r * width..], out);
            }
            if let Some(table) = c.query_scale
                && let Some(sum) = sums.wide[table].get_mut(block.in_group * c.queries + i)
            {
                // raw = scale · factor · ⟨q, back-rotated k⟩, so its derivative by the factor needs no score.
                let place = (block.batch, block.head, i);
                let q = self.call.q.row(place, &mut self.scratch.space);
                let dot = q
                    .iter()
                    .zip(&*out)
                    .map(|(q, d)| f64::from(*q) * f64::from(*d));
                *sum += c.scale * dot.sum::<f64>();
            }
            let scale = self.call.scale(block.head, i);
            out.iter_mut().for_each(|x| *x *= scale);
            self.call.add_read(r, self.scratch, out);
        }
    }

    /// Rotates key gradients back and writes them, and those of the values.
    #[inline(always)]
    fn finish_keys(&mut self, batch: usize, head: usize) {
        let c = self.call.compiled;
        let width = self.scratch.width;
        for j in 0..c.keys {
            // SAFETY: no other job has this batch entry and key/value head; the sinks have no row in common.
            let (dk, dv) = unsafe { (self.dk.row(batch, head, j), self.dv.row(batch, head, j)) };
            dk.fill(0.0);
            for (turn, sums) in c.rotations.iter().zip(&self.extra.dk) {
                turn.key
                    .turn_back((head, j), turn.pairing, 1.0, &sums[j * width..], dk);
            }
            dv.copy_from_slice(&self.extra.dv[j * width..][..c.head_dim]);
        }
    }
}

/// Adds the sums of a tile's diagonals to `sums`, the lower left corner first. Outside of `cols` columns (in whole
/// vectors) rows must hold zeros up to the margins.
#[inline(always)]
fn diagonals<S: Simd>(s: S, tile: &[f32], rows: usize, cols: usize, sums: &mut [f32]) {
    let end = rows - 1 + cols;
    for start in (0..end).step_by(S::LANES) {
        // Column of row r in the first lane: start + r − (rows − 1), between −LANES and KEYS.
        let first = (rows - 1).saturating_sub(start + S::LANES - 1);
        let last = (rows - 1 + KEYS).saturating_sub(start).min(rows - 1);
        let mut sum = s.read(sums, start);
        for r in first..=last {
            let place = at(r) + start + r + 1 - rows;
            sum = s.add(sum, s.read(tile, place));
        }
        s.write(sums, start, sum);
    }
    debug_assert!(LANES >= S::LANES);
}
