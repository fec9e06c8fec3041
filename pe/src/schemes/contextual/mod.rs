//! Contextual encodings: scores, queries or keys changed by positions and content.

pub mod cable;
pub mod cope;
pub mod dape;
pub mod deberta;
pub mod distance_bank;
pub mod fox;
pub mod huang_m4;
mod ops;
pub mod selective;
pub mod shaw;
pub mod stick_breaking;
pub mod transformer_xl;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<shaw::Shaw>(),
    Entry::of::<transformer_xl::TransformerXl>(),
    Entry::of::<deberta::Deberta>(),
    Entry::of::<huang_m4::HuangM4>(),
    Entry::of::<distance_bank::DistanceBank>(),
    Entry::of::<fox::Fox>(),
    Entry::of::<cable::Cable>(),
    Entry::of::<cope::Cope>(),
    Entry::of::<selective::Selective>(),
    Entry::of::<dape::Dape>(),
    Entry::of::<stick_breaking::StickBreaking>(),
];
