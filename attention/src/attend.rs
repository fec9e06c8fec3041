//! `attend`: the one verb. Picks an implementation, reports it, and refuses what cannot be done.

mod sublayer;
mod verbs;

pub use crate::blocks::rows_per_block;
pub use crate::implementation::{Attended, Implementation};
pub use crate::mask::Mask;
pub use crate::params::{FEED_FORWARD, INPUT, Params};
pub use sublayer::Sublayer;
pub use verbs::{attend, attend_packed};
