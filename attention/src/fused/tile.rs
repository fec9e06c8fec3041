//! What the forward and the backward pass share: one call, one thread's buffers, and the scores of a tile.

use super::compile::{Compiled, Score};
use super::product::{LANES, Product, STRIP, Start, padded, parts};
use super::program::{Place, Raws, Steps};
use super::rowwise::add;
use super::scan::Scan;
use super::scratch::{Scratch, longest_row, transpose};
use super::sizes::{KEY_STEP, KEYS, ROW_STEP};
use super::values::Values;
use super::view::Source;
use crate::mask::Mask;
use crate::ops::simd::Simd;
use std::ops::Range;

/// One call of attention.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) values: &'a Values,
    pub(super) mask: &'a Mask,
    pub(super) scan: Option<&'a Scan>,
    pub(super) q: Source<'a>,
    pub(super) k: Source<'a>,
    pub(super) v: Source<'a>,
}

/// Rows `block` of queries against `cols` keys from number `key` on.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) rows: Range<usize>,
    pub(super) key: usize,
    pub(super) cols: usize,
    /// Whether windows and documents leave holes.
    holes: bool,
}

/// Where element (row, 0) of a tile lies in a buffer of tiles.
#[inline(always)]
pub(super) fn at(row: usize) -> usize {
    row * ROW_STEP + LANES
}

impl<'a> Call<'a> {
    pub(super) fn batch(&self, job: usize) -> (usize, usize) {
        (job / self.compiled.kv_heads, job % self.compiled.kv_heads)
    }

    /// Keys that a block of queries may see, as numbers.
    pub(super) fn reachable(&self, rows: &Range<usize>) -> Range<usize> {
        let c = self.compiled;
        let queries = c.first_query + rows.start..c.first_query + rows.end;
        let range = self
            .mask
            .reachable(&queries, &(c.first_key..c.first_key + c.keys));
        range.start - c.first_key..range.end - c.first_key
    }

    /// The tiles of a block of queries.
    #[inline(always)]
    pub(super) fn tiles(&self, rows: Range<usize>) -> impl DoubleEndedIterator<Item = Tile> {
        let reach = self.reachable(&rows);
        let (mask, c) = (self.mask, self.compiled);
        let first = reach.start / KEYS * KEYS;
        let ends = if reach.is_empty() {
            0..0
        } else {
            first..reach.end
        };
        let first_row = rows.start;
        let shown = ends
            .step_by(KEYS)
            .filter(move |key| !c.hides(first_row, *key));
        shown.filter_map(move |key| {
            let cols = KEYS.min(reach.end - key);
            let queries = c.first_query + rows.start..c.first_query + rows.end;
            let keys = c.first_key + key..c.first_key + key + cols;
            // Between the first keys, which are kept, and the window.
            if mask.is_past(&queries, &keys) {
                return None;
            }
            let plain = mask.window.is_none() && mask.documents.is_none();
            let holes = !plain && !mask.hides_nothing(&queries, &keys);
            Some(Tile {
                rows: rows.clone(),
                key,
                cols,
                holes,
            })
        })
    }

    /// Number of columns of `tile` that lie before the diagonal of query number `query`.
    #[inline(always)]
    fn limit(&self, tile: &Tile, query: usize) -> usize {
        let c = self.compiled;
        if !self.mask.causal {
            return tile.cols;
        }
        let end = (c.first_query + query + 1).saturating_sub(c.first_key + tile.key);
        end.min(tile.cols)
    }

    /// Columns, in whole vectors, that some row of strip number `strip` may see. Never fewer than the strip before.
    #[inline(always)]
    pub(super) fn reach(&self, tile: &Tile, strip: usize) -> usize {
        let last = (tile.rows.start + (strip + 1) * STRIP).min(tile.rows.end) - 1;
        padded(self.limit(tile, last))
    }

    /// Rotates, transposes and copies the keys and values of a job.
    #[inline(always)]
    pub(super) fn load_keys(&self, batch: usize, head: usize, scratch: &mut Scratch) {
        let c = self.compiled;
        let width = scratch.width;
        for (turn, (rows, columns)) in c
            .rotations
            .iter()
            .zip(scratch.k.iter_mut().zip(&mut scratch.kt))
        {
            for (j, row) in rows.chunks_exact_mut(width).take(c.keys).enumerate() {
                let x = self.k.row((batch, head, j), &mut scratch.space);
                turn.key.turn((head, j), turn.pairing, 1.0, x, row);
            }
            transpose(rows, width, c.head_dim, columns);
        }
        for (j, row) in scratch.v.chunks_exact_mut(width).take(c.keys).enumerate() {
            self.v.copy((batch, head, j), &mut row[..c.head_dim]);
        }
        if let (Score::Biased(_), Some(k)) = (c.score, scratch.k.first()) {
            let tiles = k.chunks(KEYS * width).zip(scratch.v.chunks(KEYS * width));
            for ((k, v), longest) in tiles.zip(&mut scratch.longest_key) {
                *longest = match v.iter().all(|x| x.is_finite()) {
                    true => longest_row(k, width),
                    false => f32::INFINITY,
                };
            }
        }
    }

    /// The factor of a query's raw scores.
    #[inline(always)]
    pub(super) fn scale(&self, head: usize, query: usize) -> f32 {
        let scale = self.compiled.scale as f32;
        match self.compiled.query_scale {
            Some(table) => scale * self.values.tables[table].row(0, head)[query],
            None => scale,
        }
    }

    /// Rotates and scales a block of queries; rows up to the end of the last strip become zero.
    #[inline(always)]
    pub(super) fn load_queries(
        &self,
        batch: usize,
        head: usize,
        rows: &Range<usize>,
        scratch: &mut Scratch,
    ) {
        let width = scratch.width;
        for (turn, q) in self.compiled.rotations.iter().zip(&mut scratch.q) {
            for (r, i) in rows.clone().enumerate() {
                let x = self.q.row((batch, head, i), &mut scratch.space);
                let (scale, y) = (self.scale(head, i), &mut q[r * width..][..width]);
                turn.query.turn((head, i), turn.pairing, scale, x, y);
            }
            q[rows.len() * width..rows.len().next_multiple_of(STRIP) * width].fill(0.0);
        }
        if let (Score::Biased(_), Some(q)) = (self.compiled.score, scratch.q.first()) {
            scratch.longest_query = longest_row(&q[..rows.len() * width], width);
        }
    }

    /// Raw scores of a tile, into `scratch.s`. In strips without missing rows a bias by distance is in them already.
    #[inline(always)]
    pub(super) fn raw_scores<S: Simd>(
        &self,
        s: S,
        tile: &Tile,
        head: usize,
        scratch: &mut Scratch,
    ) {
        let d = self.compiled.head_dim;
        let start = tile.key / KEYS * d * KEY_STEP;
        let bias = match self.compiled.score {
            Score::Biased(table) => Some(self.values.tables[table].row(0, head)),
            Score::Raw | Score::Program => None,
        };
        for ((q, kt), scores) in scratch.q.iter().zip(&scratch.kt).zip(&mut scratch.s) {
            self.product(s, tile, (q, scratch.width), &kt[start..], bias, scores);
        }
    }

    /// `out = a · bᵀ` over a tile, where b is given transposed, plus a bias by distance in strips without missing rows.
    #[inline(always)]
    pub(super) fn product<S: Simd>(
        &self,
        s: S,
        tile: &Tile,
        (a, width): (&[f32], usize),
        b: &[f32],
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) {
        let strips = tile.rows.len().div_ceil(STRIP);
        for part in parts(self.reach(tile, strips - 1)) {
            for strip in 0..strips {
                let end = self.reach(tile, strip).min(part.end);
                let start = match bias.filter(|_| biased_whole(tile, strip)) {
                    None => Start::Zero,
                    Some(bias) => {
                        let last = tile.rows.start + (strip + 1) * STRIP - 1;
                        let first = self.compiled.distance(last, tile.key) + part.start;
                        Start::Diagonal(&bias[first..])
                    }
                };
                s.call(Product {
                    a: &a[strip * STRIP * width..],
                    a_row: width,
                    a_step: 1,
                    b: &b[part.start..],
                    b_row: KEY_STEP,
                    c: &mut out[at(strip * STRIP) + part.start..],
                    c_row: ROW_STEP,
                    inner: self.compiled.head_dim,
                    cols: end.saturating_sub(part.start),
                    start,
                });
            }
        }
    }

    /// `sums += a · rows` over a tile, where a is a buffer of tiles, and rows and sums are `width` wide.
    #[inline(always)]
    pub(super) fn add_rows<S: Simd>(
        &self,
        s: S,
        tile: &Tile,
        a: &[f32],
        (rows, width): (&[f32], usize),
        sums: &mut [f32],
    ) {
        for part in parts(width) {
            for strip in 0..tile.rows.len().div_ceil(STRIP) {
                s.call(Product {
                    a: &a[at(strip * STRIP)..],
                    a_row: ROW_STEP,
                    a_step: 1,
                    b: &rows[tile.key * width + part.start..],
                    b_row: width,
                    c: &mut sums[strip * STRIP * width + part.start..],
                    c_row: width,
                    inner: self.reach(tile, strip),
                    cols: part.len(),
                    start: Start::Sum,
                });
            }
        }
    }

    /// Turns row `r` of raw scores into scores, −∞ where hidden, over the columns that its strip reaches.
    #[inline(always)]
    pub(super) fn scores<S: Simd>(
        &self,
        s: S,
        tile: &Tile,
        r: usize,
        (batch, head): (usize, usize),
        scratch: &mut Scratch,
    ) -> Place {
        let c = self.compiled;
        let query = tile.rows.start + r;
        let place = Place {
            batch,
            head,
            query,
            key: tile.key,
            cols: self.reach(tile, r / STRIP),
        };
        if place.cols == 0 {
            return place;
        }
        match c.score {
            Score::Raw => {}
            Score::Biased(_) if biased_whole(tile, r / STRIP) => {}
            Score::Biased(table) => {
                let first = c.distance(query, tile.key);
                let bias = &self.values.tables[table].row(0, head)[first..];
                add(
                    s,
                    &mut scratch.s[0][at(r)..][..place.cols],
                    &bias[..place.cols],
                );
            }
            Score::Program => {
                let raws = Raws {
                    tiles: &scratch.s,
                    start: at(r),
                };
                let (values, registers) = (self.values, &mut scratch.registers);
                s.call(Steps {
                    compiled: c,
                    values,
                    place,
                    raws,
                    registers,
                });
                let last = (c.steps.len() - 1) * KEYS;
                scratch.s[0][at(r)..][..place.cols]
                    .copy_from_slice(&scratch.registers[last..][..place.cols]);
            }
        }
        let row = &mut scratch.s[0][at(r)..][..place.cols];
        row[self.limit(tile, query)..].fill(f32::NEG_INFINITY);
        if tile.holes {
            let (i, first) = (c.first_query + query, c.first_key + tile.key);
            for (col, x) in row[..tile.cols.min(place.cols)].iter_mut().enumerate() {
                if !self.mask.sees(i, first + col) {
                    *x = f32::NEG_INFINITY;
                }
            }
        }
        place
    }
}

/// Whether all rows of a strip are there, so that the product can start from the bias.
#[inline(always)]
fn biased_whole(tile: &Tile, strip: usize) -> bool {
    (strip + 1) * STRIP <= tile.rows.len()
}
