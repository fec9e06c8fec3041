//! Tiles whose keys can have no weight, which are not looked at.

use super::compile::Score;
use super::scratch::Scratch;
use super::sizes::KEYS;
use super::tile::{Call, Tile};
use crate::ops::simd::NOTHING;

impl Call<'_> {
    /// Whether no key of a tile can have weight: no score comes near `floor`, of which all rows' largest scores are above.
    /// So far tiles cost nothing under biases that fall with distance.
    #[inline(always)]
    pub(super) fn is_weightless(
        &self,
        tile: &Tile,
        head: usize,
        scratch: &Scratch,
        floor: impl Iterator<Item = f32>,
    ) -> bool {
        let c = self.compiled;
        // A scan changes the score.
        if self.scan.is_some() {
            return false;
        }
        let Score::Biased(table) = c.score else {
            return false;
        };
        let last = tile.rows.end - 1;
        let first = c.distance(last, tile.key);
        let bias = self.values.tables[table].row(0, head);
        let bias = &bias[first..first + tile.rows.len() - 1 + tile.cols];
        // NaN stays.
        let most = |most: f32, x: &f32| if *x > most || x.is_nan() { *x } else { most };
        let bias = bias.iter().fold(f32::NEG_INFINITY, most);
        let raw = scratch.longest_query * scratch.longest_key[tile.key / KEYS];
        let least = |least: f32, x: f32| if x < least || x.is_nan() { x } else { least };
        // Rows that have seen nothing yet have a floor of −∞, and NaN compares as false.
        raw + bias < floor.fold(f32::INFINITY, least) + NOTHING
    }
}
