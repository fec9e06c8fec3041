//! A table that is read at the sums of a scan, between its rows.

use super::sums::Sums;
use crate::fused::product::{Product, STRIP, Start, padded, parts};
use crate::ops::simd::Simd;
use crate::{Error, Result};

/// A table that is read at sums, both ways round.
#[derive(Debug)]
pub(in crate::fused) struct Table {
    /// Rows that are told apart.
    pub(in crate::fused) rows: usize,
    /// `rows` in whole vectors.
    pub(in crate::fused) step: usize,
    scale: f32,
    /// \[head_dim, step\]
    columns: Vec<f32>,
    /// \[step, width\], width being head_dim in whole vectors.
    by_row: Vec<f32>,
}

impl Table {
    pub(super) fn new(values: &[f64], scale: f64, head_dim: usize) -> Result<Table> {
        let rows = values.len() / head_dim.max(1);
        if rows == 0 || rows * head_dim != values.len() {
            let why = format!(
                "a table that is read at sums: expected {head_dim} × rows values, found {}",
                values.len()
            );
            return Err(Error::expr(why));
        }
        let (step, width) = (padded(rows), padded(head_dim));
        let (mut columns, mut by_row) = (vec![0.0; head_dim * step], vec![0.0; step * width]);
        for (channel, values) in values.chunks_exact(rows).enumerate() {
            for (row, x) in values.iter().enumerate() {
                columns[channel * step + row] = *x as f32;
                by_row[row * width + channel] = *x as f32;
            }
        }
        Ok(Table {
            rows,
            step,
            scale: scale as f32,
            columns,
            by_row,
        })
    }

    /// Gradient of the table of one job, \[width, step\].
    pub(in crate::fused) fn zeros(&self, head_dim: usize) -> Vec<f32> {
        vec![0.0; padded(head_dim) * self.step]
    }

    /// Adds the gradient of one job to that of the table, (head_dim, rows).
    pub(in crate::fused) fn add(&self, sums: &[f32], into: &mut [f64]) {
        let channels = into.chunks_exact_mut(self.rows);
        for (into, sums) in channels.zip(sums.chunks_exact(self.step)) {
            for (x, sum) in into.iter_mut().zip(sums) {
                *x += f64::from(*sum);
            }
        }
    }

    /// Rows that sums up to `most` read, in whole vectors.
    fn read(&self, most: usize) -> usize {
        padded(most.saturating_add(2).min(self.rows))
    }

    /// Products of a block's queries with the rows that sums up to `most` read.
    #[inline(always)]
    pub(in crate::fused) fn load<S: Simd>(
        &self,
        s: S,
        rows: usize,
        most: usize,
        width: usize,
        sums: &mut Sums,
    ) {
        let strips = rows.div_ceil(STRIP);
        sums.queries[rows * width..strips * STRIP * width].fill(0.0);
        for x in &mut sums.queries[..rows * width] {
            *x *= self.scale;
        }
        for part in parts(self.read(most)) {
            for strip in 0..strips {
                s.call(Product {
                    a: &sums.queries[strip * STRIP * width..],
                    a_row: width,
                    a_step: 1,
                    b: &self.columns[part.start..],
                    b_row: self.step,
                    c: &mut sums.terms[strip * STRIP * self.step + part.start..],
                    c_row: self.step,
                    inner: self.columns.len() / self.step,
                    cols: part.len(),
                    start: Start::Zero,
                });
            }
        }
    }

    #[inline(always)]
    fn at(&self, sum: f32) -> (usize, usize, f32) {
        let last = self.rows - 1;
        // A NaN reads row 0 with a share of NaN.
        let at = if sum > last as f32 { last as f32 } else { sum };
        let below = (at as usize).min(last);
        (below, (below + 1).min(last), at - below as f32)
    }

    #[inline(always)]
    pub(super) fn apply(&self, r: usize, row: &mut [f32], sums: &Sums) {
        let terms = &sums.terms[r * self.step..][..self.step];
        for (x, sum) in row.iter_mut().zip(&sums.sums) {
            let (below, above, share) = self.at(*sum);
            *x += terms[below] + (terms[above] - terms[below]) * share;
        }
    }

    #[inline(always)]
    pub(super) fn backward(&self, r: usize, row: &[f32], sums: &mut Sums) {
        let terms = &sums.terms[r * self.step..][..self.step];
        let dterms = &mut sums.dterms[r * self.step..][..self.step];
        let slopes = sums.slopes.iter_mut().zip(&sums.sums);
        for (dx, (slope, sum)) in row.iter().zip(slopes) {
            let (below, above, share) = self.at(*sum);
            *slope = dx * (terms[above] - terms[below]);
            dterms[below] += dx * (1.0 - share);
            dterms[above] += dx * share;
        }
    }

    /// Adds a block's share to the gradient of the table (`into`, \[width, step\]), and leaves those of its queries in
    /// the place of the queries.
    #[inline(always)]
    pub(in crate::fused) fn finish<S: Simd>(
        &self,
        s: S,
        rows: usize,
        most: usize,
        width: usize,
        (sums, into): (&mut Sums, &mut [f32]),
    ) {
        let (cols, strips) = (self.read(most), rows.div_ceil(STRIP));
        sums.dterms[rows * self.step..strips * STRIP * self.step].fill(0.0);
        for part in parts(cols) {
            for channels in (0..width).step_by(STRIP) {
                s.call(Product {
                    a: &sums.queries[channels..],
                    a_row: 1,
                    a_step: width,
                    b: &sums.dterms[part.start..],
                    b_row: self.step,
                    c: &mut into[channels * self.step + part.start..],
                    c_row: self.step,
                    inner: rows,
                    cols: part.len(),
                    start: Start::Sum,
                });
            }
        }
        for strip in 0..strips {
            s.call(Product {
                a: &sums.dterms[strip * STRIP * self.step..],
                a_row: self.step,
                a_step: 1,
                b: &self.by_row,
                b_row: width,
                c: &mut sums.queries[strip * STRIP * width..],
                c_row: width,
                inner: cols,
                cols: width,
                start: Start::Zero,
            });
        }
        for x in &mut sums.queries[..rows * width] {
            *x *= self.scale;
        }
    }
}
