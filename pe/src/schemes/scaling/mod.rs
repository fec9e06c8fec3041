//! Temperatures: all scores of a query by one factor, which follows how many tokens there are.

pub mod head_scale;
pub mod llama4_temperature;
pub mod log_n;
pub mod ssmax;
pub mod uniform_scale;

use crate::registry::Entry;

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<log_n::LogN>(),
    Entry::of::<ssmax::SsMax>(),
    Entry::of::<uniform_scale::UniformScale>(),
    Entry::of::<head_scale::HeadScale>(),
    Entry::of::<llama4_temperature::Llama4Temperature>(),
];
