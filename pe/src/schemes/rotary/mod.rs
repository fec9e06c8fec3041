//! The rotary family: rotations of queries and keys. `extended/` has other tables of frequencies for weights trained under one.

pub mod extended;
pub mod fope;
pub mod half_truncated;
pub mod hope;
pub mod hyperbolic;
pub mod lerope;
pub mod p_rope;
pub mod resonance;
pub mod rope;
pub mod xpos;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<rope::Rope>(),
    Entry::of::<p_rope::PRope>(),
    Entry::of::<half_truncated::HalfTruncated>(),
    Entry::of::<lerope::LeRope>(),
    Entry::of::<hope::Hope>(),
    Entry::of::<hyperbolic::Hyperbolic>(),
    Entry::of::<xpos::XPos>(),
    Entry::of::<fope::Fope>(),
    Entry::of::<resonance::Resonance>(),
];
