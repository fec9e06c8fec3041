//! Encodings whose idea lies in how a model is trained under them.

pub mod cream;
pub mod pose;
pub mod randomised;
pub mod segmented;
pub mod staged;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<pose::Pose>(),
    Entry::of::<cream::Cream>(),
    Entry::of::<randomised::Randomised>(),
    Entry::of::<segmented::Segmented>(),
    Entry::of::<staged::Staged>(),
];
