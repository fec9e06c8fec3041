//! Tables in the type of the kernel.

use super::product::LANES;
use super::sizes::KEYS;
use crate::Result;
use crate::expr::ParamValues;
use crate::score::{Axis, Columns, Places, Tabled};
use crate::span::Span;

/// Values of a table in f32: one row for all heads or one per head, and per batch entry for token vectors, padded so
/// that whole tiles may be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    pub(super) values: Vec<f32>,
    /// From one batch entry to the next, and from one head to the next; 0 where all share.
    pub(super) strides: (usize, usize),
    pub(super) len: usize,
}

impl Lanes {
    pub(super) fn row(&self, batch: usize, head: usize) -> &[f32] {
        &self.values[batch * self.strides.0 + head * self.strides.1..][..self.len]
    }
}

/// The values of a table that `params` suffice for.
pub(super) fn tabulate(span: &Span, table: &Tabled, params: &ParamValues) -> Result<Lanes> {
    let places = Places::of(span, table.axis);
    let len = padded_places(table.axis, span.queries().len(), span.keys().len());
    let heads = span.geometry().heads;
    let rows = if table.per_head { heads } else { 1 };
    let mut values = vec![0.0; rows * len];
    for (head, row) in values.chunks_exact_mut(len.max(1)).enumerate() {
        let column = Columns::new(span, &places, head, params).eval(&table.expr)?;
        for (place, x) in row[..places.i.len()].iter_mut().enumerate() {
            *x = column.at(place) as f32;
        }
    }
    let strides = (0, if table.per_head { len } else { 0 });
    Ok(Lanes {
        values,
        strides,
        len,
    })
}

/// Places of a table for as many queries and keys, with room for the whole tile that the last key lies in.
pub(super) fn padded_places(axis: Axis, queries: usize, keys: usize) -> usize {
    let places = Places::count(axis, queries, keys);
    match axis {
        Axis::Fixed | Axis::Query => places,
        Axis::Key | Axis::Distance => places + KEYS + 2 * LANES,
    }
}
