//! Biases: what is added to a score by the positions alone.

pub mod alibi;
pub mod bam;
pub mod dynamic_bias;
pub mod extended;
pub mod fire;
pub mod huang_m1;
pub mod kerple;
pub mod sandwich;
pub mod t5;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<alibi::Alibi>(),
    Entry::of::<t5::T5>(),
    Entry::of::<kerple::Kerple>(),
    Entry::of::<bam::Bam>(),
    Entry::of::<sandwich::Sandwich>(),
    Entry::of::<fire::Fire>(),
    Entry::of::<huang_m1::HuangM1>(),
    Entry::of::<dynamic_bias::DynamicBias>(),
];
