//! Rotations of rows of f32.

use crate::plan::Pairing;
use crate::tables::Table;

/// Cosines and sines of one side of a turn: \[heads, rows, pairs\].
#[derive(Clone, Debug)]
pub(super) struct Angles {
    heads: usize,
    rows: usize,
    pairs: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    pub(super) fn new(table: &Table) -> Angles {
        let narrow = |values: &[f64]| values.iter().map(|x| *x as f32).collect();
        Angles {
            heads: table.heads,
            rows: table.rows,
            pairs: table.pairs,
            cos: narrow(&table.cos),
            sin: narrow(&table.sin),
        }
    }

    /// No rotation.
    pub(super) fn none() -> Angles {
        Angles {
            heads: 1,
            rows: 0,
            pairs: 0,
            cos: Vec::new(),
            sin: Vec::new(),
        }
    }

    #[inline(always)]
    fn row(&self, head: usize, row: usize) -> (&[f32], &[f32]) {
        let head = if self.heads == 1 { 0 } else { head };
        let start = (head * self.rows + row) * self.pairs;
        (
            &self.cos[start..][..self.pairs],
            &self.sin[start..][..self.pairs],
        )
    }

    /// `y = scale · rotated x`
    #[inline(always)]
    pub(super) fn turn(
        &self,
        (head, row): (usize, usize),
        pairing: Pairing,
        scale: f32,
        x: &[f32],
        y: &mut [f32],
    ) {
        let rotated = 2 * self.pairs;
        let y = &mut y[..x.len()];
        if rotated > 0 {
            let (cos, sin) = self.row(head, row);
            let (x, y) = (&x[..rotated], &mut y[..rotated]);
            match pairing {
                Pairing::HalfSplit => {
                    let (xa, xb) = x.split_at(self.pairs);
                    let (ya, yb) = y.split_at_mut(self.pairs);
                    for p in 0..self.pairs {
                        ya[p] = scale * (xa[p] * cos[p] - xb[p] * sin[p]);
                        yb[p] = scale * (xa[p] * sin[p] + xb[p] * cos[p]);
                    }
                }
                Pairing::Interleaved => {
                    let pairs = x.chunks_exact(2).zip(y.chunks_exact_mut(2));
                    for ((x, y), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
                        y[0] = scale * (x[0] * cos - x[1] * sin);
                        y[1] = scale * (x[0] * sin + x[1] * cos);
                    }
                }
            }
        }
        for (y, x) in y[rotated..].iter_mut().zip(&x[rotated..]) {
            *y = scale * x;
        }
    }

    /// `y += scale · x rotated back` (the transpose: amplitudes multiply here too).
    #[inline(always)]
    pub(super) fn turn_back(
        &self,
        (head, row): (usize, usize),
        pairing: Pairing,
        scale: f32,
        x: &[f32],
        y: &mut [f32],
    ) {
        let rotated = 2 * self.pairs;
        let x = &x[..y.len()];
        if rotated > 0 {
            let (cos, sin) = self.row(head, row);
            let (x, y) = (&x[..rotated], &mut y[..rotated]);
            match pairing {
                Pairing::HalfSplit => {
                    let (xa, xb) = x.split_at(self.pairs);
                    let (ya, yb) = y.split_at_mut(self.pairs);
                    for p in 0..self.pairs {
                        ya[p] += scale * (xa[p] * cos[p] + xb[p] * sin[p]);
                        yb[p] += scale * (xb[p] * cos[p] - xa[p] * sin[p]);
                    }
                }
                Pairing::Interleaved => {
                    let pairs = x.chunks_exact(2).zip(y.chunks_exact_mut(2));
                    for ((x, y), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
                        y[0] += scale * (x[0] * cos + x[1] * sin);
                        y[1] += scale * (x[1] * cos - x[0] * sin);
                    }
                }
            }
        }
        for (y, x) in y[rotated..].iter_mut().zip(&x[rotated..]) {
            *y += scale * x;
        }
    }
}
