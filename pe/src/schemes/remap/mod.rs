//! Relative remaps: which distance a rotation sees, pair by pair, for weights trained under the rotary family.

pub mod dca;
pub mod dpe;
mod frame;
pub mod gali;
pub mod hirope;
pub mod jet_long;
pub mod lampe;
pub mod leaky_rerope;
pub mod lm_infinite;
pub mod ms_poe;
pub mod rerope;
pub mod self_extend;
pub mod self_logistic;
pub mod streaming_llm;
pub mod string;
pub mod windowed_rope;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<rerope::ReRope>(),
    Entry::of::<leaky_rerope::LeakyReRope>(),
    Entry::of::<self_extend::SelfExtend>(),
    Entry::of::<self_logistic::SelfLogistic>(),
    Entry::of::<jet_long::JetLong>(),
    Entry::of::<lampe::Lampe>(),
    Entry::of::<dca::Dca>(),
    Entry::of::<string::StringShift>(),
    Entry::of::<dpe::Dpe>(),
    Entry::of::<gali::Gali>(),
    Entry::of::<ms_poe::MsPoe>(),
    Entry::of::<hirope::HiRope>(),
    Entry::of::<lm_infinite::LmInfinite>(),
    Entry::of::<streaming_llm::StreamingLlm>(),
    Entry::of::<windowed_rope::WindowedRope>(),
];
