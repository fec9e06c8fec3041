//! A sum along each row of scores, carried from tile to tile (see [`form::Scan`](crate::form::Scan)).
//!
//! The forward pass goes from the nearest keys outwards and leaves each row's whole sum in f64. The backward pass comes
//! back from the farthest keys: it takes off the sum of each tile, computed again to the same bits, and so has the sums
//! of every tile without having kept them.

mod sums;
mod table;
mod tiles;

use super::compile::Compiled;
use super::product::padded;
use super::sizes::{KEYS, ROWS};
use crate::expr::ParamValues;
use crate::form::{self, Effect, Gate, Share};
use crate::ops::simd::{NOTHING, Simd};
use crate::{Error, Result};
pub(super) use sums::Sums;
pub(super) use table::Table;

/// Name of the table among the parameters of a call.
pub(super) const TABLE: &str = "@scan.table";

/// A scan with its table in f32.
#[derive(Debug)]
pub(super) struct Scan {
    gate: Gate,
    own: bool,
    pub(super) share: Share,
    pub(super) table: Option<Table>,
}

/// What the forward pass of one job leaves.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// The whole sum of each row, \[heads of the group, queries\].
    pub(super) sums: Vec<f64>,
    /// The first key that each block of queries looked at, \[heads of the group, blocks\].
    pub(super) firsts: Vec<usize>,
}

impl Scan {
    pub(super) fn new(
        scan: &form::Scan,
        compiled: &Compiled,
        params: &ParamValues,
    ) -> Result<Scan> {
        let table = match &scan.effect {
            Effect::Subtract => None,
            // Pieces of a stick need scores that are not positive.
            Effect::Read { .. } if scan.share != Share::Softmax => {
                return Err(Error::expr(
                    "a scan that reads a table: expected softmax, found sticks",
                ));
            }
            Effect::Read { scale, .. } => {
                let values = params.get(TABLE).map_or(&[][..], Vec::as_slice);
                Some(Table::new(values, *scale, compiled.head_dim)?)
            }
        };
        Ok(Scan {
            gate: scan.gate,
            own: scan.own,
            share: scan.share,
            table,
        })
    }

    pub(super) fn buffers(&self, head_dim: usize) -> Sums {
        let (width, step) = (padded(head_dim), self.table.as_ref().map_or(0, |t| t.step));
        Sums {
            carried: [0.0; ROWS],
            above: [0.0; ROWS],
            gates: [0.0; KEYS],
            sums: [0.0; KEYS],
            slopes: [0.0; KEYS],
            queries: vec![0.0; ROWS * width],
            terms: vec![0.0; ROWS * step],
            dterms: vec![0.0; ROWS * step],
        }
    }

    #[inline(always)]
    pub(super) fn is_softmax(&self) -> bool {
        self.share == Share::Softmax
    }

    /// Whether keys farther out have no weight for any of these rows.
    fn is_spent(&self, rows: usize, sums: &Sums) -> bool {
        // A score is at most minus the sum of what is nearer.
        let sticks = matches!(self.share, Share::Sticks { .. }) && self.gate == Gate::Softplus;
        let most = f64::from(-NOTHING);
        sticks && self.table.is_none() && sums.carried[..rows].iter().all(|sum| *sum > most)
    }

    /// What is left of a stick that pieces of these sizes were broken off.
    fn left(&self, sum: f64) -> Option<f32> {
        match self.share {
            Share::Sticks { rest: true } => Some((-sum).exp() as f32),
            Share::Sticks { rest: false } | Share::Softmax => None,
        }
    }

    /// Turns a row of the plan's scores, −∞ where hidden, into the scores that become weights. `own` is the column of
    /// the query's own key, if it is in the row.
    #[inline(always)]
    pub(super) fn forward<S: Simd>(
        &self,
        s: S,
        r: usize,
        own: Option<usize>,
        row: &mut [f32],
        sums: &mut Sums,
    ) {
        self.skip_own(own, row);
        let total = self.sum(s, own, row, sums.carried[r], sums);
        sums.carried[r] += f64::from(total);
        self.apply(s, r, row, sums);
    }

    /// The same on the way back: the row's sums are those that the forward pass saw here. Leaves gates and sums for
    /// [`Scan::backward`].
    #[inline(always)]
    pub(super) fn again<S: Simd>(
        &self,
        s: S,
        r: usize,
        own: Option<usize>,
        row: &mut [f32],
        sums: &mut Sums,
    ) {
        self.skip_own(own, row);
        let total = self.gates(s, own, row, sums);
        sums.carried[r] -= f64::from(total);
        self.suffixes(row.len(), sums.carried[r], sums);
        self.apply(s, r, row, sums);
    }

    /// Turns gradients of what [`Scan::again`] gave into those of the plan's scores.
    #[inline(always)]
    pub(super) fn backward<S: Simd>(&self, s: S, r: usize, row: &mut [f32], sums: &mut Sums) {
        let cols = row.len();
        match &self.table {
            None => {
                for at in (0..cols).step_by(S::LANES) {
                    let minus = s.sub(s.splat(0.0), s.read(row, at));
                    s.write(&mut sums.slopes[..cols], at, minus);
                }
            }
            Some(table) => table.backward(r, row, sums),
        }
        let (above, mut sum) = (sums.above[r] as f32, 0.0);
        for slope in &mut sums.slopes[..cols] {
            sum += *slope;
            *slope = above + sum;
        }
        sums.above[r] += f64::from(sum);
        let one = s.splat(1.0);
        for at in (0..cols).step_by(S::LANES) {
            let gate = s.read(&sums.gates[..cols], at);
            let slope = match self.gate {
                Gate::Sigmoid => s.mul(gate, s.sub(one, gate)),
                // σ = 1 − e^−softplus
                Gate::Softplus => s.sub(one, s.exp_down(s.sub(s.splat(0.0), gate))),
            };
            let own = s.read(row, at);
            let found = s.fma(slope, s.read(&sums.slopes[..cols], at), own);
            s.write(row, at, found);
        }
    }

    #[inline(always)]
    fn skip_own(&self, own: Option<usize>, row: &mut [f32]) {
        let sticks = matches!(self.share, Share::Sticks { .. });
        if let Some(own) = own.filter(|_| sticks && !self.own) {
            row[own] = f32::NEG_INFINITY;
        }
    }

    /// Gates of a row and their sum.
    #[inline(always)]
    fn gates<S: Simd>(&self, s: S, own: Option<usize>, row: &[f32], sums: &mut Sums) -> f32 {
        let gates = &mut sums.gates[..row.len()];
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        for at in (0..row.len()).step_by(S::LANES) {
            let x = s.read(row, at);
            let gate = match self.gate {
                Gate::Sigmoid => s.div(one, s.add(one, s.exp(s.sub(zero, x)))),
                Gate::Softplus => {
                    let rest = s.log1p(s.exp(s.sub(zero, s.abs(x))));
                    s.add(s.max(zero, x), rest)
                }
            };
            s.write(gates, at, gate);
        }
        if let Some(own) = own.filter(|_| !self.own) {
            gates[own] = 0.0;
        }
        gates.iter().rev().fold(0.0, |sum, gate| sum + gate)
    }

    /// Sums of a row of which `carried` is what nearer tiles add; returns what this row adds.
    #[inline(always)]
    fn sum<S: Simd>(
        &self,
        s: S,
        own: Option<usize>,
        row: &[f32],
        carried: f64,
        sums: &mut Sums,
    ) -> f32 {
        let total = self.gates(s, own, row, sums);
        self.suffixes(row.len(), carried, sums);
        total
    }

    #[inline(always)]
    fn suffixes(&self, cols: usize, carried: f64, sums: &mut Sums) {
        let carried = carried as f32;
        let mut sum = 0.0;
        let gates = sums.gates[..cols].iter();
        for (gate, c) in gates.zip(&mut sums.sums[..cols]).rev() {
            sum += gate;
            *c = carried + sum;
        }
    }

    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, r: usize, row: &mut [f32], sums: &Sums) {
        if let Some(table) = &self.table {
            return table.apply(r, row, sums);
        }
        let cols = row.len();
        for at in (0..cols).step_by(S::LANES) {
            let mut x = s.sub(s.read(row, at), s.read(&sums.sums[..cols], at));
            if let Share::Sticks { .. } = self.share {
                // Rounding may leave a piece that is larger than the stick; the order of arguments keeps NaN.
                x = s.min(s.splat(0.0), x);
            }
            s.write(row, at, x);
        }
    }
}
