//! Tiles of queries and keys that a score hides as a whole, whatever is learned.

use crate::expr::{Expr, Tile};
use crate::tables::Tables;
use std::ops::Range;

/// By the bounds of the score there, for tiles of `rows` queries and `columns` keys: \[blocks of queries, tiles of keys\];
/// empty if the score never hides one.
pub(crate) fn hidden_tiles(tables: &Tables, rows: usize, columns: usize) -> Vec<bool> {
    let score = &tables.plan().score;
    let never = !score.any(&|part| *part == Expr::Number(f64::NEG_INFINITY));
    if never || !tables.is_regular() {
        return Vec::new();
    }
    let cut = |all: Range<usize>, step: usize| {
        let end = all.end;
        all.step_by(step)
            .map(move |start| start..end.min(start + step))
    };
    let mut hidden = Vec::new();
    for queries in cut(tables.queries(), rows) {
        for keys in cut(tables.keys(), columns) {
            let tile = Tile {
                queries: queries.clone(),
                keys,
                causal: false,
            };
            let bounds = score.bounds(&tile, tables.tokens(), tables.constants());
            hidden.push(bounds.is_hidden());
        }
    }
    hidden
}
