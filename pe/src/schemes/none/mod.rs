//! No positional encoding.

pub mod drope;
pub mod nope;
pub(super) mod nope_or_rope;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[Entry::of::<nope::Nope>(), Entry::of::<drope::Drope>()];
