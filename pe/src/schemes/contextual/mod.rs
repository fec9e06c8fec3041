//! Contextual encodings: scores, queries or keys changed by positions and content.

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[];
