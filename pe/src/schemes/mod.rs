//! The registry: one file and one line per scheme.

pub mod alibi;
pub mod dynamic_ntk;
pub mod kerple;
pub mod learned;
pub mod nope;
pub mod ntk;
pub mod pi;
pub mod rope;
pub mod sinusoidal;
pub mod t5;
pub mod yarn;

use crate::registry::Entry;

/// The schemes of this crate, in the order in which lists show them.
pub(crate) const BUILTIN: &[Entry] = &[
    Entry::of::<rope::Rope>(),
    Entry::of::<pi::Pi>(),
    Entry::of::<ntk::Ntk>(),
    Entry::of::<dynamic_ntk::DynamicNtk>(),
    Entry::of::<yarn::Yarn>(),
    Entry::of::<alibi::Alibi>(),
    Entry::of::<t5::T5>(),
    Entry::of::<kerple::Kerple>(),
    Entry::of::<nope::Nope>(),
    Entry::of::<sinusoidal::Sinusoidal>(),
    Entry::of::<learned::Learned>(),
];
