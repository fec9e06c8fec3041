//! Relative encodings: queries and keys meet vectors that belong to their distance.

pub mod deberta;
pub mod distance_bank;
pub mod huang_m3;
pub mod huang_m4;
pub mod shaw;
pub mod transformer_xl;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<shaw::Shaw>(),
    Entry::of::<transformer_xl::TransformerXl>(),
    Entry::of::<deberta::Deberta>(),
    Entry::of::<huang_m3::HuangM3>(),
    Entry::of::<huang_m4::HuangM4>(),
    Entry::of::<distance_bank::DistanceBank>(),
];
