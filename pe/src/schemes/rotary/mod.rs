//! The rotary family: rotations of queries and keys, and other tables of frequencies for weights trained under one.

pub mod dynamic_ntk;
pub mod ntk;
pub mod pi;
pub mod rope;
pub mod yarn;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<rope::Rope>(),
    Entry::of::<pi::Pi>(),
    Entry::of::<ntk::Ntk>(),
    Entry::of::<dynamic_ntk::DynamicNtk>(),
    Entry::of::<yarn::Yarn>(),
];
