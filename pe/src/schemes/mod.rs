//! The registry: one file and one line per scheme, in a folder for each family.

pub mod absolute;
pub mod bias;
pub mod contextual;
pub mod custom;
pub mod hybrid;
pub mod plain;
pub mod recipe;
pub mod remap;
pub mod rotary;

use crate::registry::Entry;

/// The schemes of this crate, in the order in which lists show them.
pub(crate) const BUILTIN: &[&[Entry]] = &[
    rotary::ENTRIES,
    remap::ENTRIES,
    bias::ENTRIES,
    contextual::ENTRIES,
    absolute::ENTRIES,
    hybrid::ENTRIES,
    recipe::ENTRIES,
    plain::ENTRIES,
    custom::ENTRIES,
];
