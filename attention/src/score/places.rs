//! Places of a table, and the positions that they stand for.

use super::axis::Axis;
use crate::span::Span;

/// Positions of the places of a table.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Query position at each place.
    pub(crate) i: Vec<f64>,
    /// Key position at each place.
    pub(crate) j: Vec<f64>,
}

impl Places {
    /// All places of a table along `axis`.
    pub(crate) fn of(span: &Span, axis: Axis) -> Places {
        let (queries, keys) = (span.queries(), span.keys());
        let n = Places::count(axis, queries.len(), keys.len());
        match axis {
            Axis::Fixed => Places {
                i: vec![0.0],
                j: vec![0.0],
            },
            Axis::Query => Places {
                i: queries.map(|t| span.position(t)).collect(),
                j: vec![0.0; n],
            },
            Axis::Key => Places {
                i: vec![0.0; n],
                j: keys.map(|t| span.position(t)).collect(),
            },
            Axis::Distance => {
                // Positions are far below 2⁵³.
                let last = queries.end as f64 - 1.0 - keys.start as f64;
                let distance = (0..n).map(|place| last - place as f64);
                let (i, j) = distance.map(|x| (x.max(0.0), (-x).max(0.0))).unzip();
                Places { i, j }
            }
        }
    }

    /// Number of places for as many queries and keys.
    pub(crate) fn count(axis: Axis, queries: usize, keys: usize) -> usize {
        match axis {
            Axis::Fixed => 1,
            Axis::Query => queries,
            Axis::Key => keys,
            Axis::Distance => (queries + keys).saturating_sub(1),
        }
    }
}
