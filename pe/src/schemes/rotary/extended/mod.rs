//! Extensions of the rotary family: other frequencies for weights trained under a rotary scheme.

pub mod abf;
pub mod clex;
pub mod cope_clip;
pub mod dp_rope;
pub mod dynamic_ntk;
pub mod entropy_abf;
pub mod giraffe_power;
pub mod giraffe_random;
pub mod giraffe_truncated;
pub mod llama3;
pub mod longrope;
pub mod longrope2;
pub mod mr_rope;
pub mod ntk;
pub mod ntk_by_parts;
pub mod ntk_mixed;
pub mod pi;
pub mod yarn;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<pi::Pi>(),
    Entry::of::<abf::Abf>(),
    Entry::of::<entropy_abf::EntropyAbf>(),
    Entry::of::<ntk::Ntk>(),
    Entry::of::<dynamic_ntk::DynamicNtk>(),
    Entry::of::<ntk_by_parts::NtkByParts>(),
    Entry::of::<ntk_mixed::NtkMixed>(),
    Entry::of::<yarn::Yarn>(),
    Entry::of::<mr_rope::MrRope>(),
    Entry::of::<llama3::Llama3>(),
    Entry::of::<longrope::LongRope>(),
    Entry::of::<longrope2::LongRope2>(),
    Entry::of::<giraffe_power::GiraffePower>(),
    Entry::of::<giraffe_truncated::GiraffeTruncated>(),
    Entry::of::<giraffe_random::GiraffeRandom>(),
    Entry::of::<dp_rope::DpRope>(),
    Entry::of::<cope_clip::CopeClip>(),
    Entry::of::<clex::Clex>(),
];
