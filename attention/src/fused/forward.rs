//! The forward pass: softmax over tiles of keys with a running maximum (Dao et al. 2022, arXiv 2205.14135).

#![expect(unsafe_code, reason = "each job writes its own rows of the output")]

use super::product::LANES;
use super::scan::Scanned;
use super::scratch::Scratch;
use super::sizes::ROWS;
use super::tile::{Call, at};
use super::view::Sink;
use crate::ops::simd::{Kernel, Simd};
use std::ops::Range;

/// All queries of one key/value head of one batch entry.
pub(super) struct Forward<'a, 'b> {
    pub(super) call: &'a Call<'b>,
    pub(super) job: usize,
    pub(super) output: Sink<'a>,
    /// ln Σ eˢ of each row, \[heads of the group, queries\]; ∞ for a row that sees nothing.
    pub(super) normalisers: &'a mut [f32],
    pub(super) scratch: &'a mut Scratch,
}

/// Running softmax of the rows of a block.
struct Running {
    largest: [f32; ROWS],
    /// Lane by lane.
    total: [[f32; LANES]; ROWS],
    /// Columns of the tile at hand that each row reaches.
    cols: [usize; ROWS],
    /// First key that was looked at.
    first: usize,
}

impl Kernel for Forward<'_, '_> {
    type Output = Scanned;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Scanned {
        let mut scanned = Scanned::default();
        let c = self.call.compiled;
        let (batch, kv_head) = self.call.batch(self.job);
        let group = c.group();
        self.call.load_keys(batch, kv_head, self.scratch);
        for (in_group, normalisers) in self.normalisers.chunks_exact_mut(c.queries).enumerate() {
            let head = kv_head * group + in_group;
            for start in (0..c.queries).step_by(ROWS) {
                let rows = start..c.queries.min(start + ROWS);
                let running = block(s, self.call, batch, head, &rows, self.scratch);
                if let (Some(scan), Some(sums)) = (self.call.scan, &self.scratch.scan) {
                    scanned.sums.extend(&sums.carried[..rows.len()]);
                    scanned.firsts.push(running.first);
                    if !scan.is_softmax() {
                        for (r, i) in rows.enumerate() {
                            // SAFETY: no other job has this batch entry and head.
                            let output = unsafe { self.output.row(batch, head, i) };
                            self.call.finish_sticks((r, i), self.scratch, output);
                            normalisers[i] = 0.0;
                        }
                        continue;
                    }
                }
                for (r, i) in rows.enumerate() {
                    let (largest, total) =
                        (running.largest[r], running.total[r].iter().sum::<f32>());
                    let dead = total == 0.0 && largest == f32::NEG_INFINITY;
                    normalisers[i] = if dead {
                        f32::INFINITY
                    } else {
                        largest + total.ln()
                    };
                    let scale = if dead { 0.0 } else { 1.0 / total };
                    // SAFETY: no other job has this batch entry and head.
                    let output = unsafe { self.output.row(batch, head, i) };
                    let sums = &self.scratch.sums[r * self.scratch.width..];
                    for (y, x) in output.iter_mut().zip(sums) {
                        *y = x * scale;
                    }
                }
            }
        }
        scanned
    }
}

/// Leaves Σ eˢ⁻ᵐ · v in `scratch.sums`, with m and Σ eˢ⁻ᵐ in what it returns.
#[inline(always)]
fn block<S: Simd>(
    s: S,
    call: &Call<'_>,
    batch: usize,
    head: usize,
    rows: &Range<usize>,
    scratch: &mut Scratch,
) -> Running {
    call.load_queries(batch, head, rows, scratch);
    let mut running = Running {
        largest: [f32::NEG_INFINITY; ROWS],
        total: [[0.0; LANES]; ROWS],
        cols: [0; ROWS],
        first: call.compiled.keys,
    };
    scratch.sums.fill(0.0);
    let visible = call.reachable(rows).len();
    call.load_scan(s, (batch, head), rows, visible, scratch);
    if let Some(sums) = &mut scratch.scan {
        sums.carried.fill(0.0);
    }
    let sticks = call.scan.is_some_and(|scan| !scan.is_softmax());
    let width = scratch.width;
    // Near keys first: under a bias that falls with distance, their scores show that far ones have no weight.
    for tile in call.tiles(rows.clone()).rev() {
        let floor = running.largest[..rows.len()].iter().copied();
        if call.is_spent(rows.len(), scratch) {
            break;
        }
        running.first = tile.key;
        if call.is_weightless(&tile, head, scratch, floor) {
            continue;
        }
        call.raw_scores(s, &tile, head, scratch);
        // Two passes over the rows: the maximum of one would otherwise hold up its own exponentials.
        for r in 0..rows.len() {
            let place = call.scores(s, &tile, r, (batch, head), scratch);
            running.cols[r] = place.cols;
            call.scan_row(s, &tile, (r, place.cols), false, scratch);
            if sticks {
                running.largest[r] = 0.0;
                continue;
            }
            let (before, tile) = (
                running.largest[r],
                largest(s, &scratch.s[0][at(r)..][..place.cols]),
            );
            if tile > before {
                running.largest[r] = tile;
                let keep = (before - tile).exp();
                shrink(s, &mut running.total[r], keep);
                shrink(s, &mut scratch.sums[r * width..][..width], keep);
            }
        }
        for r in 0..rows.len() {
            let row = &mut scratch.s[0][at(r)..][..running.cols[r]];
            weigh(s, row, running.largest[r], &mut running.total[r]);
        }
        let values = (scratch.v.as_slice(), width);
        call.add_rows(s, &tile, &scratch.s[0], values, &mut scratch.sums);
    }
    running
}

/// Largest number of a row, lane by lane in two chains so that neither waits for the other.
#[inline(always)]
pub(super) fn largest<S: Simd>(s: S, row: &[f32]) -> f32 {
    let mut lanes = [s.splat(f32::NEG_INFINITY); 2];
    for at in (0..row.len()).step_by(S::LANES) {
        let lane = &mut lanes[at / S::LANES % 2];
        // The order of arguments passes over NaN, which comes back through the exponential.
        *lane = s.max(s.read(row, at), *lane);
    }
    s.largest(s.max(lanes[0], lanes[1]))
}

/// Turns a row of scores into eˢ⁻ᵐ and adds them to `total`, lane by lane.
#[inline(always)]
pub(super) fn weigh<S: Simd>(s: S, row: &mut [f32], m: f32, total: &mut [f32]) {
    // A row that has seen nothing yet: any finite shift gives zeros.
    let shift = s.splat(if m == f32::NEG_INFINITY { 0.0 } else { m });
    let mut sum = s.read(total, 0);
    for at in (0..row.len()).step_by(S::LANES) {
        let p = s.exp_down(s.sub(s.read(row, at), shift));
        sum = s.add(sum, p);
        s.write(row, at, p);
    }
    s.write(total, 0, sum);
}

/// `row *= factor`
#[inline(always)]
pub(super) fn shrink<S: Simd>(s: S, row: &mut [f32], factor: f32) {
    for at in (0..row.len()).step_by(S::LANES) {
        let kept = s.mul(s.read(row, at), s.splat(factor));
        s.write(row, at, kept);
    }
}
