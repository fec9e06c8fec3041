//! Contextual encodings: scores, queries or keys changed by positions and content.

pub mod clex;
pub mod coca;
mod encoder;
pub mod grape;
mod householder;
pub mod path;
pub mod pope;
pub mod psc;
pub mod rope_plus_plus;
pub mod selective_rope;
pub mod seqpe;
pub mod tape;
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
];

#[cfg(test)]
mod tests;
