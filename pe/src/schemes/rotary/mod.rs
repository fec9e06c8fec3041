//! The rotary family: rotations of queries and keys, and other tables of frequencies for weights trained under one.

pub mod abf;
pub mod cope_clip;
pub mod dynamic_ntk;
pub mod fope;
pub mod giraffe_power;
pub mod giraffe_random;
pub mod giraffe_truncated;
pub mod hope;
pub mod llama3;
pub mod longrope;
pub mod longrope2;
pub mod ntk;
pub mod ntk_by_parts;
pub mod ntk_mixed;
pub mod p_rope;
pub mod pi;
pub mod resonance;
pub mod rope;
pub mod xpos;
pub mod yarn;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<rope::Rope>(),
    Entry::of::<p_rope::PRope>(),
    Entry::of::<hope::Hope>(),
    Entry::of::<xpos::XPos>(),
    Entry::of::<fope::Fope>(),
    Entry::of::<resonance::Resonance>(),
    Entry::of::<pi::Pi>(),
    Entry::of::<abf::Abf>(),
    Entry::of::<ntk::Ntk>(),
    Entry::of::<dynamic_ntk::DynamicNtk>(),
    Entry::of::<ntk_by_parts::NtkByParts>(),
    Entry::of::<ntk_mixed::NtkMixed>(),
    Entry::of::<yarn::Yarn>(),
    Entry::of::<llama3::Llama3>(),
    Entry::of::<longrope::LongRope>(),
    Entry::of::<longrope2::LongRope2>(),
    Entry::of::<giraffe_power::GiraffePower>(),
    Entry::of::<giraffe_truncated::GiraffeTruncated>(),
    Entry::of::<giraffe_random::GiraffeRandom>(),
    Entry::of::<cope_clip::CopeClip>(),
];
