//! Absolute encodings: what is added to the embeddings.

pub mod learned;
pub mod sinusoidal;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<sinusoidal::Sinusoidal>(),
    Entry::of::<learned::Learned>(),
];
