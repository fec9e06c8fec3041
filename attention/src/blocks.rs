//! Blocks of queries: how many fit, and joining what each gives.

use crate::{Result, Tensor};
use std::ops::Range;

/// Bytes that the temporaries of one query block may take.
const BLOCK_BYTES: usize = 256 << 20;

/// Tensors of the size of the scores that are alive at once.
const ALIVE: usize = 6;

/// Joins what `block` gives for `rows` queries at a time.
pub(crate) fn in_blocks(
    queries: usize,
    rows: usize,
    block: impl Fn(Range<usize>) -> Result<Tensor>,
) -> Result<Tensor> {
    let starts = (0..queries).step_by(rows);
    let blocks = starts
        .map(|start| block(start..(start + rows).min(queries)))
        .collect::<Result<Vec<_>>>()?;
    match blocks.as_slice() {
        [one] => Ok(one.clone()),
        _ => Tensor::cat(&blocks.iter().collect::<Vec<_>>(), 2),
    }
}

/// Queries that fit a block, if the scores of one query take `row_bytes`.
pub fn rows_per_block(row_bytes: usize) -> usize {
    #[cfg(test)]
    if let Some(rows) = ROWS_PER_BLOCK.get() {
        return rows;
    }
    (BLOCK_BYTES / (row_bytes * ALIVE).max(1)).max(16)
}

#[cfg(test)]
thread_local! {
    static ROWS_PER_BLOCK: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
}

/// Runs `call` with another block size on this thread.
#[cfg(test)]
pub(crate) fn with_rows_per_block<T>(rows: usize, call: impl FnOnce() -> T) -> T {
    ROWS_PER_BLOCK.set(Some(rows));
    let result = call();
    ROWS_PER_BLOCK.set(None);
    result
}
