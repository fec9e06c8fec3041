//! Encodings that read content: scores, queries or keys changed by positions and by what stands there.

pub mod cable;
pub mod coca;
pub mod cope;
pub mod dape;
pub mod fox;
pub mod grape;
pub mod path;
pub mod pope;
pub mod psc;
pub mod repo;
pub mod rope_plus_plus;
pub mod selective;
pub mod selective_rope;
pub mod stick_breaking;
pub mod tapa;
pub mod tape;
pub mod wall;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<coca::Coca>(),
    Entry::of::<pope::Pope>(),
    Entry::of::<rope_plus_plus::RopePlusPlus>(),
    Entry::of::<grape::Grape>(),
    Entry::of::<grape::additive::GrapeA>(),
    Entry::of::<selective_rope::SelectiveRope>(),
    Entry::of::<repo::RePo>(),
    Entry::of::<grape::kv_shift::KvShift>(),
    Entry::of::<tapa::Tapa>(),
    Entry::of::<path::Path>(),
    Entry::of::<tape::Tape>(),
    Entry::of::<wall::Wall>(),
    Entry::of::<psc::Psc>(),
    Entry::of::<fox::Fox>(),
    Entry::of::<cable::Cable>(),
    Entry::of::<cope::Cope>(),
    Entry::of::<selective::Selective>(),
    Entry::of::<dape::Dape>(),
    Entry::of::<stick_breaking::StickBreaking>(),
];

#[cfg(test)]
mod tests;
