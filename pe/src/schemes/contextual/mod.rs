//! Contextual encodings: scores, queries or keys changed by positions and content.

pub mod cable;
pub mod clex;
pub mod coca;
pub mod cope;
pub mod dape;
pub mod deberta;
pub mod distance_bank;
mod encoder;
pub mod fox;
pub mod grape;
mod householder;
pub mod huang_m3;
pub mod huang_m4;
mod ops;
pub mod path;
pub mod pope;
pub mod psc;
pub mod rope_plus_plus;
pub mod selective;
pub mod selective_rope;
pub mod seqpe;
pub mod shaw;
pub mod stick_breaking;
pub mod tape;
pub mod transformer_xl;
mod turning;
pub mod wall;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<coca::Coca>(),
    Entry::of::<pope::Pope>(),
    Entry::of::<rope_plus_plus::RopePlusPlus>(),
    Entry::of::<grape::Grape>(),
    Entry::of::<selective_rope::SelectiveRope>(),
    Entry::of::<path::Path>(),
    Entry::of::<tape::Tape>(),
    Entry::of::<wall::Wall>(),
    Entry::of::<seqpe::Seqpe>(),
    Entry::of::<clex::Clex>(),
    Entry::of::<psc::Psc>(),
    Entry::of::<shaw::Shaw>(),
    Entry::of::<transformer_xl::TransformerXl>(),
    Entry::of::<deberta::Deberta>(),
    Entry::of::<huang_m3::HuangM3>(),
    Entry::of::<huang_m4::HuangM4>(),
    Entry::of::<distance_bank::DistanceBank>(),
    Entry::of::<fox::Fox>(),
    Entry::of::<cable::Cable>(),
    Entry::of::<cope::Cope>(),
    Entry::of::<selective::Selective>(),
    Entry::of::<dape::Dape>(),
    Entry::of::<stick_breaking::StickBreaking>(),
];

#[cfg(test)]
mod tests;
