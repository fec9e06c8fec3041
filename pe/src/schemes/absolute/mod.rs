//! Absolute encodings: each position has a vector of its own, which is added to the embeddings or to queries and keys.

pub mod abacus;
mod bipe;
pub mod bipe_alibi;
pub mod bipe_rope;
mod given;
pub mod learned;
pub mod position_coupling;
pub mod seqpe;
pub mod shortformer;
pub mod sinusoidal;
pub mod tupe;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<sinusoidal::Sinusoidal>(),
    Entry::of::<learned::Learned>(),
    Entry::of::<shortformer::Shortformer>(),
    Entry::of::<tupe::Tupe>(),
    Entry::of::<seqpe::Seqpe>(),
    Entry::of::<bipe_rope::BipeRope>(),
    Entry::of::<bipe_alibi::BipeAlibi>(),
    Entry::of::<abacus::Abacus>(),
    Entry::of::<position_coupling::PositionCoupling>(),
];
