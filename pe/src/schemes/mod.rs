//! The registry: one file and one line per scheme, in a folder for each family.

pub mod absolute;
pub mod bias;
pub mod content;
pub mod custom;
pub mod layerwise;
pub mod none;
pub mod relative;
pub mod remap;
pub mod rotary;
pub mod scaling;
pub mod training;

use crate::registry::Entry;

/// The schemes of this crate, in the order in which lists show them.
pub(crate) const BUILTIN: &[&[Entry]] = &[
    rotary::ENTRIES,
    rotary::extended::ENTRIES,
    remap::ENTRIES,
    bias::ENTRIES,
    bias::extended::ENTRIES,
    relative::ENTRIES,
    content::ENTRIES,
    absolute::ENTRIES,
    layerwise::ENTRIES,
    training::ENTRIES,
    none::ENTRIES,
    scaling::ENTRIES,
    custom::ENTRIES,
];
