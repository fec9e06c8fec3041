//! Relative remaps: which distance a rotation sees, pair by pair, for weights trained under the rotary family.

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[];
