//! Sizes of tiles.

use super::product::LANES;

/// Queries of one block. Keys and values of a long text come from the outer caches once per block.
pub(super) const ROWS: usize = 128;

/// Keys of one tile.
pub(super) const KEYS: usize = 128;

/// Elements between rows of transposed keys: off the powers of two, whose rows would compete for the same cache lines.
pub(super) const KEY_STEP: usize = KEYS + LANES;

/// Elements between rows of a tile: a margin of zeros on both sides lets diagonals be read whole.
pub(super) const ROW_STEP: usize = KEYS + 2 * LANES;
